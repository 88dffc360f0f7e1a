import { after, before, suite, test } from 'node:test';
import type { OpenDataPlane } from '@aovpn/esp';
import { UserspaceDataPlane } from '../../src/data-plane/userspace-data-plane.ts';
import { EchoServer, exchangeTcp, exchangeUdp } from './inner-traffic.ts';
import { inner, makeNetWorld, type NetWorld } from './net-world.ts';
import { aesGcm128, bringUp, join, makeChild, openStation, type Station } from './plane-fixture.ts';

/** What old kernels lack must cost speed only. */
suite('userspace plane without offloads', { concurrency: 1 }, () => {
  for (const [what, allowed] of [
    ['device one packet at a time', { device: false, socket: true }],
    ['socket one datagram at a time', { device: true, socket: false }],
    ['neither', { device: false, socket: false }],
  ] as const) {
    suite(what, { concurrency: 1 }, () => {
      const open: OpenDataPlane = (options, onEvent) => Promise.resolve(new UserspaceDataPlane(options, onEvent, allowed));
      let world: NetWorld;
      let a: Station;
      let b: Station;
      let echo: EchoServer;
      before(async () => {
        world = makeNetWorld();
        a = await openStation(open, world.a);
        b = await openStation(open, world.b);
        await join({ a, b }, 4);
        await bringUp(a, world.a, 'a');
        await bringUp(b, world.b, 'b');
        const child = makeChild(aesGcm128);
        await b.plane.installChild(child.b);
        await a.plane.installChild(child.a);
        echo = await EchoServer.start(world.b, [inner.b[4], inner.b[6]]);
      });
      after(async () => {
        echo?.close();
        await a?.plane.close();
        await b?.plane.close();
        world?.remove();
      });

      for (const family of [4, 6] as const) {
        test(`carries TCP and UDP over IPv${family}`, async () => {
          await exchangeUdp(world.a, inner.a[family], inner.b[family], [1, 100, 1300, 3000]);
          await exchangeTcp(world.a, inner.a[family], inner.b[family], 2_000_000);
        });
      }
    });
  }
});
