import assert from 'node:assert/strict';
import { createCipheriv } from 'node:crypto';
import { suite, test } from 'node:test';
import * as fc from 'fast-check';
import { concat, encodeUtf8, fromHex, toHex } from '@aovpn/bytes';
import { desEncrypt, expandDesKey } from '../../src/mschapv2/des.ts';

suite('DES', () => {
  test('FIPS 81, table B1', () => {
    // 01 23 45 67 89 ab cd ef without its parity bits.
    const key = fromHex('00451338957377');
    assert.equal(toHex(expandDesKey(key)), '0123456789abcdef');
    assert.equal(toHex(desEncrypt(key, encodeUtf8('Now is t'))), '3fa40e8a984d4815');
  });

  test('RFC 2759 §9.2: the first key of NtPasswordHash', () => {
    assert.equal(toHex(desEncrypt(fromHex('44ebba8d5312b8'), fromHex('d02e4386bce91226'))), '82309ecd8d708b5e');
  });

  test('agrees with OpenSSL (triple DES with one key three times is DES)', () => {
    const octets = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
    fc.assert(
      fc.property(octets(7), octets(8), (key7, block) => {
        const key = expandDesKey(key7);
        const cipher = createCipheriv('des-ede3-ecb', concat(key, key, key), null).setAutoPadding(false);
        assert.equal(toHex(desEncrypt(key7, block)), Buffer.concat([cipher.update(block), cipher.final()]).toString('hex'));
      }),
    );
  });
});
