import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { encodeUtf8, toHex } from '@aovpn/bytes';
import type { Payload } from '../../src/message/payload.ts';
import { notifyRows } from '../../src/registry/notify.ts';
import { describePayloads, outlinePayloads, type DescribedPayload } from '../../src/trace/describe-payload.ts';
import type { MessageRecord } from '../../src/trace/message-record.ts';
import { createPair, established, establishedEap, talk, toClient, toResponder, type Pair } from '../../testkit/conversation.ts';
import { reachState } from '../../testkit/reach-state.ts';
import { seeded } from '../../testkit/test-crypto.ts';
import { certificateConfig, everything, password, user } from '../../testkit/world.ts';

const records = ({ client }: Pair): MessageRecord[] =>
  client.actions.flatMap((action) => (action.kind === 'message' ? [action.record] : []));
const lines = (pair: Pair): string[] =>
  records(pair).map(({ direction, outcome, header, payloads }) =>
    [
      direction === 'out' ? '-->' : '<--',
      header?.exchange ?? '?',
      header?.response ? 'response' : 'request',
      header?.messageId,
      outcome,
      outlinePayloads(payloads),
    ].join(' '),
  );

suite('what a trace shows', () => {
  test('a handshake: every message once, in order, with what was made of it', () => {
    assert.deepEqual(lines(established()), [
      '--> IKE_SA_INIT request 0 sent SA KE Nonce N(NAT_DETECTION_SOURCE_IP) N(NAT_DETECTION_DESTINATION_IP) N(REDIRECT_SUPPORTED) N(IKEV2_FRAGMENTATION_SUPPORTED) N(SIGNATURE_HASH_ALGORITHMS)',
      '<-- IKE_SA_INIT response 0 unproven SA KE Nonce N(NAT_DETECTION_SOURCE_IP) N(NAT_DETECTION_DESTINATION_IP) N(IKEV2_FRAGMENTATION_SUPPORTED) N(SIGNATURE_HASH_ALGORITHMS)',
      '--> IKE_AUTH request 1 sent IDi CERT N(INITIAL_CONTACT) CERTREQ AUTH CP SA TSi TSr N(MOBIKE_SUPPORTED) N(IKEV2_MESSAGE_ID_SYNC_SUPPORTED)',
      '<-- IKE_AUTH response 1 believed IDr CERT AUTH CP SA TSi TSr N(MOBIKE_SUPPORTED)',
    ]);
  });

  test('sizes, fragments, retransmissions, time', () => {
    const pair = createPair({ ...certificateConfig, fragmentSize: 300 });
    const { client } = pair;
    toResponder(pair);
    toClient(pair);
    client.advance(1000);
    client.advance(250);
    talk(pair);
    const sent = records(pair).filter(({ direction, header }) => direction === 'out' && header?.exchange === 'IKE_AUTH');
    assert.deepEqual(
      sent.map(({ outcome, attempt }) => [outcome, attempt]),
      [
        ['sent', undefined],
        ['again', 1],
      ],
    );
    assert.ok(sent[0]!.octets.length > 1 && sent[0]!.octets.every((octets) => octets <= 300));
    assert.deepEqual(sent[0]!.octets, sent[1]!.octets);
    const answer = records(pair).find(({ direction, header }) => direction === 'in' && header?.exchange === 'IKE_AUTH')!;
    assert.equal(answer.tookMs, 1250);
  });

  test('what was dropped, refused or repeated, and why', () => {
    const pair = established();
    const { client, responder } = pair;
    client.actions.length = 0;
    client.receive(new Uint8Array(30));
    client.receive(...responder.seal(responder.current, 37, 9, false, []));
    client.receive(...responder.seal(responder.current, 37, 9, true, []));
    client.receive(...responder.seal(responder.current, 35, 0, false, []));
    client.receive(...responder.seal(responder.current, 35, 0, false, []));
    const [forged] = responder.seal(responder.current, 37, 1, false, []);
    forged![40]! ^= 1;
    client.receive(forged!);
    assert.deepEqual(
      records(pair).map(({ direction, outcome, why }) => `${direction} ${outcome} ${why ?? ''}`.trim()),
      [
        'in dropped not an IKEv2 message: ignored',
        'in dropped request 9 is not next: ignored',
        'in dropped an answer that nobody waits for (INFORMATIONAL 9): ignored',
        'in believed',
        'out sent',
        'in repeated',
        'out again',
        'in dropped ignored: integrity check failed',
      ],
    );
  });

  test('a malformed message is shown as refused, with what is wrong', () => {
    const pair = established();
    pair.client.actions.length = 0;
    pair.responder.request(37, [{ kind: 'unknown', type: 99, critical: true, data: new Uint8Array(4) }]);
    toClient(pair);
    assert.deepEqual(
      records(pair).map(({ outcome, why, payloads }) => [outcome, why, outlinePayloads(payloads)]),
      [
        ['refused', 'UNSUPPORTED_CRITICAL_PAYLOAD (payload type 99)', ''],
        ['sent', undefined, 'N(UNSUPPORTED_CRITICAL_PAYLOAD)'],
      ],
    );
  });

  test('whatever comes in, in any state, is shown exactly once', () => {
    for (const [name, reach] of Object.entries(reachState)) {
      if (name === 'ended') continue;
      const pair = reach();
      const next = seeded(name.length);
      const material = [...pair.responder.sent, ...pair.client.sent, new Uint8Array(28)];
      for (let i = 0; i < 60; i++) {
        const octets = material[Math.floor(next() * material.length)]!.slice();
        octets[Math.floor(next() * octets.length)]! ^= 1 + Math.floor(next() * 255);
        const before = pair.client.actions.length;
        if (pair.client.end) break;
        pair.client.receive(octets);
        const shown = pair.client.actions.slice(before).filter((a) => a.kind === 'message' && a.record.direction === 'in');
        assert.equal(shown.length, 1, name);
      }
    }
  });

  test('payloads as a tree: algorithms, selectors, addresses, identities, EAP to its method', () => {
    const text = render(
      describePayloads([
        {
          kind: 'SA',
          proposals: [
            {
              number: 1,
              protocol: 3,
              spi: Uint8Array.of(1, 2, 3, 4),
              transforms: [
                { type: 1, id: 20, keyBits: 256 },
                { type: 1, id: 28 },
                { type: 4, id: 31 },
                { type: 5, id: 0 },
              ],
            },
          ],
        },
        { kind: 'IDr', identity: { type: 2, data: encodeUtf8('vpn.example.com') } },
        { kind: 'N', protocol: 0, spi: new Uint8Array(0), type: 17, data: Uint8Array.of(0, 19) },
        { kind: 'N', protocol: 3, spi: Uint8Array.of(0, 0, 1, 1), type: 16393, data: new Uint8Array(0) },
        { kind: 'CP', type: 2, attributes: [{ type: 1, value: Uint8Array.of(10, 0, 0, 7) }] },
        { kind: 'TSi', selectors: everything },
        { kind: 'EAP', packet: Uint8Array.of(2, 7, 0, 10, 26, 2, 7, 0, 5, 1) },
        { kind: 'EAP', packet: Uint8Array.of(1, 8, 0, 6, 25, 0x20) },
      ]),
    );
    assert.deepEqual(text, [
      'SA',
      ' proposal 1 ESP SPI 01020304',
      '  ENCR AES-GCM-16-256 ChaCha20-Poly1305',
      '  KE X25519',
      '  ESN no',
      'IDr ID_FQDN vpn.example.com',
      'N(INVALID_KE_PAYLOAD) ECP256',
      'N(REKEY_SA) ESP SPI 00000101',
      'CP CFG_REPLY',
      ' INTERNAL_IP4_ADDRESS 10.0.0.7',
      'TSi 0.0.0.0-255.255.255.255',
      'EAP Response 7 EAP-MSCHAPv2 Response',
      'EAP Request 8 PEAP: start, version 0, no data',
    ]);
  });
});

