import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { encodeUtf8 } from '@aovpn/bytes';
import type { EapMethodConfig } from '@aovpn/eap';
import type { IkeSaConfig } from '../../src/machine/contract.ts';
import { notify, pick } from '../../src/machine/pick.ts';
import type { Payload } from '../../src/message/payload.ts';
import { assertSameChildren, assertSameIke, describe, lastHeard } from '../../testkit/assertion.ts';
import { createPair, establishedEap, talk, toClient, toResponder, type Pair } from '../../testkit/conversation.ts';
import { eap } from '../../testkit/ms-chap-server.ts';
import type { ResponderOptions } from '../../testkit/responder-options.ts';
import { eapConfig, user } from '../../testkit/world.ts';
import { createTestKey } from '../../testkit/key.ts';
import { fakeTls, TlsServer } from '../../testkit/tls-method.ts';

const success = (identifier: number): Payload => ({ kind: 'EAP', packet: eap(3, identifier, new Uint8Array(0)) });

suite('IKE_AUTH with EAP', () => {
  /*
   * IKE_AUTH SK { IDi, CERTREQ, CP, SAi2, TSi, TSr } -->
   *                             <-- IKE_AUTH SK { IDr, CERT, AUTH, EAP(Request/Identity) }
   * IKE_AUTH SK { EAP(Response/Identity) }           -->
   *                             <-- IKE_AUTH SK { EAP(MSCHAPv2 Challenge) }
   * IKE_AUTH SK { EAP(MSCHAPv2 Response) }           -->
   *                             <-- IKE_AUTH SK { EAP(MSCHAPv2 Success) }
   * IKE_AUTH SK { EAP(MSCHAPv2 Success) }            -->
   *                             <-- IKE_AUTH SK { EAP(Success) }
   * IKE_AUTH SK { AUTH }                             -->
   *                             <-- IKE_AUTH SK { AUTH, CP, SAr2, TSi, TSr }
   */
  test('MSCHAPv2', () => {
    const pair = establishedEap();
    assert.deepEqual(pair.responder.heard.map(describe), [
      '34 request 0: SA KE NONCE N16388 N16389 N16406 N16430 N16431',
      '35 request 1: IDi N16384 CERTREQ CP SA TSi TSr N16396 N16420',
      '35 request 2: EAP',
      '35 request 3: EAP',
      '35 request 4: EAP',
      '35 request 5: AUTH',
    ]);
    assertSameIke(pair);
    assertSameChildren(pair);
    assert.equal(pair.client.last('established')!.facts.mobike, true);
    assert.match(pair.client.last('established')!.facts.authentication, /ecdsa-sha256; .*MS/);
  });

  test('no identity, name or answer leaves before certificate and signature of the gateway are accepted (CVE-2015-4171)', () => {
    const pair = createPair(eapConfig);
    pair.client.host.verify = false;
    talk(pair);
    assert.equal(pair.client.phase, 'auth-await-verdict');
    for (const message of pair.responder.heard) {
      assert.equal(pick(message.payloads, 'EAP'), undefined);
      assert.equal(JSON.stringify([...encodeUtf8(user)]).slice(1, -1).length > 0, true);
      for (const payload of message.payloads) {
        if (payload.kind === 'IDi') assert.notDeepEqual(payload.identity.data, encodeUtf8(user));
      }
    }
    // Nor does time, the gateway's repetition or the host's secret change that.
    pair.client.advance(120_000);
    pair.client.step({ kind: 'eap', event: { kind: 'secret', request: 1, secret: encodeUtf8('x') } });
    assert.deepEqual(pair.client.take(), []);
    assert.equal(pair.client.count('eap'), 0);
  });

  for (const [name, verdict] of [
    ['an untrusted certificate', { accepted: false, reason: 'untrusted', detail: '', trace: [] }],
    ['a signature by another key', { accepted: true, spki: createTestKey().spki, subject: '', trace: [] }],
  ] as const) {
    test(`${name}: EAP does not even begin`, () => {
      const pair = createPair(eapConfig);
      pair.client.verdict = verdict;
      talk(pair);
      assert.equal(pair.client.end?.kind, 'failed');
      assert.ok(pair.responder.heard.every(({ payloads }) => !pick(payloads, 'EAP')));
      assert.equal(pair.client.count('eap'), 0);
    });
  }

  const inRound =
    (round: number, change: (payloads: readonly Payload[]) => readonly Payload[]): NonNullable<ResponderOptions['impair']> =>
    (payloads, { header }) =>
      header.exchange === 35 && header.messageId === round ? change(payloads) : payloads;
  const withoutEap = (payloads: readonly Payload[]): readonly Payload[] => payloads.filter(({ kind }) => kind !== 'EAP');

  for (const round of [1, 2, 3]) {
    test(`EAP-Success in round ${round}, before the method is complete, is refused (CVE-2021-45079, CVE-2015-8023)`, () => {
      for (const identifier of [0, 1, 2, 3]) {
        const pair = createPair(eapConfig, {
          impair: inRound(round, (payloads) => [...withoutEap(payloads), success(identifier)]),
        });
        talk(pair);
        assert.equal(failure(pair), 'out-of-order');
        assert.ok(!describe(pair.responder.heard.at(-1)!).includes('AUTH'), 'no AUTH was sent');
        assert.equal(pair.client.count('install-child'), 0);
      }
    });
  }

  test('AUTH and CHILD_SA without EAP-Success are refused', () => {
    for (const round of [1, 2, 3, 4]) {
      const pair = createPair(eapConfig, {
        impair: inRound(round, (payloads) => [
          ...withoutEap(payloads),
          ...(round > 1 ? [{ kind: 'AUTH', method: 2, data: new Uint8Array(32) } as const] : []),
        ]),
      });
      talk(pair);
      assert.equal(pair.client.end?.kind, 'failed', `round ${round}`);
      assert.equal(pair.client.count('install-child'), 0);
    }
  });

  test('a second EAP-Success after the first, in place of the final AUTH, is refused', () => {
    const pair = createPair(eapConfig, { impair: inRound(5, () => [success(4)]) });
    talk(pair);
    assert.equal(pair.client.end?.kind, 'failed');
    assert.equal(pair.client.count('install-child'), 0);
  });

  for (const [name, change] of [
    ['wrong', (payload: Payload) => [{ ...payload, data: new Uint8Array(32) } as Payload]],
    ['missing', () => []],
    ['a signature instead', (payload: Payload) => [{ ...payload, method: 14 } as Payload]],
  ] as const) {
    test(`the final AUTH is ${name}`, () => {
      const pair = createPair(eapConfig, {
        impair: inRound(5, (payloads) => payloads.flatMap((payload) => (payload.kind === 'AUTH' ? change(payload) : [payload]))),
      });
      talk(pair);
      assert.equal(pair.client.end?.kind, 'failed');
      assert.equal(pair.client.count('install-child'), 0);
      assert.equal(lastHeard(pair), '37 request 6: N24');
    });
  }

  test('a wrong password', () => {
    const pair = createPair(eapConfig);
    pair.client.password = 'wrong';
    talk(pair);
    assert.equal(failure(pair), 'wrong-password');
  });

  test('EAP-Failure', () => {
    const pair = createPair(eapConfig, { impair: inRound(2, () => [{ kind: 'EAP', packet: eap(4, 1, new Uint8Array(0)) }]) });
    talk(pair);
    assert.equal(failure(pair), 'rejected');
  });

  test('EAP packets that are no packets', () => {
    for (const packet of [
      Uint8Array.of(1),
      Uint8Array.of(1, 2, 0, 3),
      Uint8Array.of(9, 9, 0, 4),
      Uint8Array.of(1, 2, 255, 255, 1),
    ]) {
      const pair = createPair(eapConfig, { impair: inRound(2, () => [{ kind: 'EAP', packet }]) });
      talk(pair);
      assert.equal(pair.client.end?.kind, 'failed');
    }
  });

  test('an error in the middle', () => {
    const pair = createPair(eapConfig, { impair: inRound(3, () => [notify(24)]) });
    talk(pair);
    assert.deepEqual(pair.client.end, {
      kind: 'failed',
      failure: { kind: 'authentication-failed', detail: 'the gateway refuses our identity' },
    });
  });

  test('a host that never gives the secret', () => {
    const pair = createPair(eapConfig);
    pair.client.host.secret = false;
    talk(pair);
    assert.equal(pair.client.phase, 'eap-await-host');
    pair.client.advance(eapConfig.eapWaitMs - 1);
    assert.equal(pair.client.end, undefined);
    pair.client.advance(1);
    assert.equal(failure(pair), 'no-secret');
  });

  test('a gateway that waits for a second factor: retransmission goes on until eapWaitMs', () => {
    const pair = createPair(eapConfig);
    for (let i = 0; i < 3; i++) {
      toResponder(pair);
      toClient(pair);
    }
    const began = pair.client.now;
    assert.equal(pair.client.phase, 'eap-await-response');
    pair.client.advance(50_000);
    assert.equal(pair.client.end, undefined, 'beyond the usual 15 seconds');
    talk(pair);
    assert.equal(pair.client.phase, 'open');
    const silent = createPair(eapConfig);
    for (let i = 0; i < 3; i++) {
      toResponder(silent);
      toClient(silent);
    }
    silent.client.advance(200_000);
    assert.deepEqual(silent.client.end, { kind: 'failed', failure: { kind: 'no-answer', phase: 'auth', seconds: 60 } });
    assert.equal(began, 1000);
  });

  test('closed in the middle: nothing is kept', () => {
    const config: IkeSaConfig = {
      ...eapConfig,
      auth: {
        kind: 'eap',
        peer: { identity: user, method: { kind: 'tls', trust: { validate: true, serverNames: [], trustedRoots: [] } } },
      },
    };
    const pair = createPair(config, {
      // EAP-TLS Start (RFC 5216 §3.1).
      impair: inRound(2, () => [{ kind: 'EAP', packet: eap(1, 7, Uint8Array.of(13, 0x20)) }]),
    });
    talk(pair);
    assert.equal(pair.client.phase, 'eap-await-host');
    assert.equal(pair.client.last('eap')!.action.kind, 'tls-start');
    pair.client.step({ kind: 'close', why: 'asked' });
    assert.equal(pair.client.last('eap')!.action.kind, 'tls-close');
    assert.deepEqual(pair.client.end, { kind: 'closed', why: 'asked' });
  });

  test('a packet from the host is not a packet from the gateway', () => {
    const pair = createPair(eapConfig);
    pair.client.host.secret = false;
    talk(pair);
    pair.client.step({ kind: 'eap', event: { kind: 'packet', packet: eap(3, 2, new Uint8Array(0)) } });
    assert.equal(pair.client.phase, 'eap-await-host');
  });
});

