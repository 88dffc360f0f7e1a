import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { foldSum, sumWords } from '@aovpn/esp';
import * as fc from 'fast-check';
import { PacketMemory } from '../../src/data-plane/packet-memory.ts';
import { swap } from '../../src/data-plane/segmenter.ts';

suite('checksum in WebAssembly', () => {
  const memory = new PacketMemory(3 * 65536);

  test('equals the sum in JavaScript, for any octets, place and length', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.integer({ min: 64, max: 90 }), (octets, at) => {
        memory.octets.fill(0xa5, 0, 1024);
        memory.octets.set(octets, at);
        const expected = foldSum(sumWords(octets, 0, octets.length));
        // 0 and 0xffff are the same number in ones' complement.
        assert.equal(swap(memory.sum(at, octets.length)) % 0xffff, expected % 0xffff);
      }),
    );
  });

  test('does not overflow on the longest packet', () => {
    memory.octets.fill(0xff);
    assert.equal(memory.sum(64, 65534), 0xffff);
    assert.equal(memory.sum(65, 65535), 0x00ff);
  });

  test('of nothing is nothing', () => assert.equal(memory.sum(64, 0), 0));
});
