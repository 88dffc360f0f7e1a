import assert from 'node:assert/strict';
import { test } from 'node:test';
import { halvesOf, writePointer } from '../../src/data-plane/packet-memory.ts';

test('pointers into memory that lies across a multiple of 4 GiB', () => {
  const words = new Int32Array(4);
  const view = new DataView(words.buffer);
  for (const base of [0x7f12_ffff_0000, 0x7f12_0000_0000, 0x7f12_7fff_ff00, 0xffff_fff0]) {
    const [low, high] = halvesOf(base);
    for (const offset of [0, 64, 0xff00, 0xffff, 0x1_0000, 0x20_0000]) {
      writePointer(words, 2, low, high, offset);
      assert.equal(view.getBigUint64(8, true), BigInt(base) + BigInt(offset), `${base.toString(16)} + ${offset}`);
    }
  }
});
