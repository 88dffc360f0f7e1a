// The tunnel heals by itself: gateway stopped, killed, hung; cable pulled; a path that loses, drops, translates.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { canary, network } from '../../../lab/network.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import { Stage } from '../../../lab/stage.ts';

const name = 'healing';

suite('main/healing', () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.set();
    await stage.product.settings(`[profile."${name}"]\ndpd-seconds = 5\n`);
    await stage.product.put(name, certificateProfile(), stage.machine());
    await stage.product.waitForState(name, 'up');
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  test('after a restart of the gateway', async () => {
    const { world } = stage;
    await world.gateway.stop();
    await world.gateway.start();
    await heals(20_000);
  });

  test('after the gateway was killed and started again: nobody told us', async () => {
    const { world } = stage;
    await world.gateway.kill();
    await sleep(500);
    await world.gateway.start();
    await heals(30_000);
  });

  test('after the gateway hung for a while: the old tunnel lives on or a new one is made', async () => {
    const { world } = stage;
    await world.gateway.freeze();
    await stage.product.waitFor(name, 'in doubt', ({ state }) => state !== 'up');
    await world.gateway.thaw();
    await heals(30_000);
  });

  test('after the cable was out', async () => {
    const { world, product } = stage;
    await world.plug(false);
    await product.waitFor(name, 'in doubt', ({ state }) => state !== 'up');
    await world.plug(true);
    await heals(15_000);
  });

  test('after the path was a black hole for longer than all retransmissions', async () => {
    const { world, product } = stage;
    await world.impair({ blackhole: true });
    await product.waitFor(name, 'given up on the old tunnel', ({ state, problem }) => problem !== undefined && state !== 'up');
    await world.impair({});
    await heals(40_000);
  });

  test('with a NAT in the path, also when it forgets its mappings', async () => {
    const { world, product } = stage;
    await product.down(name);
    await product.waitForState(name, 'held');
    await world.impair({ nat: true });
    await product.up(name);
    const connection = await product.waitForState(name, 'up');
    assert.equal(connection.crypto?.natLocal, true);
    assert.match((await world.application.fetch(`http://${network.corp.web}/`)).body, new RegExp(canary));
    await world.forgetNatMappings();
    await heals(15_000);
    await world.impair({});
    await heals(30_000);
  });

  test('connects and works with 10 % loss', async () => {
    const { world, product } = stage;
    await product.down(name);
    await product.waitForState(name, 'held');
    await world.impair({ loss: 0.1, delayMs: 10, seed: 7 });
    await product.up(name);
    await product.waitForState(name, 'up');
    for (let round = 0; round < 3; round++) {
      const page = await world.application.fetchUntil(`http://${network.corp.web4}/bytes/20000`);
      assert.equal(page.octets, 20_000);
    }
    await world.impair({});
  });

  test('connects over a path that delays, doubles and reorders', async () => {
    const { world, product } = stage;
    await product.down(name);
    await product.waitForState(name, 'held');
    await world.impair({ delayMs: 20, jitterMs: 10, duplicate: 0.1, reorder: 0.1 });
    await product.up(name);
    await product.waitForState(name, 'up');
    const flow = await world.application.flow(network.corp.web4, network.corp.echoPort, 100);
    await sleep(1000);
    const report = await flow.stop(1000);
    assert.equal(report.lost, 0);
    assert.equal(report.duplicated, 0, 'the replay window drops what arrives twice');
    await world.impair({});
  });

  test('connects over a path that drops large datagrams: IKE fragments itself', async () => {
    const { world, product } = stage;
    await product.down(name);
    await product.waitForState(name, 'held');
    await world.impair({ dropLongerThan: 1300 });
    await product.up(name);
    await product.waitForState(name, 'up');
    await world.impair({});
  });

  async function heals(timeoutMs: number): Promise<void> {
    const { world, product } = stage;
    const page = await world.application.fetchUntil(`http://${network.corp.web}/`, { timeoutMs });
    assert.match(page.body, new RegExp(canary));
    const connection = await product.waitForState(name, 'up');
    assert.equal(connection.problem, undefined, 'a healed connection shows no problem');
  }
});
