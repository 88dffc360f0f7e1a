import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Reader, TruncatedError, Writer } from '../src/index.ts';

test('what is written is read', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 0xff }),
      fc.integer({ min: 0, max: 0xffff }),
      fc.integer({ min: 0, max: 0xffffff }),
      fc.integer({ min: 0, max: 0xffffffff }),
      fc.bigInt({ min: 0n, max: 0xffffffffffffffffn }),
      fc.uint8Array(),
      (a, b, c, d, e, octets) => {
        const reader = new Reader(new Writer(1).u8(a).u16(b).u24(c).u32(d).u64(e).bytes(octets).finish());
        assert.deepEqual([reader.u8(), reader.u16(), reader.u24(), reader.u32(), reader.u64()], [a, b, c, d, e]);
        assert.deepEqual(new Uint8Array(reader.rest()), octets);
        reader.end();
      },
    ),
  );
});

test('fields written before can be overwritten, others cannot', () => {
  const writer = new Writer().u16(0).u32(0).u8(7).patchU16(0, 0xabcd).patchU32(2, 0xfedcba98);
  assert.deepEqual([...writer.finish()], [0xab, 0xcd, 0xfe, 0xdc, 0xba, 0x98, 7]);
  assert.throws(() => writer.patchU16(6, 1), RangeError);
});

test('a reader never returns fewer octets than asked', () => {
  const reader = new Reader(Uint8Array.of(1, 2, 3), 'a test');
  assert.equal(reader.sub(2).u16(), 0x0102);
  assert.throws(
    () => reader.u16(),
    (error) => error instanceof TruncatedError && error.offset === 2 && error.message.startsWith('a test:'),
  );
  assert.throws(() => reader.bytes(-1), TruncatedError);
  assert.throws(() => reader.end(), TruncatedError);
  assert.equal(reader.u8(), 3);
});
