import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { EapMethodConfig, EapPeerConfig, TlsServerTrust } from '@aovpn/eap';
import type { IkeSaConfig } from '../../src/machine/contract.ts';
import { isFitForEapOnly } from '../../src/machine/eap-round.ts';
import { pick, pickNotify } from '../../src/machine/pick.ts';
import type { Payload } from '../../src/message/payload.ts';
import { assertSameChildren, assertSameIke } from '../../testkit/assertion.ts';
import { createPair, talk, type Pair } from '../../testkit/conversation.ts';
import { eap } from '../../testkit/ms-chap-server.ts';
import type { ResponderOptions } from '../../testkit/responder-options.ts';
import { fakeTls, TlsServer } from '../../testkit/tls-method.ts';
import { eapConfig, user } from '../../testkit/world.ts';

const trust: TlsServerTrust = { validate: true, serverNames: [], trustedRoots: [] };
const tls: EapMethodConfig = { kind: 'tls', trust };

function configOf(peer: EapPeerConfig, allowEapOnly = true): IkeSaConfig {
  return { ...eapConfig, auth: { kind: 'eap', peer, allowEapOnly } };
}

const anonymousTls = configOf({ identity: 'anonymous@example.com', method: tls });

function talkTls(config: IkeSaConfig, options: ResponderOptions = {}, believes = true): Pair {
  const pair = createPair(config, { eapServer: new TlsServer(), ...options });
  pair.client.tls = fakeTls(() => believes);
  talk(pair);
  return pair;
}

const asksForIt = ({ responder }: Pair): boolean =>
  responder.heard.some(({ payloads }) => pickNotify(payloads, 16417) !== undefined);

/*
 * IKE_AUTH SK { IDi, CERTREQ, CP, SAi2, TSi, TSr, N(EAP_ONLY_AUTHENTICATION) } -->
 *                             <-- IKE_AUTH SK { IDr, EAP(Request) }
 * IKE_AUTH SK { EAP(Response) } -->  ...  <-- IKE_AUTH SK { EAP(Success) }
 * IKE_AUTH SK { AUTH }          -->
 *                             <-- IKE_AUTH SK { AUTH, CP, SAr2, TSi, TSr }
 */
