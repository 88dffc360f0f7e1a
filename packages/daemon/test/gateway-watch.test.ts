import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, suite, test } from 'node:test';
import { GatewayWatch } from '../src/gateway-watch.ts';
import { noTraffic } from './no-traffic.ts';

suite('a watch over the gateway', () => {
  let asked = 0;
  let looked = 0;
  let lastInboundAt: number | undefined;
  let now = 0;
  beforeEach(() => {
    asked = 0;
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
      polls,
      stats: () => {
        looked++;
        return Promise.resolve({ ...noTraffic, packetsOut: looked, ...(lastInboundAt !== undefined && { lastInboundAt }) });
      },
      probe: () => Promise.resolve(false),
      ask: () => asked++,
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

  test('looks at nothing while nothing is sent', async () => {
    const watch = watched(false);
    await later(3_600_000);
    assert.equal(looked, 0);
    watch.close();
  });

  test('what left and was answered within a second is no hint; what was not is one', async () => {
    const watch = watched(false);
    await later(60_000);
    watch.unanswered();
    lastInboundAt = now + 200;
    await later(1_000);
    assert.equal(asked, 0);
    await later(60_000);
    watch.unanswered();
    await later(1_000);
    assert.equal(asked, 1);
    watch.close();
  });

  test('a data plane that does not tell is asked every second', async () => {
    const watch = watched(true);
    for (let second = 0; second < 6; second++) await later(1_000);
    assert.equal(looked > 5, true);
    assert.equal(asked, 1);
    watch.close();
    await later(60_000);
    assert.equal(asked, 1);
  });
});
