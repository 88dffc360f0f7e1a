import assert from 'node:assert/strict';
import { createDecipheriv } from 'node:crypto';
import { suite, test } from 'node:test';
import * as fc from 'fast-check';
import { concat, decodeUtf16le, encodeUtf8, toHex } from '@aovpn/bytes';
import {
  canBeNewPassword,
  newPasswordEncryptedWithOldNtPasswordHash,
  oldNtPasswordHashEncryptedWithNewNtPasswordHash,
} from '../../src/mschapv2/change-password.ts';
import { expandDesKey } from '../../src/mschapv2/des.ts';
import { ntPasswordHash } from '../../src/mschapv2/ms-chap-v2.ts';
import { rc4 } from '../../src/mschapv2/rc4.ts';
import { testCrypto } from '../crypto.ts';

const oldHash = ntPasswordHash(encodeUtf8('MyPw'));

/** As a server reads it (RFC 2759 §8.10): what the block says, and what lies before it. */
function readBlock(encrypted: Uint8Array): { readonly password: string; readonly filling: Uint8Array } {
  const block = rc4(oldHash, encrypted);
  assert.equal(block.length, 516);
  const length = new DataView(block.buffer).getUint32(512, true);
  return { password: decodeUtf16le(block.subarray(512 - length, 512)), filling: block.subarray(0, 512 - length) };
}

function decryptDes(key7: Uint8Array, block: Uint8Array): Uint8Array {
  const key = expandDesKey(key7);
  const cipher = createDecipheriv('des-ede3-ecb', concat(key, key, key), null).setAutoPadding(false);
  return new Uint8Array(Buffer.concat([cipher.update(block), cipher.final()]));
}

suite('a change of password: RFC 2759 §8.9 to §8.13', () => {
  test('the new password can be read with the old hash, and the rest of the block is random', () => {
    const crypto = testCrypto((length) => Uint8Array.from({ length }, (_, i) => i));
    const encrypted = newPasswordEncryptedWithOldNtPasswordHash(crypto, encodeUtf8('nëw pässword 😀'), oldHash);
    const { password, filling } = readBlock(encrypted);
    assert.equal(password, 'nëw pässword 😀');
    assert.deepEqual(
      filling,
      Uint8Array.from({ length: filling.length }, (_, i) => i),
    );
  });

  test('any password of 1 to 256 characters', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, maxLength: 256 }), (password) => {
        const octets = encodeUtf8(password);
        assert.ok(canBeNewPassword(octets));
        assert.equal(readBlock(newPasswordEncryptedWithOldNtPasswordHash(testCrypto(), octets, oldHash)).password, password);
      }),
    );
  });

  test('none, and more than 256 characters, cannot be carried', () => {
    assert.ok(!canBeNewPassword(new Uint8Array(0)));
    assert.ok(canBeNewPassword(encodeUtf8('x'.repeat(256))));
    assert.ok(!canBeNewPassword(encodeUtf8('x'.repeat(257))));
    assert.ok(canBeNewPassword(encodeUtf8('😀'.repeat(128))));
    assert.ok(!canBeNewPassword(encodeUtf8('😀'.repeat(129))));
    assert.throws(
      () => newPasswordEncryptedWithOldNtPasswordHash(testCrypto(), new Uint8Array(257).fill(0x41), oldHash),
      RangeError,
    );
  });

  test('the old hash can be read with the new one (DES of OpenSSL)', () => {
    const newHash = ntPasswordHash(encodeUtf8('other'));
    const encrypted = oldNtPasswordHashEncryptedWithNewNtPasswordHash(oldHash, newHash);
    const decrypted = concat(
      decryptDes(newHash.subarray(0, 7), encrypted.subarray(0, 8)),
      decryptDes(newHash.subarray(7, 14), encrypted.subarray(8)),
    );
    assert.equal(toHex(decrypted), toHex(oldHash));
    // RFC 2759 §9.2's neighbour RFC 3079 §3.5.1 gives this hash for "MyPw".
    assert.equal(toHex(oldHash), 'fc156af7edcd6c0edde3337d427f4eac');
  });
});
