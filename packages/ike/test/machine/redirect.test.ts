import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { concat, encodeUtf8, fromHex, toHex } from '@aovpn/bytes';
import { notify, pick } from '../../src/machine/pick.ts';
import type { Message, Payload } from '../../src/message/payload.ts';
import { decodeRedirect, encodeGatewayPlace } from '../../src/message/redirect.ts';
import { describe, lastHeard } from '../../testkit/assertion.ts';
import { createPair, established, talk, toClient, toResponder } from '../../testkit/conversation.ts';
import { address, certificateConfig, eapConfig } from '../../testkit/world.ts';

const elsewhere = { kind: 'name', name: 'vpn2.example.com' } as const;
const place = encodeGatewayPlace(elsewhere);
const nonceOf = ({ payloads }: Message): Uint8Array => pick(payloads, 'NONCE')!.data;
const init = (answer: (request: Message) => readonly Payload[]) => ({
  impair: (payloads: readonly Payload[], request: Message) => (request.header.exchange === 34 ? answer(request) : payloads),
});

/*
 * HDR(A,0), SAi1, KEi, Ni, N(REDIRECT_SUPPORTED) --> <-- HDR(A,0), N(REDIRECT, New_GW_ID, Ni_data)
 */
suite('redirected in IKE_SA_INIT (RFC 5685 §3)', () => {
  test('with our nonce: followed a moment later, as nothing that is proven', () => {
    const pair = createPair(
      certificateConfig,
      init((request) => [notify(16407, concat(place, nonceOf(request)))]),
    );
    toResponder(pair);
    assert.match(lastHeard(pair), /N16406/);
    toClient(pair);
    assert.equal(pair.client.end, undefined);
    pair.client.advance(300);
    assert.deepEqual(pair.client.end, { kind: 'redirected', to: elsewhere, proven: false });
  });

  test('a better answer within that moment wins: a forger who is quicker gains nothing', () => {
    const pair = createPair();
    toResponder(pair);
    const real = pair.responder.take();
    const forged = createPair(
      certificateConfig,
      init((request) => [notify(16407, concat(place, nonceOf(request)))]),
    );
    forged.responder.receive(...pair.client.sa.associations[0]!.outstanding!.datagrams);
    pair.client.receive(...forged.responder.take());
    assert.equal(pair.client.phase, 'init-await-better');
    pair.client.receive(...real);
    talk(pair);
    assert.equal(pair.client.phase, 'open');
  });

  for (const [name, data] of Object.entries<(nonce: Uint8Array) => Uint8Array>({
    'without our nonce': () => place,
    'with another nonce': (nonce) =>
      concat(
        place,
        nonce.map((octet) => octet ^ 1),
      ),
    'to nowhere': (nonce) => concat(fromHex('0400'), nonce),
    'to a multicast address': (nonce) => concat(fromHex('0104e0000001'), nonce),
    'to a text that is no name': (nonce) => concat(Uint8Array.of(3, 3), encodeUtf8('a b'), nonce),
    'cut short': () => fromHex('03'),
  })) {
    test(`${name}: ignored`, () => {
      const pair = createPair(
        certificateConfig,
        init((request) => [notify(16407, data(nonceOf(request)))]),
      );
      talk(pair);
      pair.client.advance(1000);
      assert.equal(pair.client.phase, 'init-await-response');
    });
  }

  test('who does not want to be redirected does not say that it would be, and is not', () => {
    const pair = createPair(
      { ...certificateConfig, redirect: false },
      init((request) => [notify(16407, concat(place, nonceOf(request)))]),
    );
    toResponder(pair);
    assert.doesNotMatch(lastHeard(pair), /N1640[678]/);
    toClient(pair);
    pair.client.advance(1000);
    assert.equal(pair.client.phase, 'init-await-response');
  });

  test('the new gateway hears who has sent us (§3)', () => {
    const pair = createPair({ ...certificateConfig, redirectedFrom: elsewhere });
    toResponder(pair);
    const [request] = pair.responder.heard;
    assert.doesNotMatch(describe(request!), /N16406/);
    const from = request!.payloads.find((payload) => payload.kind === 'N' && payload.type === 16408);
    assert.ok(from?.kind === 'N');
    assert.deepEqual(decodeRedirect(from.data, undefined), elsewhere);
    talk(pair);
    assert.equal(pair.client.phase, 'open');
  });
});

/*
 * HDR, SK { IDi, AUTH, SAi2, TSi, TSr } --> <-- HDR, SK { IDr, AUTH, N(REDIRECT, New_GW_ID) }
 */
