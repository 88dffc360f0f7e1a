import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { layerBoxes, mergeBoxes, type Box } from '../../src/filter/box.ts';

const interval = fc.tuple(fc.nat(12), fc.nat(6)).map(([from, length]) => ({ from, to: from + length }));
const boxes = fc.array(fc.tuple(interval, interval, interval), { minLength: 1, maxLength: 40 });
const point = fc.tuple(fc.nat(18), fc.nat(18), fc.nat(18));

const holds = (some: readonly Box[], at: readonly number[]): boolean =>
  some.some((box) => box.every(({ from, to }, i) => from <= at[i]! && at[i]! <= to));
const overlap = (a: Box, b: Box): boolean => a.every(({ from, to }, i) => from <= b[i]!.to && b[i]!.from <= to);

suite('boxes', () => {
  test('merged and layered boxes are the same points, and no layer has an overlap', () => {
    fc.assert(
      fc.property(boxes, fc.array(point, { maxLength: 50 }), (some, points) => {
        const { layers, rest } = layerBoxes(mergeBoxes(some));
        for (const at of points) assert.equal(holds([...layers.flat(), ...rest], at), holds(some, at));
        for (const layer of layers)
          for (const [i, a] of layer.entries()) for (const b of layer.slice(i + 1)) assert.ok(!overlap(a, b));
      }),
      { numRuns: 300 },
    );
  });

  test('addresses of 128 bits', () => {
    const high = 0x2001_0db8_0000_0000_0000_0000_0000_0000n;
    const merged = mergeBoxes([
      [{ from: high, to: high + 7n }],
      [{ from: high + 8n, to: high + 9n }],
      [{ from: high + 11n, to: high + 11n }],
    ]);
    assert.deepEqual(merged, [[{ from: high, to: high + 9n }], [{ from: high + 11n, to: high + 11n }]]);
  });

  test('boxes made to overlap: the effort has a bound, and nothing is lost', () => {
    // A cross for each pair: every box overlaps every other, and none lies in another.
    const crosses = Array.from({ length: 3000 }, (_, i): Box => [
      { from: i, to: 100_000 - i },
      { from: 50_000 - i, to: 50_000 + i },
    ]);
    const { layers, rest } = layerBoxes(crosses);
    assert.equal(layers.flat().length + rest.length, crosses.length);
    assert.ok(rest.length > 0);
  });
});
