import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DaemonEvent } from '@aovpn/api';
import { keepMemorySmall } from '../src/memory-return.ts';

test('memory is given back once, when connections have come to rest', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let watcher: ((event: DaemonEvent) => void) | undefined;
  let times = 0;
  let programs = 0;
  const daemon = { subscribe: (one: (event: DaemonEvent) => void) => ((watcher = one), () => (watcher = undefined)) };
  const end = keepMemorySmall(
    daemon,
    () => times++,
    () => programs++,
  );
  t.mock.timers.tick(1000);
  watcher!({ kind: 'removed', name: 'corp' });
  t.mock.timers.tick(1000);
  assert.equal(times, 0, 'something has just happened');
  t.mock.timers.tick(1000);
  assert.equal(times, 1);
  t.mock.timers.tick(1_000_000);
  assert.equal(times, 1, 'no timer runs while nothing happens');
  assert.equal(programs, 0, 'a handshake may come');
  const status = (state: string): DaemonEvent => ({ kind: 'status', connection: { name: 'corp', state } }) as DaemonEvent;
  watcher!(status('connecting'));
  t.mock.timers.tick(2000);
  assert.equal(programs, 0);
  watcher!(status('up'));
  t.mock.timers.tick(2000);
  assert.equal(times, 3);
  assert.equal(programs, 1, 'a tunnel is up and nothing happens');
  watcher!(status('recovering'));
  t.mock.timers.tick(2000);
  assert.equal(programs, 1);
  watcher!(status('up'));
  watcher!({ kind: 'removed', name: 'corp' });
  t.mock.timers.tick(2000);
  assert.equal(programs, 1);
  assert.equal(times, 5);
  watcher!({ kind: 'removed', name: 'corp' });
  end();
  t.mock.timers.tick(10_000);
  assert.equal(times, 5);
  assert.equal(watcher, undefined);
});
