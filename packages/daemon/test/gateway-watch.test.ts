import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, suite, test } from 'node:test';
import { GatewayWatch } from '../src/gateway-watch.ts';
import { noTraffic } from './no-traffic.ts';

suite('a watch over the gateway', () => {
  let asked = 0;
  const told: (number | undefined)[] = [];
  let looked = 0;
  let lastInboundAt: number | undefined;
  let now = 0;
  beforeEach(() => {
    asked = 0;
    told.length = 0;
    looked = 0;
    lastInboundAt = undefined;
    now = 100_000;
    mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
    mock.method(performance, 'now', () => now);
  });
  afterEach(() => {
    mock.timers.reset();
    mock.restoreAll();
  });

  function watched(polls: boolean): GatewayWatch {
    const watch = new GatewayWatch({
      polls: () => polls,
      stats: () => {
        looked++;
        return Promise.resolve({ ...noTraffic, packetsOut: looked, ...(lastInboundAt !== undefined && { lastInboundAt }) });
      },
      probe: () => Promise.resolve(false),
      ask: () => asked++,
      unanswered: (at) => told.push(at),
      answersStrangers: () => undefined,
    });
    watch.start();
    return watch;
  }

  async function later(milliseconds: number): Promise<void> {
    now += milliseconds;
    mock.timers.tick(milliseconds);
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  }

  /** The network and the data plane complain every second. */
  async function complain(watch: GatewayWatch, seconds: number): Promise<void> {
    for (let second = 0; second < seconds; second++) {
      watch.hint();
      watch.unanswered();
      await later(1_000);
    }
  }

  test('looks at nothing while nothing is sent', async () => {
    const watch = watched(false);
    await later(3_600_000);
    assert.equal(looked, 0);
    watch.close();
  });

  test('what left and was answered within a second is nothing; what was not is told, with the time of what came last', async () => {
    const watch = watched(false);
    await later(60_000);
    watch.unanswered();
    lastInboundAt = now + 200;
    await later(1_000);
    assert.deepEqual(told, []);
    await later(60_000);
    watch.unanswered();
    await later(1_000);
    assert.deepEqual(told, [lastInboundAt]);
    assert.equal(asked, 0);
    watch.close();
  });

  test('it is told every five seconds while it lasts, whatever the network says; not while the gateway is being asked', async () => {
    const watch = watched(false);
    await later(60_000);
    await complain(watch, 12);
    assert.equal(told.length, 3);
    assert.equal(asked, 3);
    watch.silent = true;
    await complain(watch, 12);
    assert.equal(told.length, 3);
    assert.equal(asked, 3);
    watch.close();
  });

  test('a data plane that does not tell is asked every second', async () => {
    const watch = watched(true);
    for (let second = 0; second < 6; second++) await later(1_000);
    assert.equal(looked > 5, true);
    assert.equal(told.length, 1);
    watch.close();
    await later(60_000);
    assert.equal(told.length, 1);
  });
});
