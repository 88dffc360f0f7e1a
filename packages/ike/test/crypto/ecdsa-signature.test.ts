import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { concat, fromHex, toHex } from '@aovpn/bytes';
import { ecdsaSignatureToDer, parseEcdsaSignature } from '@aovpn/ike';

test('any r | s but zeros: to DER and back, and the DER is the only one', () => {
  for (const size of [32, 48, 66]) {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 2 * size, maxLength: 2 * size }), fc.nat(size), (octets, zeros) => {
        const raw = Uint8Array.from(octets).fill(0, 0, zeros);
        raw[size - 1]! |= 1;
        raw[2 * size - 1]! |= 1;
        const der = ecdsaSignatureToDer(raw);
        const pair = parseEcdsaSignature(der, size)!;
        assert.equal(toHex(concat(pair.r, pair.s)), toHex(raw));
        for (let length = 0; length < der.length; length++)
          assert.equal(parseEcdsaSignature(der.subarray(0, length), size), undefined);
        assert.equal(parseEcdsaSignature(concat(der, Uint8Array.of(0)), size), undefined);
      }),
      { numRuns: 60 },
    );
  }
});

test('the long form of a length exactly from 128 octets on', () => {
  const long = ecdsaSignatureToDer(new Uint8Array(132).fill(1));
  assert.equal(toHex(long.subarray(0, 3)), '308188');
  assert.equal(ecdsaSignatureToDer(new Uint8Array(96).fill(1))[1], 100);
});

test('other encodings of the same numbers', () => {
  assert.ok(parseEcdsaSignature(fromHex('3006020101020102'), 32));
  const loose = [
    '30 81 06 020101 020102',
    '30 82 0006 020101 020102',
    '30 80 020101 020102 0000',
    '30 07 02020001 020102',
    '30 07 020101 02020002',
    '30 06 020181 020102',
    '30 06 030101 020102',
    '30 06 020101 030102',
    '31 06 020101 020102',
    '30 06 020100 020101',
    '30 06 020101 020100',
    '30 04 0200 0200',
    '30 03 020101',
    '30 09 020101 020102 020103',
    '30 07 02810101 020102',
    '',
    '30',
  ];
  for (const text of loose) assert.equal(parseEcdsaSignature(fromHex(text), 32), undefined, text);
  assert.equal(parseEcdsaSignature(fromHex(`3026 0221 01${'00'.repeat(32)} 020101`), 32), undefined, 'longer than the curve');
});
