import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { fromHex, toHex } from '@aovpn/bytes';
import { compoundKeys, compoundSessionKey } from '../../src/peap/compound-key.ts';
import { answerCryptobinding } from '../../src/peap/cryptobinding.ts';
import { testCrypto } from '../crypto.ts';

interface Golden {
  readonly provenance: string;
  readonly cases: readonly {
    readonly name: string;
    readonly keyMaterial: string;
    readonly innerMsk: string | null;
    readonly requestTlv: string;
    readonly ipmk: string;
    readonly cmk: string;
    readonly responseMac: string;
    readonly csk: string;
    readonly msk: string;
  }[];
}

const golden = JSON.parse(readFileSync(new URL('cryptobinding-golden.json', import.meta.url), 'utf8')) as Golden;
const crypto = testCrypto();

suite('PEAP cryptobinding against hostapd and eapol_test ([MS-PEAP] §3.1.5.5, §3.1.5.7)', () => {
  test('there are goldens', () => assert.equal(golden.cases.length, 4));

  for (const each of golden.cases) {
    test(each.name, () => {
      const inner = each.innerMsk === null ? undefined : fromHex(each.innerMsk);
      const keys = compoundKeys(crypto, fromHex(each.keyMaterial), inner);
      assert.equal(toHex(keys.ipmk), each.ipmk);
      assert.equal(toHex(keys.cmk), each.cmk);
      const request = fromHex(each.requestTlv);
      const response = answerCryptobinding(crypto, request, keys);
      assert.ok(response, "the server's compound MAC is right");
      assert.equal(toHex(response), `000c003800000001${toHex(request.subarray(8, 40))}${each.responseMac}`);
      const csk = compoundSessionKey(crypto, keys.ipmk);
      assert.equal(toHex(csk), each.csk);
      assert.equal(toHex(csk.subarray(0, 64)), each.msk);
    });
  }

  const first = golden.cases[0]!;
  const { cmk } = compoundKeys(crypto, fromHex(first.keyMaterial), fromHex(first.innerMsk!));

  // The reserved octet is ignored on receipt, but the MAC covers it too.
  for (let octet = 0; octet < 60; octet++) {
    test(`a change in octet ${octet} is noticed`, () => {
      const request = fromHex(first.requestTlv);
      request[octet]! ^= 1;
      assert.equal(answerCryptobinding(crypto, request, { cmk }), undefined);
    });
  }

  test('our own response sent back is refused (reflection)', () => {
    const response = answerCryptobinding(crypto, fromHex(first.requestTlv), { cmk })!;
    assert.equal(answerCryptobinding(crypto, response, { cmk }), undefined);
  });

  for (const length of [0, 1, 59, 61]) {
    test(`${length} octets instead of 60`, () => {
      const request = new Uint8Array(length);
      request.set(fromHex(first.requestTlv).subarray(0, length));
      assert.equal(answerCryptobinding(crypto, request, { cmk }), undefined);
    });
  }

  test('an inner method without keys counts as 32 zeros', () => {
    const material = fromHex(first.keyMaterial);
    const none = compoundKeys(crypto, material, new Uint8Array());
    assert.deepEqual(none, compoundKeys(crypto, material, new Uint8Array(64)));
    assert.notDeepEqual(none, compoundKeys(crypto, material, undefined));
  });

  test('only the first 32 octets of the inner key count, and the key material stays as it was', () => {
    const material = fromHex(first.keyMaterial);
    const long = new Uint8Array(64).fill(9);
    const short = long.slice(0, 32);
    assert.deepEqual(compoundKeys(crypto, material, long), compoundKeys(crypto, material, short));
    assert.equal(toHex(material), first.keyMaterial);
  });
});
