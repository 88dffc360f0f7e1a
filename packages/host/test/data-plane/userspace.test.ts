import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { silenceMs } from '@aovpn/esp';
import { openUserspaceDataPlane } from '../../src/data-plane/open-userspace.ts';
import { dataPlaneCompliance } from './compliance.ts';
import { inner, makeNetWorld } from './net-world.ts';
import { UdpPeer } from './inner-traffic.ts';
import { bringUp, openStation, ScriptedGateway, udpPacket } from './plane-fixture.ts';

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

  test('packets that leave while nothing comes in are told of, and none before the silence is long enough', async () => {
    const world = makeNetWorld();
    const gateway = await ScriptedGateway.meet(openUserspaceDataPlane, world);
    try {
      await bringUp(gateway.station, world.a, 'a');
      await gateway.install();
      const peer = await UdpPeer.open(world.a, inner.a[4], 5201);
      // It is heard after this, and however much later we learn of it.
      const heardAt = performance.now();
      gateway.send(gateway.seal(udpPacket(inner.b[4].bytes, inner.a[4].bytes, 6002, 5201, Uint8Array.of(1))));
      await peer.received.take('a packet from the gateway');
      gateway.station.events.clear();
      const sender = setInterval(() => peer.send(Uint8Array.of(2), inner.b[4], 6001), 100);
      try {
        await gateway.station.events.take('word of the silence', ({ kind }) => kind === 'unanswered');
      } finally {
        clearInterval(sender);
        peer.close();
      }
      assert.ok(performance.now() - heardAt > silenceMs - 10, `${performance.now() - heardAt} ms`);
    } finally {
      await gateway.close();
      world.remove();
    }
  });
});
