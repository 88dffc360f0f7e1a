import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, suite, test } from 'node:test';
import { openFilters, type FilterEvent, type Filters } from '../../src/filter/filters.ts';
import { makeAppFixture, type AppFixture } from '../apps/app-fixture.ts';
import { inOwnNamespace } from '../network/namespace.ts';
import {
  appFilter,
  arrivals,
  buildWorld,
  expectArrivals,
  planOf,
  removeWorld,
  routesOf,
  sendFirst,
  trigger,
  world,
} from './filter-world.ts';

/** Starts a program again and again, some at a time. */
async function startMany(count: number, program: string, code: string): Promise<void> {
  let left = count;
  const one = async (): Promise<void> => {
    while (left-- > 0) await once(spawn(program, ['-e', code], { stdio: 'ignore' }), 'close');
  };
  await Promise.all([one(), one(), one(), one()]);
}

const starts = 1000;

inOwnNamespace(import.meta.url, () => {
  suite('a program whose first act is a packet', { concurrency: 1 }, () => {
    let fixture: AppFixture;
    let filters: Filters;
    let app: string;
    let other: string;
    const events: FilterEvent[] = [];
    const open = (): Promise<Filters> =>
      openFilters({
        onEvent: (event) => events.push(event),
        cgroupName: fixture.cgroups.path.split('/').at(-1)!,
        pins: false,
        stallMs: 60_000,
        runDirectory: fixture.directory,
      });
    before(async () => {
      await buildWorld();
      fixture = makeAppFixture();
      app = fixture.program('app');
      other = fixture.program('other');
      filters = await open();
    });
    after(async () => {
      await filters?.cleanUp();
      await filters?.close();
      fixture?.remove();
      removeWorld();
    });

    test('without anything: by the machine’s own routes, seen by the counters', async () => {
      arrivals();
      await startMany(5, app, sendFirst(world.inside) + sendFirst(world.outside));
      await expectArrivals({ phys: { 4: 10, 6: 10 }, tunnel: { 4: 0, 6: 0 } });
    });

    test(`per-app VPN: ${starts} starts, every packet in the tunnel; of another program none`, async () => {
      const plan = planOf([appFilter(app)], [trigger(app)]);
      await filters.apply(plan, routesOf(plan));
      arrivals();
      await startMany(starts, app, sendFirst(world.inside));
      await expectArrivals({ phys: { 4: 0, 6: 0 }, tunnel: { 4: starts, 6: starts } });
      await startMany(100, other, sendFirst(world.inside));
      await expectArrivals({ phys: { 4: 0, 6: 0 }, tunnel: { 4: 0, 6: 0 } }, 'the other program');
    });

    test(`per-app routing: ${starts} starts, every packet in the tunnel, none beside it`, async () => {
      const plan = planOf([appFilter(app, { routing: 'ForceTunnel' })]);
      await filters.apply(plan, routesOf(plan));
      arrivals();
      await startMany(starts, app, sendFirst(world.outside));
      await expectArrivals({ phys: { 4: 0, 6: 0 }, tunnel: { 4: starts, 6: starts } });
      await startMany(20, other, sendFirst(world.outside));
      await expectArrivals({ phys: { 4: 20, 6: 20 }, tunnel: { 4: 0, 6: 0 } }, 'the other program');
    });

    test('the control: a process moved once its first packets have left: those on the wrong path, the next in the tunnel', async () => {
      const plan = planOf([appFilter(app, { routing: 'ForceTunnel' })]);
      await filters.apply(plan, routesOf(plan));
      await filters.close();
      const key = plan.apps[0]!.key;
      const moves = 20;
      arrivals();
      for (let i = 0; i < moves; i++) {
        // What a watch does that learns of a start without holding it, at its slowest: no race decides here which comes first.
        const child = spawn(app, ['-e', `$|=1;${sendFirst(world.outside)}print "sent";<STDIN>;${sendFirst(world.outside)}`], {
          stdio: ['pipe', 'pipe', 'ignore'],
        });
        const ended = once(child, 'close');
        await Promise.race([once(child.stdout, 'data'), ended]);
        fixture.cgroups.move(child.pid!, key);
        child.stdin.end();
        await ended;
      }
      await expectArrivals({ phys: { 4: moves, 6: moves }, tunnel: { 4: moves, 6: moves } });
      // And with the daemon gone, what is enforced without it still is: nothing of the app's cgroup leaves beside the tunnel.
      filters = await open();
      await filters.apply(plan, routesOf(plan));
      await startMany(10, app, sendFirst(world.outside));
      await expectArrivals({ phys: { 4: 0, 6: 0 }, tunnel: { 4: 10, 6: 10 } });
    });
  });
});