const trust = { validate: true, serverNames: [], trustedRoots: [] } as const;
const inner = { identity: user, method: { kind: 'mschapv2', userName: user } } as const;
const methods: readonly (readonly [name: string, type: number, method: EapMethodConfig])[] = [
  ['EAP-MSCHAPv2', 26, { kind: 'mschapv2', userName: user }],
  ['EAP-TLS', 13, { kind: 'tls', trust }],
  ['PEAP', 25, { kind: 'peap', trust, requireCryptoBinding: true, fastReconnect: true, inner }],
  ['EAP-TTLS, PAP', 21, { kind: 'ttls', trust, inner: { kind: 'pap', userName: user } }],
  ['EAP-TTLS, MSCHAPv2', 21, { kind: 'ttls', trust, inner: { kind: 'mschapv2', userName: user } }],
  ['EAP-TTLS, inner EAP', 21, { kind: 'ttls', trust, inner: { kind: 'eap', ...inner } }],
];

for (const [name, type, method] of methods) {
  suite(`the order of things with ${name}`, () => {
    const config: IkeSaConfig = { ...eapConfig, auth: { kind: 'eap', peer: { identity: 'anonymous', method } } };
    const make = (impair?: ResponderOptions['impair'], believes = true): Pair => {
      const eapServer = type === 26 ? undefined : new TlsServer(type);
      const pair = createPair(config, { ...(eapServer && { eapServer }), ...(impair && { impair }) });
      pair.client.tls = fakeTls(() => believes);
      return pair;
    };

    test('nothing of EAP leaves before the gateway has proven itself (CVE-2015-4171)', () => {
      const undecided = make();
      undecided.client.host.verify = false;
      talk(undecided);
      undecided.client.advance(120_000);
      const impostor = make();
      impostor.client.verdict = { accepted: true, spki: createTestKey().spki, subject: '', trace: [] };
      talk(impostor);
      assert.equal(impostor.client.end?.kind, 'failed');
      for (const { client, responder } of [undecided, impostor]) {
        assert.ok(responder.heard.every(({ payloads }) => !pick(payloads, 'EAP')));
        assert.equal(client.count('eap'), 0);
      }
    });

    for (const round of [1, 2, 3]) {
      test(`EAP-Success in round ${round} (CVE-2021-45079)`, () => {
        for (const identifier of [0, 1, 2, 3]) {
          const pair = make((payloads, { header }) =>
            header.exchange === 35 && header.messageId === round
              ? [...payloads.filter(({ kind }) => kind !== 'EAP'), success(identifier)]
              : payloads,
          );
          talk(pair);
          assert.equal(failure(pair), 'out-of-order');
          assert.ok(pair.responder.heard.every(({ payloads }) => !pick(payloads, 'AUTH')));
          assert.equal(pair.client.count('install-child'), 0);
        }
      });
    }

    test('another method than that of the profile', () => {
      for (const other of [4, 5, 6, 13, 21, 25, 26, 43]) {
        if (other === type) continue;
        const pair = make((payloads, { header }) =>
          header.exchange === 35 && header.messageId >= 2
            ? [{ kind: 'EAP', packet: eap(1, header.messageId, Uint8Array.of(other, 0x20, 0, 0, 0)) }]
            : payloads,
        );
        talk(pair);
        assert.equal(failure(pair), 'method-mismatch', `type ${other}`);
        assert.equal(pair.client.count('eap'), 0, 'neither TLS nor a secret was asked for');
      }
    });

    if (type !== 26) {
      test('a RADIUS server that is not believed learns the outer identity only', () => {
        const pair = make(undefined, false);
        talk(pair);
        assert.equal(failure(pair), 'tls');
        for (const { payloads } of pair.responder.heard)
          assert.ok(!Buffer.from(pick(payloads, 'EAP')?.packet ?? []).includes(user));
      });
    }
  });
}

function failure({ client }: Pair): string | undefined {
  return client.end?.kind === 'failed' && client.end.failure.kind === 'eap' ? client.end.failure.failure.kind : undefined;
}
