// A laptop is closed and opened: logind says so, and the tunnel is looked at before anybody misses it.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import type { TraceMessage } from '@aovpn/api';
import { canary, network } from '../../../lab/network.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import { Logind, noLogind } from '../../../lab/server/logind.ts';
import { Stage } from '../../../lab/stage.ts';
import { until } from '../../../lab/until.ts';
import { World } from '../../../lab/world.ts';

const name = 'laptop';

suite('always-on/laptop: sleep', { skip: noLogind }, () => {
  let stage: Stage;
  let logind: Logind;

  before(async () => {
    const world = await World.create();
    logind = await Logind.start(world.client);
    stage = await Stage.on(world);
    // Nothing but the end of sleep makes it ask the gateway within this story.
    await stage.product.settings(`[profile."${name}"]\ndpd-seconds = 3600\n`);
    await stage.product.put(name, certificateProfile(), stage.machine());
    await stage.product.waitForState(name, 'up');
  });
  after(async () => {
    await stage?.[Symbol.asyncDispose]();
    await logind?.stop();
  });

  /** From the end of sleep until the first page came through the tunnel. */
  async function sleepsWhile(meanwhile: () => Promise<void>): Promise<number> {
    const { world } = stage;
    await fallAsleep();
    await meanwhile();
    logind.wake();
    const page = await world.application.fetchUntil(`http://${network.corp.web4}/`);
    assert.match(page.body, new RegExp(canary));
    return page.waitedMs;
  }

  async function fallAsleep(): Promise<void> {
    const { daemon } = stage.product;
    const before = daemon.output().split('goes to sleep').length;
    await logind.suspend();
    await until(
      () => `told that it goes to sleep:\n${daemon.output()}`,
      () => daemon.output().split('goes to sleep').length > before,
    );
  }

  test('after a nap it is the same tunnel, and the gateway was asked at once', async (t) => {
    const { product } = stage;
    const before = await product.waitForState(name, 'up');
    const asked = await questions();
    t.diagnostic(`traffic again after ${Math.round(await sleepsWhile(() => Promise.resolve()))} ms`);
    await until('the gateway is asked', async () => (await questions()) > asked);
    assert.equal(await questions(), asked + 1);
    assert.equal((await product.waitForState(name, 'up')).connectedAt, before.connectedAt);
  });

  test('the gateway has forgotten it meanwhile: a new one is made without anybody sending anything', async (t) => {
    const { product, world } = stage;
    const before = await product.waitForState(name, 'up');
    await fallAsleep();
    await world.gateway.kill();
    await world.gateway.start();
    logind.wake();
    const woke = performance.now();
    await product.waitFor(
      name,
      'connected anew',
      ({ state, connectedAt }) => state === 'up' && connectedAt !== before.connectedAt,
    );
    t.diagnostic(`connected anew after ${Math.round(performance.now() - woke)} ms`);
  });

  test('another network is there when it is opened again', async (t) => {
    const { world, product } = stage;
    const before = await product.waitForState(name, 'up');
    await world.plug(false);
    const ms = await sleepsWhile(async () => {
      await world.plug(true);
      await world.moveClient('away');
    });
    t.diagnostic(`traffic again after ${Math.round(ms)} ms`);
    assert.equal((await product.waitForState(name, 'up')).connectedAt, before.connectedAt, 'MOBIKE has kept it');
    await world.moveClient('home');
  });

  /** How often the gateway was asked whether it is there; a question that is sent again is no other one. */
  async function questions(): Promise<number> {
    const { stdout } = await stage.product.aovpn(['trace', '--json', name]);
    return stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as TraceMessage)
      .filter(({ exchange, direction, outcome }) => exchange === 'INFORMATIONAL' && direction === 'out' && outcome === 'sent')
      .length;
  }
});