suite('EAP-only authentication (RFC 5998)', () => {
  test('a method that proves the server and yields a key: established without a certificate of the gateway', () => {
    const pair = talkTls(anonymousTls, { eapOnly: true });
    assert.equal(pair.client.phase, 'open');
    assert.equal(pair.client.count('verify-gateway'), 0);
    assert.match(pair.client.last('established')!.facts.authentication, /^EAP only; /);
    assertSameIke(pair);
    assertSameChildren(pair);
  });

  test('allowed, but the gateway shows its certificate: that is verified as ever', () => {
    const pair = talkTls(anonymousTls);
    assert.equal(pair.client.phase, 'open');
    assert.equal(pair.client.count('verify-gateway'), 1);
  });

  test('not asked for unless allowed, and then a gateway without AUTH is refused (CVE-2015-4171)', () => {
    for (const auth of [anonymousTls.auth, configOf({ identity: user, method: tls }).auth]) {
      const config: IkeSaConfig = { ...eapConfig, auth: { ...auth, allowEapOnly: false } as IkeSaConfig['auth'] };
      const pair = talkTls(config, { eapOnly: 'always' });
      assert.ok(!asksForIt(pair));
      assert.equal(pair.client.end?.kind, 'failed');
      assert.ok(
        pair.responder.heard.every(({ payloads }) => !pick(payloads, 'EAP')),
        'not even the outer identity left',
      );
    }
  });

  test('a RADIUS server that is not believed proves no gateway', () => {
    const pair = talkTls(anonymousTls, { eapOnly: true }, false);
    assert.equal(pair.client.end?.kind, 'failed');
    assert.equal(pair.client.count('established'), 0);
  });

  const inRound =
    (round: number, change: (payloads: readonly Payload[]) => readonly Payload[]): NonNullable<ResponderOptions['impair']> =>
    (payloads, { header }) =>
      header.exchange === 35 && header.messageId === round ? change(payloads) : payloads;

  test('a gateway that calls itself something else', () => {
    const idr = { kind: 'IDr', identity: { type: 2, data: new TextEncoder().encode('evil.example.com') } } as const;
    const pair = talkTls(anonymousTls, {
      eapOnly: true,
      impair: inRound(1, (payloads) => payloads.map((payload) => (payload.kind === 'IDr' ? idr : payload))),
    });
    assert.equal(pair.client.end?.kind, 'failed');
    assert.ok(pair.responder.heard.every(({ payloads }) => !pick(payloads, 'EAP')));
  });

  for (const round of [1, 2, 3]) {
    test(`EAP-Success in round ${round}, before TLS is done (CVE-2021-45079)`, () => {
      const pair = talkTls(anonymousTls, {
        eapOnly: true,
        impair: inRound(round, (payloads) => [
          ...payloads.filter(({ kind }) => kind !== 'EAP'),
          { kind: 'EAP', packet: eap(3, round - 1, new Uint8Array(0)) },
        ]),
      });
      assert.equal(pair.client.end?.kind, 'failed');
      assert.equal(pair.client.count('install-child'), 0);
      assert.ok(pair.responder.heard.every(({ payloads }) => !pick(payloads, 'AUTH')));
    });
  }

  test('the key is not the one of the server: the final AUTH gives the gateway away', () => {
    const server = new TlsServer();
    Object.defineProperty(server, 'msk', { get: () => new Uint8Array(64).fill(9), set: () => {} });
    const pair = talkTls(anonymousTls, { eapOnly: true, eapServer: server });
    assert.equal(pair.client.end?.kind, 'failed');
    assert.equal(pair.client.count('install-child'), 0);
  });
});

suite('what is fit for EAP-only authentication', () => {
  const inner = { identity: user, method: { kind: 'mschapv2', userName: user } } as const;
  const peap: EapMethodConfig = { kind: 'peap', trust, requireCryptoBinding: true, fastReconnect: false, inner };
  const ttls: EapMethodConfig = { kind: 'ttls', trust, inner: { kind: 'pap', userName: user } };
  const unchecked = { ...trust, validate: false };
  const cases: readonly (readonly [string, boolean, EapPeerConfig])[] = [
    ['TLS, anonymous', true, { identity: '@example.com', method: tls }],
    ['PEAP, anonymous', true, { identity: 'anonymous', method: peap }],
    ['TTLS, anonymous', true, { identity: 'anonymous@example.com', method: ttls }],
    ['TLS under its own name', false, { identity: user, method: tls }],
    ['PEAP under its own name', false, { identity: user, method: peap }],
    ['TLS with anybody', false, { identity: 'anonymous', method: { ...tls, trust: unchecked } }],
    ['PEAP with anybody', false, { identity: 'anonymous', method: { ...peap, trust: unchecked } }],
    [
      'TTLS with whom a person believes',
      false,
      { identity: 'anonymous', method: { ...ttls, trust: { ...trust, mayAsk: true } } },
    ],
    ['MSCHAPv2', false, { identity: 'anonymous', method: { kind: 'mschapv2', userName: user } }],
  ];
  for (const [name, fit, peer] of cases) {
    test(`${name}: ${fit ? 'yes' : 'no'}`, () => {
      assert.equal(isFitForEapOnly(peer), fit);
      const pair = createPair(configOf(peer), { eapOnly: 'always', eapServer: new TlsServer() });
      talk(pair);
      assert.equal(asksForIt(pair), fit);
      assert.equal(
        pair.responder.heard.some(({ payloads }) => pick(payloads, 'EAP')),
        fit,
      );
    });
  }
});
