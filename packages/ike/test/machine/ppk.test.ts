import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { encodeUtf8 } from '@aovpn/bytes';
import type { IkeSaConfig, PostquantumKey } from '../../src/machine/contract.ts';
import { notify } from '../../src/machine/pick.ts';
import { fixedPpkIdentity } from '../../src/machine/ppk.ts';
import type { Payload } from '../../src/message/payload.ts';
import { assertSameChildren, assertSameIke, describe } from '../../testkit/assertion.ts';
import { createPair, established, talk } from '../../testkit/conversation.ts';
import { certificateConfig, eapConfig, sharedKey, sharedKeyConfig } from '../../testkit/world.ts';

const identity = fixedPpkIdentity(encodeUtf8('laptops'));
const key = encodeUtf8('thirty-two octets of true random');
const required: PostquantumKey = { identity, key, required: true };
const optional: PostquantumKey = { identity, key, required: false };
const withPpk = { certificate: certificateConfig, EAP: eapConfig, 'shared key': sharedKeyConfig } as const;

suite('a post-quantum preshared key (RFC 8784)', () => {
  for (const [name, config] of Object.entries(withPpk)) {
    const options = name === 'shared key' ? { sharedKey } : {};
    /*
     * IKE_SA_INIT { …, N(USE_PPK) } -->                <-- IKE_SA_INIT { …, N(USE_PPK) }
     * IKE_AUTH SK { IDi, …, AUTH, N(PPK_IDENTITY) [, N(NO_PPK_AUTH)] } -->
     *                                                   <-- IKE_AUTH SK { IDr, …, AUTH, N(PPK_IDENTITY) }
     * With EAP the two stand in the last exchange of IKE_AUTH.
     */
    test(`${name}: both have it`, () => {
      const pair = established({ ...config, ppk: required }, { ...options, ppk: { identity, key } });
      const heard = pair.responder.heard.map(describe);
      assert.match(heard[0]!, /N16435/);
      assert.match(heard.at(-1)!, /AUTH.* N16436/);
      assert.doesNotMatch(heard.join(), /N16437/, 'nothing without it');
      if (name === 'EAP') assert.doesNotMatch(heard[1]!, /N16436/);
      assertSameIke(pair);
      assertSameChildren(pair);
      const plain = established(config, options);
      assert.notDeepEqual(plain.responder.current.skD, pair.responder.current.skD);
    });

    test(`${name}: the gateway does not have ours, and we may go without`, () => {
      const another = { identity: fixedPpkIdentity(encodeUtf8('servers')), key };
      const pair = established({ ...config, ppk: optional }, { ...options, ppk: another });
      assert.match(describe(pair.responder.heard.at(-1)!), /AUTH.* N16436 N16437/);
      assertSameIke(pair);
      assertSameChildren(pair);
    });

    test(`${name}: the gateway has another key by that name`, () => {
      const pair = createPair({ ...config, ppk: optional }, { ...options, ppk: { identity, key: encodeUtf8('another') } });
      talk(pair);
      assert.equal(pair.client.end?.kind, 'failed');
      assert.equal(pair.client.count('install-child'), 0);
    });
  }

  test('what is required and not there ends before anything is authenticated', () => {
    const pair = createPair({ ...certificateConfig, ppk: required });
    talk(pair);
    assert.equal(pair.client.phase, 'init-await-better', 'the word may have been taken out on the way');
    pair.client.advance(3000);
    assert.deepEqual(pair.client.end, { kind: 'failed', failure: { kind: 'not-supported', what: 'ppk' } });
    assert.deepEqual(
      pair.responder.heard.map(({ header }) => header.exchange),
      [34],
    );
  });

  test('what is required and left out in IKE_AUTH ends it too', () => {
    const config: IkeSaConfig = { ...certificateConfig, ppk: required };
    const pair = createPair(config, {
      ppk: { identity, key },
      impair: (payloads) => payloads.filter((payload) => payload.kind !== 'N' || payload.type !== 16436),
    });
    talk(pair);
    assert.deepEqual(pair.client.end, { kind: 'failed', failure: { kind: 'not-supported', what: 'ppk' } });
    assert.equal(describe(pair.responder.heard.at(-1)!), '37 request 2: N24', 'the gateway is told');
  });

  test('what the answer writes into its PPK_IDENTITY means nothing', () => {
    const impair = (payloads: readonly Payload[]) =>
      payloads.map((payload) =>
        payload.kind === 'N' && payload.type === 16436 ? notify(16436, Uint8Array.of(2, 9, 9)) : payload,
      );
    const pair = established({ ...certificateConfig, ppk: required }, { ppk: { identity, key }, impair });
    assertSameIke(pair);
  });

  test('rekeys take SK_d on, and the PPK is not mixed in again', () => {
    const pair = established({ ...certificateConfig, ppk: required }, { ppk: { identity, key } });
    const from = pair.responder.heard.length;
    pair.client.step({ kind: 'rekey-ike' });
    talk(pair);
    pair.client.step({ kind: 'rekey-child', spiIn: pair.client.sa.children[0]!.spiIn });
    talk(pair);
    assert.doesNotMatch(pair.responder.heard.slice(from).map(describe).join(), /N1643[5-7]/);
    assertSameIke(pair);
    assertSameChildren(pair, 1);
  });

  test('a gateway that does not speak it is no hindrance where it is optional', () => {
    const pair = established({ ...certificateConfig, ppk: optional });
    assert.doesNotMatch(describe(pair.responder.heard[1]!), /N1643[67]/);
    assertSameChildren(pair);
  });
});
