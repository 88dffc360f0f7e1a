import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { suite, test } from 'node:test';
import { encodeUtf8 } from '@aovpn/bytes';
import { derivePpkIkeKeys, ppkConfirmation } from '../../src/crypto/keymat.ts';
import type { PostquantumKey } from '../../src/machine/contract.ts';
import { notify } from '../../src/machine/pick.ts';
import { fixedPpkIdentity } from '../../src/machine/ppk.ts';
import type { Message, Payload } from '../../src/message/payload.ts';
import { assertSameChildren, assertSameIke, describe } from '../../testkit/assertion.ts';
import { createPair, established, talk, toClient, toResponder } from '../../testkit/conversation.ts';
import { createTestCrypto } from '../../testkit/test-crypto.ts';
import { certificateConfig, eapConfig, hybridConfig, sharedKey, sharedKeyConfig } from '../../testkit/world.ts';

const identity = fixedPpkIdentity(encodeUtf8('laptops'));
const key = encodeUtf8('thirty-two octets of true random');
const required: PostquantumKey = { identity, key, required: true };
const optional: PostquantumKey = { identity, key, required: false };
const early = { ppk: { identity, key }, ppkEarly: true };
const withPpk = { certificate: certificateConfig, EAP: eapConfig, 'shared key': sharedKeyConfig } as const;

/*
 * IKE_SA_INIT { …, N(INTERMEDIATE_EXCHANGE_SUPPORTED), N(USE_PPK), N(USE_PPK_INT) } -->
 *                              <-- IKE_SA_INIT { …, N(INTERMEDIATE_EXCHANGE_SUPPORTED), N(USE_PPK_INT) }
 * IKE_INTERMEDIATE SK { [KEi(1),] N(PPK_IDENTITY_KEY) (PPK_ID, confirmation) } -->
 *                              <-- IKE_INTERMEDIATE SK { [KEr(1),] N(PPK_IDENTITY) (PPK_ID) }
 * IKE_AUTH SK { IDi, …, AUTH } -->                              <-- IKE_AUTH SK { IDr, …, AUTH }
 */