suite('redirected in IKE_AUTH (RFC 5685 §6)', () => {
  const instead = (payloads: readonly Payload[]): readonly Payload[] => [
    ...payloads.filter(({ kind }) => ['IDr', 'CERT', 'AUTH'].includes(kind)),
    notify(16407, place),
  ];
  const auth = (when: (payloads: readonly Payload[]) => boolean) => ({
    impair: (payloads: readonly Payload[], { header }: Message) =>
      header.exchange === 35 && when(payloads) ? instead(payloads) : payloads,
  });

  test('after both have authenticated: the SA is deleted, and the new gateway is proven by the old', () => {
    const pair = createPair(
      certificateConfig,
      auth(() => true),
    );
    talk(pair);
    assert.deepEqual(pair.client.end, { kind: 'redirected', to: elsewhere, proven: true });
    assert.match(lastHeard(pair), /^37 request \d+: D$/);
    assert.equal(pair.client.count('install-child'), 0);
  });

  test('before EAP, and after it', () => {
    for (const when of [
      (payloads: readonly Payload[]) => payloads.some(({ kind }) => kind === 'EAP' || kind === 'IDr'),
      (payloads: readonly Payload[]) => payloads.some(({ kind }) => kind === 'SA'),
    ]) {
      const pair = createPair(eapConfig, auth(when));
      talk(pair);
      assert.deepEqual(pair.client.end, { kind: 'redirected', to: elsewhere, proven: true });
    }
  });

  test('not before the gateway has proven who it is', () => {
    const pair = createPair(
      certificateConfig,
      auth(() => true),
    );
    pair.client.verdict = { accepted: false, reason: 'untrusted', detail: '', trace: [] };
    talk(pair);
    assert.equal(pair.client.end?.kind, 'failed');
    const forged = createPair(certificateConfig, {
      impair: (payloads, { header }) =>
        header.exchange === 35
          ? instead(payloads).map((p) =>
              p.kind === 'AUTH' ? { ...p, data: p.data.map((octet, i) => (i === 40 ? octet ^ 1 : octet)) } : p,
            )
          : payloads,
    });
    talk(forged);
    assert.deepEqual(forged.client.end, { kind: 'failed', failure: { kind: 'gateway-signature' } });
  });
});

/*
 * <-- HDR, SK { N(REDIRECT, New_GW_ID) }   HDR, SK { } -->   HDR, SK { D } -->
 */
suite('redirected while the SA lives (RFC 5685 §5)', () => {
  test('answered, deleted, followed', () => {
    const pair = established();
    const six = { kind: 'address', address: address('2001:db8::7') } as const;
    pair.responder.request(37, [notify(16407, encodeGatewayPlace(six))]);
    toClient(pair);
    toResponder(pair);
    assert.equal(describe(pair.responder.heard.at(-2)!), '37 response 0:');
    assert.match(lastHeard(pair), /^37 request \d+: D$/);
    toClient(pair);
    assert.deepEqual(pair.client.end, { kind: 'redirected', to: six, proven: true });
    assert.equal(pair.client.children.size, 0);
  });

  test('to nowhere: answered, and nothing else', () => {
    const pair = established();
    pair.responder.request(37, [notify(16407, fromHex('0900'))]);
    talk(pair);
    assert.equal(pair.client.phase, 'open');
  });
});

suite('a gateway as REDIRECT writes it (RFC 5685 §9.2)', () => {
  for (const [what, octets] of [
    [{ kind: 'address', address: address('203.0.113.9') }, '0104cb007109'],
    [{ kind: 'address', address: address('2001:db8::9') }, '021020010db8000000000000000000000009'],
    [{ kind: 'name', name: 'a.example' }, '0309612e6578616d706c65'],
  ] as const) {
    test(JSON.stringify(octets), () => {
      assert.equal(toHex(encodeGatewayPlace(what)), octets);
      assert.deepEqual(decodeRedirect(fromHex(octets), undefined), what);
      const nonce = new Uint8Array(32).fill(5);
      assert.deepEqual(decodeRedirect(encodeGatewayPlace(what, nonce), nonce), what);
      assert.equal(decodeRedirect(encodeGatewayPlace(what, nonce), undefined), undefined);
      for (let length = 0; length < octets.length / 2; length++)
        assert.equal(decodeRedirect(fromHex(octets).subarray(0, length), undefined), undefined);
    });
  }
});