suite('what a trace never shows', () => {
  test('keys, nonces, public values, signatures, certificates, passwords, and octets of any message', () => {
    for (const pair of [established(), establishedEap()]) {
      const { client, responder } = pair;
      client.step({ kind: 'rekey-child', spiIn: client.sending[0]! });
      talk(pair);
      client.step({ kind: 'rekey-ike' });
      talk(pair);
      const shown = JSON.stringify(records(pair)).toLowerCase();
      const secrets = [
        ...responder.ikes.flatMap(({ skD, skPi, skPr, send, receive }) => [
          skD,
          skPi,
          skPr,
          send.encryptionKey,
          receive.encryptionKey,
        ]),
        ...[...responder.children.values()].flatMap(({ inbound, outbound }) => [inbound.encryptionKey, outbound.encryptionKey]),
        encodeUtf8(password),
        encodeUtf8(user),
        ...responder.heard.flatMap(({ payloads }) => payloads.flatMap(octetsOf)),
      ].filter((octets) => octets.length >= 5);
      assert.ok(secrets.length > 12);
      for (const secret of secrets) {
        for (const form of [
          toHex(secret),
          Buffer.from(secret).toString('base64').toLowerCase(),
          Buffer.from(secret).toString('latin1').toLowerCase(),
        ])
          assert.ok(!shown.includes(form.slice(0, 24)), form);
      }
      // The control: what it does show is found the same way.
      assert.ok(shown.includes('vpn.example.com'));
    }
  });

  test('the data of any notification, known or not, but for the few that are public', () => {
    const secret = Uint8Array.from({ length: 24 }, (_, i) => 0x61 + i);
    for (const type of [...notifyRows.map((row) => row.type), 40_000, 8_000]) {
      const shown = JSON.stringify(describePayloads([{ kind: 'N', protocol: 0, spi: new Uint8Array(0), type, data: secret }]));
      for (const form of [toHex(secret), 'abcdefgh', Buffer.from(secret).toString('base64')])
        assert.ok(!shown.includes(form.slice(0, 8)), `${type}: ${shown}`);
    }
  });

  test('anything in EAP beyond its header, whatever the method', () => {
    for (let type = 0; type < 256; type++) {
      for (const code of [1, 2, 3, 4, 5]) {
        const packet = Uint8Array.from([code, 1, 0, 30, type, ...encodeUtf8('hunter2-hunter2-hunter2')]);
        assert.doesNotMatch(JSON.stringify(describePayloads([{ kind: 'EAP', packet }])), /hunter|68756e/);
      }
    }
  });

  test('control characters of a peer', () => {
    const identity = { type: 2, data: encodeUtf8('vpn\u001b[2J') };
    assert.equal(describePayloads([{ kind: 'IDr', identity }])[0]?.detail, 'ID_FQDN 7 octets');
  });
});

/** What a payload carries that nobody needs to see. */
function octetsOf(payload: Payload): Uint8Array[] {
  if (payload.kind === 'CERTREQ') return [payload.authorities];
  if (payload.kind === 'EAP') return [payload.packet.subarray(5)];
  return ['KE', 'NONCE', 'AUTH', 'CERT'].includes(payload.kind) && 'data' in payload ? [payload.data] : [];
}

function render(parts: readonly DescribedPayload[], indent = 0): string[] {
  return parts.flatMap(({ name, detail, parts: inner = [] }) => [
    `${' '.repeat(indent)}${name}${detail === undefined ? '' : ` ${detail}`}`,
    ...render(inner, indent + 1),
  ]);
}