suite('a PPK in IKE_INTERMEDIATE (RFC 9867)', () => {
  for (const [name, config] of Object.entries(withPpk)) {
    const options = name === 'shared key' ? { sharedKey } : {};
    test(`${name}: both have it, and IKE_AUTH is under keys made with it`, () => {
      const pair = established({ ...config, ppk: required }, { ...options, ...early });
      const heard = pair.responder.heard.map(describe);
      assert.match(heard[0]!, /N16438.*N16435 N16445/);
      assert.equal(heard[1], '43 request 1: N16446');
      assert.doesNotMatch(heard.slice(2).join(), /N1643[67]/, 'nothing of it in IKE_AUTH');
      assert.match(pair.client.last('established')!.facts.authentication, /with PPK$/);
      assertSameIke(pair);
      assertSameChildren(pair);
    });
  }

  test('with an additional key exchange: both in the last IKE_INTERMEDIATE', () => {
    const two = [{ ...certificateConfig.ikeProposals[0]!, additionalKe: [[36], [19]] }];
    const pair = established({ ...hybridConfig, ikeProposals: two, ppk: required }, { ikeProposals: two, ...early });
    assert.deepEqual(pair.responder.heard.slice(1, 3).map(describe), ['43 request 1: KE', '43 request 2: KE N16446']);
    assertSameIke(pair);
    assertSameChildren(pair);
  });

  test('every key changes as the RFC says, and the confirmation is what Libreswan sends', () => {
    const crypto = createTestCrypto();
    const hmac = (secret: Uint8Array, ...data: readonly Uint8Array[]): Buffer =>
      data.reduce((mac, octets) => mac.update(octets), createHmac('sha256', secret)).digest();
    const input = {
      nonceI: new Uint8Array(32).fill(1),
      nonceR: new Uint8Array(32).fill(2),
      spiI: new Uint8Array(8).fill(3),
      spiR: new Uint8Array(8).fill(4),
    };
    const skD = new Uint8Array(32).fill(5);
    const keys = derivePpkIkeKeys(crypto, { encr: 20, keyBits: 128, integ: 0, prf: 5, ke: 31 }, key, skD, input);
    const skeyseed = hmac(key, skD, Uint8Array.of(1));
    const seed = Buffer.concat([input.nonceI, input.nonceR, input.spiI, input.spiR]);
    assert.deepEqual(Buffer.from(keys.skD), hmac(skeyseed, seed, Uint8Array.of(1)));
    assert.deepEqual(Buffer.from(ppkConfirmation(crypto, 5, key, input)), hmac(key, seed).subarray(0, 8));
  });

  for (const [name, ppk] of Object.entries({
    'does not have ours': { identity: fixedPpkIdentity(encodeUtf8('servers')), key },
    'has another key by that name': { identity, key: encodeUtf8('another') },
  })) {
    test(`the gateway ${name}: without it where we may, no connection where we may not`, () => {
      const pair = established({ ...certificateConfig, ppk: optional }, { ppk, ppkEarly: true });
      assert.doesNotMatch(pair.client.last('established')!.facts.authentication, /PPK/);
      assertSameIke(pair);
      const refused = createPair({ ...certificateConfig, ppk: required }, { ppk, ppkEarly: true });
      talk(refused);
      assert.deepEqual(refused.client.end, { kind: 'failed', failure: { kind: 'not-supported', what: 'ppk' } });
      assert.ok(!refused.responder.heard.some(({ header }) => header.exchange === 35), 'no identity left');
    });
  }

  test('a gateway that only knows RFC 8784 gets it in IKE_AUTH', () => {
    const pair = established({ ...certificateConfig, ppk: required }, { ppk: early.ppk });
    assert.ok(!pair.responder.heard.some(({ header }) => header.exchange === 43));
    assert.match(describe(pair.responder.heard[1]!), /N16436/);
  });

  test('a lost answer: the same request again, and the same keys', () => {
    const pair = createPair({ ...certificateConfig, ppk: required }, early);
    toResponder(pair);
    toClient(pair);
    toResponder(pair);
    pair.responder.take();
    pair.client.advance(1500);
    talk(pair);
    assert.equal(pair.client.phase, 'open');
    assertSameIke(pair);
  });

  for (const [name, change] of Object.entries<(payloads: readonly Payload[]) => readonly Payload[]>({
    'names another PPK': () => [notify(16436, fixedPpkIdentity(encodeUtf8('servers')))],
    'has a KE that nobody asked for': (payloads) => [...payloads, { kind: 'KE', group: 31, data: new Uint8Array(32) }],
    'is an error': () => [notify(24)],
  })) {
    test(`an answer that ${name} ends it`, () => {
      const impair = (payloads: readonly Payload[], { header }: Message) =>
        header.exchange === 43 ? change(payloads) : payloads;
      const pair = createPair({ ...certificateConfig, ppk: required }, { ...early, impair });
      talk(pair);
      assert.equal(pair.client.end?.kind, 'failed');
      assert.ok(!pair.responder.heard.some(({ header }) => header.exchange === 35));
    });
  }

  test('whatever a later version says in USE_PPK_INT is passed over', () => {
    const impair = (payloads: readonly Payload[]) =>
      payloads.map((p) => (p.kind === 'N' && p.type === 16445 ? notify(16445, Uint8Array.of(1, 2, 3)) : p));
    assertSameIke(established({ ...certificateConfig, ppk: required }, { ...early, impair }));
  });

  test('USE_PPK_INT without IKE_INTERMEDIATE counts for nothing', () => {
    const strip = (payloads: readonly Payload[]) => payloads.filter((p) => p.kind !== 'N' || p.type !== 16438);
    const pair = createPair({ ...certificateConfig, ppk: required }, { ...early, impair: strip });
    talk(pair);
    pair.client.advance(3000);
    assert.deepEqual(pair.client.end, { kind: 'failed', failure: { kind: 'not-supported', what: 'ppk' } });
  });

  test('rekeys go on from those keys', () => {
    const pair = established({ ...certificateConfig, ppk: required }, early);
    pair.client.step({ kind: 'rekey-ike' });
    talk(pair);
    pair.responder.rekeyChild([...pair.responder.children.values()][0]!);
    talk(pair);
    assertSameIke(pair);
    assertSameChildren(pair, 1);
  });
});
