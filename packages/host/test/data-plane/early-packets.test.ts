import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { EarlyPackets } from '../../src/data-plane/early-packets.ts';

suite('ESP packets of pairs that are not there yet', () => {
  test('come back once, in their order, to their own pair', () => {
    const early = new EarlyPackets();
    for (const [spi, octet] of [
      [300, 1],
      [400, 2],
      [300, 3],
    ] as const)
      early.keep(spi, Uint8Array.of(octet), 0);
    assert.deepEqual(early.take(300, 10), [Uint8Array.of(1), Uint8Array.of(3)]);
    assert.deepEqual(early.take(300, 10), []);
    assert.deepEqual(early.take(400, 10), [Uint8Array.of(2)]);
  });

  test('not after half a second, and not more than 64', () => {
    const early = new EarlyPackets();
    early.keep(300, Uint8Array.of(1), 0);
    assert.deepEqual(early.take(300, 501), []);
    for (let i = 0; i < 100; i++) early.keep(300, Uint8Array.of(i), 1000);
    const taken = early.take(300, 1000);
    assert.equal(taken.length, 64);
    assert.deepEqual(taken[0], Uint8Array.of(36), 'the oldest make room');
  });
});
