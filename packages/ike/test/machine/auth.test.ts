import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { encodeUtf8, formatAddress } from '@aovpn/bytes';
import type { GatewayRefusal, IkeFailure, IkeSaConfig } from '../../src/machine/contract.ts';
import { notify, pick, pickAll } from '../../src/machine/pick.ts';
import type { Payload } from '../../src/message/payload.ts';
import { assertSameChildren, assertSameIke, describe, lastHeard } from '../../testkit/assertion.ts';
import { createPair, established, talk, toClient, toResponder, type Pair } from '../../testkit/conversation.ts';
import { createTestKey } from '../../testkit/key.ts';
import type { ResponderOptions } from '../../testkit/responder-options.ts';
import { certificateConfig, everything, path, selector } from '../../testkit/world.ts';

type Impair = NonNullable<ResponderOptions['impair']>;

suite('IKE_AUTH with a certificate', () => {
  /*
   * IKE_AUTH SK { IDi, CERT, N(INIT_CONTACT), CERTREQ, AUTH, CP(CFG_REQUEST), SAi2, TSi, TSr, N(MOBIKE_SUP) } -->
   *                                     <-- IKE_AUTH SK { IDr, CERT, AUTH, CP(CFG_REPLY), SAr2, TSi, TSr, N(MOBIKE_SUP) }
   */
  test('establishes the first CHILD_SA', () => {
    const pair = established();
    const { client, responder } = pair;
    assert.equal(lastHeard(pair), '35 request 1: IDi CERT N16384 CERTREQ AUTH CP SA TSi TSr N16396 N16420');
    assertSameIke(pair);
    assertSameChildren(pair);
    const { configuration, facts } = client.last('established')!;
    assert.deepEqual(
      configuration.addresses.map(({ address, length }) => `${formatAddress(address)}/${length}`),
      ['10.9.0.5/32'],
    );
    assert.equal(facts.ikeSuite, 'AES-GCM-16-256 / PRF-HMAC-SHA2-256 / X25519');
    assert.equal(facts.childSuite, 'AES-GCM-16-256 / ESN');
    assert.equal(facts.gatewayIdentity, 'vpn.example.com');
    assert.equal(facts.authentication, 'certificate, ecdsa-sha256');
    assert.deepEqual(facts.tsi, ['10.9.0.5']);
    assert.equal(facts.mobike, true);
    assert.equal(facts.fragmentation, true);
    const [sa] = pickAll(responder.heard[1]!.payloads, 'SA');
    assert.ok(
      sa!.proposals.every(({ transforms }) => transforms.every(({ type }) => type !== 4)),
      'no key exchange inside IKE_AUTH',
    );
  });

  test('asks in this order: signature, then certificate verdict, then installation', () => {
    const { client } = established();
    const order = client.actions
      .map(({ kind }) => kind)
      .filter((kind) => ['sign', 'verify-gateway', 'install-child', 'established'].includes(kind));
    assert.deepEqual(order, ['sign', 'verify-gateway', 'install-child', 'established']);
    assert.deepEqual(client.last('verify-gateway')!.names, ['vpn.example.com']);
    assert.equal(client.last('install-child')!.child.sendNow, true);
  });

  test('in fragments when it is long', () => {
    const config: IkeSaConfig = { ...certificateConfig, fragmentSize: 200 };
    const pair = createPair(config);
    toResponder(pair);
    toClient(pair);
    assert.ok(pair.client.sent.length > 2, 'several fragments');
    talk(pair);
    assert.equal(pair.client.phase, 'open');
    assert.equal(pair.client.last('established')!.facts.fragmentation, true);
  });

  test('not in fragments when the gateway, or we, do not do that', () => {
    for (const [config, options] of [
      [{ ...certificateConfig, fragmentSize: 200 }, { fragmentation: false }],
      [{ ...certificateConfig, fragmentSize: 200, fragmentation: false }, {}],
    ] as const) {
      const pair = createPair(config, options);
      toResponder(pair);
      toClient(pair);
      assert.equal(pair.client.sent.length, 1);
    }
  });

  test('no configuration payload when no address is wanted', () => {
    const pair = established(
      { ...certificateConfig, request: { v4: false, v6: false } },
      { impair: (payloads) => payloads.filter(({ kind }) => kind !== 'CP') },
    );
    assert.equal(pick(pair.responder.heard[1]!.payloads, 'CP'), undefined);
  });

  for (const reason of ['untrusted', 'expired', 'wrong-name', 'revoked'] as const satisfies readonly GatewayRefusal[]) {
    /* --> INFORMATIONAL SK { N(AUTHENTICATION_FAILED) } */
    test(`the host refuses the certificate: ${reason}`, () => {
      const pair = createPair();
      pair.client.verdict = { accepted: false, reason, detail: 'why', trace: [] };
      talk(pair);
      assert.deepEqual(pair.client.end, { kind: 'failed', failure: { kind: 'gateway-refused', refusal: reason, detail: 'why' } });
      assert.equal(lastHeard(pair), '37 request 2: N24');
      assert.equal(pair.client.children.size, 0);
    });
  }

  test('a certificate that is accepted, with a signature by another key, is not enough', () => {
    const pair = createPair();
    pair.client.verdict = { accepted: true, spki: createTestKey().spki, subject: '', trace: [] };
    talk(pair);
    assert.deepEqual(pair.client.end, { kind: 'failed', failure: { kind: 'gateway-signature' } });
    assert.equal(pair.client.count('install-child'), 0);
  });

  const replace =
    (kind: Payload['kind'], change: (payload: Payload) => readonly Payload[]): Impair =>
    (payloads, { header }) =>
      header.exchange === 35 ? payloads.flatMap((payload) => (payload.kind === kind ? change(payload) : [payload])) : payloads;
  const without = (...kinds: readonly Payload['kind'][]): Impair => {
    return (payloads, { header }) => (header.exchange === 35 ? payloads.filter(({ kind }) => !kinds.includes(kind)) : payloads);
  };

  const refused: Record<string, readonly [Impair, IkeFailure['kind']]> = {
    'without AUTH': [without('AUTH'), 'invalid-syntax'],
    'without IDr': [without('IDr'), 'invalid-syntax'],
    'without CERT': [without('CERT'), 'gateway-refused'],
    'with a certificate of another encoding': [
      replace('CERT', (payload) => [{ ...payload, encoding: 12 } as Payload]),
      'gateway-refused',
    ],
    'with a changed IDr': [
      replace('IDr', () => [{ kind: 'IDr', identity: { type: 2, data: encodeUtf8('evil.example.com') } }]),
      'gateway-signature',
    ],
    'with a shared-key AUTH': [
      replace('AUTH', () => [{ kind: 'AUTH', method: 2, data: new Uint8Array(32) }]),
      'gateway-signature',
    ],
    'with NULL authentication': [
      replace('AUTH', () => [{ kind: 'AUTH', method: 13, data: new Uint8Array(32) }]),
      'gateway-signature',
    ],
    'with an empty AUTH': [
      replace('AUTH', (payload) => [{ ...payload, data: Uint8Array.of(0) } as Payload]),
      'gateway-signature',
    ],
    'with two AUTH payloads': [replace('AUTH', (payload) => [payload, payload]), 'invalid-syntax'],
    'with EAP instead of a CHILD_SA': [
      (payloads, { header }) =>
        header.exchange === 35
          ? [
              ...payloads.filter(({ kind }) => ['IDr', 'CERT', 'AUTH'].includes(kind)),
              { kind: 'EAP', packet: Uint8Array.of(1, 1, 0, 5, 1) },
            ]
          : payloads,
      'authentication-failed',
    ],
  };
  for (const [name, [impair, kind]] of Object.entries(refused)) {
    test(`an answer ${name} is refused`, () => {
      const pair = createPair(certificateConfig, { impair });
      talk(pair);
      assert.equal(failureOf(pair)?.kind, kind);
      assert.equal(pair.client.count('established'), 0);
      assert.equal(pair.client.count('install-child'), 0);
      assert.equal(lastHeard(pair), '37 request 2: N24');
    });
  }

  test('AUTHENTICATION_FAILED of the gateway', () => {
    const pair = createPair(certificateConfig, {
      impair: (payloads, { header }) => (header.exchange === 35 ? [notify(24)] : payloads),
    });
    talk(pair);
    assert.equal(failureOf(pair)?.kind, 'authentication-failed');
    assert.equal(pair.client.count('verify-gateway'), 0);
  });

  test('the host cannot sign, or signs nonsense', () => {
    for (const signature of [undefined, Uint8Array.of(1, 2, 3)]) {
      const pair = createPair({ ...certificateConfig });
      pair.client.host.sign = false;
      talk(pair);
      const request = pair.client.last('sign')!;
      pair.client.step({ kind: 'signed', request: request.request + 1, signature: new Uint8Array(64) });
      assert.equal(pair.client.phase, 'auth-await-signature', 'an answer to another question changes nothing');
      pair.client.step({ kind: 'signed', request: request.request, signature, ...(signature ? {} : { problem: 'no card' }) });
      talk(pair);
      if (signature) assert.equal(failureOf(pair)?.kind, 'authentication-failed');
      else assert.deepEqual(failureOf(pair), { kind: 'signing', problem: 'no card' });
    }
  });

  test('no signature scheme in common', () => {
    const pair = createPair({
      ...certificateConfig,
      auth: { ...(certificateConfig.auth as Extract<IkeSaConfig['auth'], { kind: 'certificate' }>), schemes: ['ed25519'] },
    });
    talk(pair);
    assert.equal(failureOf(pair)?.kind, 'signing');
  });

  test('a late verdict for another question changes nothing', () => {
    const pair = createPair();
    pair.client.host.verify = false;
    talk(pair);
    const { request } = pair.client.last('verify-gateway')!;
    pair.client.step({ kind: 'gateway-verdict', request: request + 1, verdict: pair.client.verdict });
    assert.equal(pair.client.phase, 'auth-await-verdict');
    pair.client.step({ kind: 'gateway-verdict', request, verdict: pair.client.verdict });
    assert.equal(pair.client.phase, 'open');
  });

  test('no answer to IKE_AUTH', () => {
    const pair = createPair();
    toResponder(pair);
    toClient(pair);
    pair.client.take();
    pair.client.advance(60_000);
    assert.deepEqual(failureOf(pair), { kind: 'no-answer', phase: 'auth', seconds: 15 });
  });
});

