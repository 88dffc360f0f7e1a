import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { concat, equal, fromHex, toHex, wipe } from '../src/index.ts';

test('concat joins in order and copies', () => {
  const a = Uint8Array.of(1, 2);
  const joined = concat(a, Uint8Array.of(), Uint8Array.of(3));
  assert.deepEqual([...joined], [1, 2, 3]);
  a[0] = 9;
  assert.equal(joined[0], 1);
});

test('the comparison agrees with the octets', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 8 }), fc.uint8Array({ maxLength: 8 }), (a, b) => {
      assert.equal(equal(a, b), toHex(a) === toHex(b));
    }),
  );
  assert.equal(equal(Uint8Array.of(1, 2), Uint8Array.of(1, 2)), true);
});

test('wipe overwrites every octet and tolerates absence', () => {
  const secret = Uint8Array.of(1, 2, 3);
  wipe(secret, undefined);
  assert.deepEqual([...secret], [0, 0, 0]);
});

test('hexadecimal goes there and back, in either case and with separators', () => {
  fc.assert(fc.property(fc.uint8Array(), (bytes) => assert.deepEqual(fromHex(toHex(bytes)), bytes)));
  assert.deepEqual([...fromHex('DE:ad BE\nef')], [0xde, 0xad, 0xbe, 0xef]);
  assert.throws(() => fromHex('abc'), RangeError);
  assert.throws(() => fromHex('zz'), RangeError);
});
