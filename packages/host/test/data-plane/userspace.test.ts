import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { openUserspaceDataPlane } from '../../src/data-plane/open-userspace.ts';
import { dataPlaneCompliance } from './compliance.ts';
import { makeNetWorld } from './net-world.ts';
import { openStation } from './plane-fixture.ts';

dataPlaneCompliance('userspace', openUserspaceDataPlane, { counts: 'all', longTransfer: 60_000_000, narrowPath: 1300 });

suite('userspace: rest', () => {
  test('when nothing happens the workers sleep, however commands and wake-ups crossed before', async () => {
    const world = makeNetWorld();
    const station = await openStation(openUserspaceDataPlane, world.a);
    const reads = (): number => Number(/syscr: (\d+)/.exec(readFileSync('/proc/self/io', 'utf8'))![1]);
    try {
      await station.at((plane) => plane.openDevice());
      for (let i = 0; i < 100; i++) {
        await Promise.all([station.plane.setInnerAddresses([]), station.plane.setInnerAddresses([])]);
        if (i % 10 !== 0) continue;
        // A worker that does not sleep reads its device some ten thousand times in this time.
        const before = reads();
        await new Promise((resolve) => setTimeout(resolve, 100));
        assert.ok(reads() - before < 500, `${reads() - before} reads while idle`);
      }
    } finally {
      await station.plane.close();
      world.remove();
    }
  });
});
