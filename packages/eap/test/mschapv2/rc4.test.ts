import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import * as fc from 'fast-check';
import { encodeUtf8, fromHex, toHex } from '@aovpn/bytes';
import { rc4 } from '../../src/mschapv2/rc4.ts';

suite('RC4', () => {
  // RFC 6229 §2: the key stream at offsets 0 and 16.
  const streams = [
    ['0102030405', 'b2396305f03dc027ccc3524a0a1118a86982944f18fc82d589c403a47a0d0919'],
    ['0102030405060708090a0b0c0d0e0f10', '9ac7cc9a609d1ef7b2932899cde41b975248c4959014126a6e8a84f11d1a9e1c'],
  ] as const;
  for (const [key, stream] of streams) {
    test(`RFC 6229 §2: key of ${key.length * 4} bits`, () => {
      assert.equal(toHex(rc4(fromHex(key), new Uint8Array(32))), stream);
    });
  }

  test('the key "Secret" and "Attack at dawn"', () => {
    assert.equal(toHex(rc4(encodeUtf8('Secret'), encodeUtf8('Attack at dawn'))), '45a01f645fc35b383552544b9bf5');
  });

  test('is its own inverse', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 256 }), fc.uint8Array({ maxLength: 600 }), (key, data) => {
        assert.deepEqual(rc4(key, rc4(key, data)), data);
      }),
    );
  });

  test('no key, or one that is too long, is our mistake', () => {
    assert.throws(() => rc4(new Uint8Array(0), new Uint8Array(1)), RangeError);
    assert.throws(() => rc4(new Uint8Array(257), new Uint8Array(1)), RangeError);
  });
});