suite('the first CHILD_SA', () => {
  const child =
    (change: (payloads: readonly Payload[]) => readonly Payload[]): Impair =>
    (payloads, { header }) =>
      header.exchange === 35 ? change(payloads) : payloads;
  const error = (type: number): Impair =>
    child((payloads) => [...payloads.filter(({ kind }) => !['CP', 'SA', 'TSi', 'TSr'].includes(kind)), notify(type)]);

  /*
   *                                <-- IKE_AUTH SK { IDr, CERT, AUTH, N(error) }
   * INFORMATIONAL SK { D(IKE) } -->
   */
  for (const [type, failure] of [
    [14, { kind: 'no-proposal-chosen', what: 'child' }],
    [38, { kind: 'ts-unacceptable' }],
    [36, { kind: 'no-address' }],
    [37, { kind: 'no-address' }],
    [35, { kind: 'notify', type: 35, name: 'NO_ADDITIONAL_SAS', phase: 'IKE_AUTH' }],
  ] as const) {
    test(`refused with ${type}: the IKE SA that exists is deleted`, () => {
      const pair = createPair(certificateConfig, { impair: error(type) });
      talk(pair);
      assert.equal(lastHeard(pair), '37 request 2: D');
      assert.deepEqual(failureOf(pair), failure);
      assert.equal(pair.responder.closed, true);
    });
  }

  test('an error is not believed when AUTH is wrong', () => {
    const pair = createPair(certificateConfig, { impair: error(38) });
    pair.client.verdict = { accepted: true, spki: createTestKey().spki, subject: '', trace: [] };
    talk(pair);
    assert.equal(failureOf(pair)?.kind, 'gateway-signature');
  });

  const narrow: IkeSaConfig = {
    ...certificateConfig,
    trafficSelectors: { tsi: everything, tsr: [selector('10.0.0.0', '10.255.255.255')] },
  };
  test('narrowed traffic selectors are taken', () => {
    const { client } = established(narrow, {
      tsr: [selector('10.1.0.0', '10.1.255.255'), selector('10.2.0.1', '10.2.0.1', { protocol: 6, fromPort: 443, toPort: 443 })],
    });
    assert.deepEqual(client.last('established')!.facts.tsr, ['10.1.0.0-10.1.255.255', '10.2.0.1 protocol 6 ports 443-443']);
  });

  for (const [name, tsr] of [
    ['wider', everything],
    ['besides', [selector('10.1.0.0', '10.1.255.255'), selector('192.168.0.0', '192.168.0.255')]],
    ['of another family', [selector('::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff')]],
  ] as const) {
    test(`traffic selectors that are ${name} are refused`, () => {
      const pair = createPair(narrow, {
        impair: child((payloads) => payloads.map((p) => (p.kind === 'TSr' ? { ...p, selectors: tsr } : p))),
      });
      talk(pair);
      assert.notEqual(failureOf(pair), undefined);
      assert.equal(pair.client.count('install-child'), 0);
    });
  }

  test('no address', () => {
    for (const impair of [
      child((payloads) => payloads.filter(({ kind }) => kind !== 'CP')),
      child((payloads) => payloads.map((payload) => (payload.kind === 'CP' ? { ...payload, attributes: [] } : payload))),
      child((payloads) => payloads.map((payload) => (payload.kind === 'CP' ? { ...payload, type: 1 } : payload))),
    ]) {
      const pair = createPair(certificateConfig, { impair });
      talk(pair);
      assert.deepEqual(failureOf(pair), { kind: 'no-address' });
    }
  });

  test('addresses of both families, resolvers, domains and networks', () => {
    const { client } = established(
      { ...certificateConfig, request: { v4: true, v6: true } },
      {
        configuration: [
          { type: 1, value: Uint8Array.of(10, 9, 0, 5) },
          { type: 2, value: Uint8Array.of(255, 255, 0, 0) },
          { type: 3, value: Uint8Array.of(10, 9, 0, 53) },
          { type: 8, value: Uint8Array.of(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 64) },
          { type: 10, value: Uint8Array.of(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 53) },
          { type: 13, value: Uint8Array.of(10, 1, 0, 0, 255, 255, 0, 0) },
          { type: 25, value: encodeUtf8('corp.example.com') },
          { type: 23456, value: Uint8Array.of(10, 0, 0, 1) },
        ],
      },
    );
    const { addresses, dns, dnsDomains, subnets, other } = client.last('established')!.configuration;
    assert.deepEqual(
      addresses.map(({ address, length }) => `${formatAddress(address)}/${length}`),
      ['10.9.0.5/16', '2001:db8::5/64'],
    );
    assert.deepEqual(dns.map(formatAddress), ['10.9.0.53', '2001:db8::35']);
    assert.deepEqual(dnsDomains, ['corp.example.com']);
    assert.equal(subnets.length, 1);
    assert.equal(other.length, 1);
  });

  test('the host cannot install it', () => {
    const pair = createPair();
    pair.client.host.install = false;
    talk(pair);
    assert.equal(pair.client.phase, 'child-await-install');
    assert.equal(pair.client.count('established'), 0);
    const { spi } = pair.client.last('install-child')!.child.inbound;
    pair.client.step({ kind: 'child-installed', spiIn: spi, problem: 'no device' });
    talk(pair);
    assert.deepEqual(failureOf(pair), { kind: 'install', problem: 'no device' });
    assert.equal(pair.responder.closed, true);
    assert.equal(pair.client.children.size, 0);
  });

  test('the EAP identity without a configured one is our outer address, as Windows does', () => {
    const pair = createPair({
      ...certificateConfig,
      auth: { kind: 'eap', peer: { identity: 'a', method: { kind: 'mschapv2', userName: 'a' } } },
    });
    toResponder(pair);
    toClient(pair);
    toResponder(pair);
    assert.equal(describe(pair.responder.heard[1]!), '35 request 1: IDi N16384 CERTREQ CP SA TSi TSr N16396 N16420');
    assert.deepEqual(pick(pair.responder.heard[1]!.payloads, 'IDi')!.identity, { type: 1, data: path.local.bytes });
  });
});

function failureOf({ client }: Pair): IkeFailure | undefined {
  return client.end?.kind === 'failed' ? client.end.failure : undefined;
}
