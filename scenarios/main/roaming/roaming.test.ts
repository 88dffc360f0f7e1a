// The machine's address changes under load: MOBIKE keeps the tunnel; without MOBIKE it is made anew.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import type { FlowReport } from '../../../lab/probe/probe.ts';
import { canary, network } from '../../../lab/network.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import { Stage } from '../../../lab/stage.ts';
import { until } from '../../../lab/until.ts';

const name = 'roaming';
/** Milliseconds; no measure of speed: where nobody notices the move, the question whether the gateway is there comes after ten seconds, and is given up eleven later. */
const noticed = 10_000;

suite('main/roaming', () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.set();
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  /** Packets to the company and back, from now on. */
  const someMore = async (): Promise<FlowReport> => {
    const flow = await stage.world.application.flow(network.corp.web4, network.corp.echoPort, 200);
    await until('enough are sent', async () => (await flow.look()).sent > 50);
    return await flow.stop();
  };

  for (const order of ['make-before-break', 'break-before-make'] as const) {
    test(`MOBIKE keeps tunnel, addresses and flows (${order})`, async (t) => {
      const { world, product } = stage;
      await world.gateway.configure({ mobike: true });
      await product.put(name, certificateProfile({ servers: `v4.${network.gateway.name}` }), stage.machine());
      try {
        const before = await product.waitForState(name, 'up');
        assert.equal(before.crypto?.mobike, true);
        const flow = await world.application.flow(network.corp.web4, network.corp.echoPort, 200);
        await until('packets come back', async () => (await flow.look()).received > 0);
        for (const place of ['away', 'home'] as const) {
          await world.moveClient(place, order);
          await until(
            async () => `the gateway follows:\n${await world.gateway.sas()}`,
            async () => (await world.gateway.sas()).includes(network.client[place].v4),
          );
          const { received } = await flow.look();
          await until('packets come back', async () => (await flow.look()).received > received);
          assert.equal((await someMore()).lost, 0, 'there it loses nothing');
        }
        const { longestGapMs } = await flow.stop(0);
        t.diagnostic(`silent for ${longestGapMs} ms`);
        assert.ok(longestGapMs < noticed, `silent for ${longestGapMs} ms`);
        const after = await product.waitForState(name, 'up');
        assert.deepEqual(after.addresses, before.addresses);
        assert.equal(after.connectedAt, before.connectedAt, 'it is the same tunnel');
        assert.equal(await world.gateway.established(), 1);
      } finally {
        await stage.strike(name);
      }
    });
  }

  test('without MOBIKE it is made anew', async (t) => {
    const { world, product } = stage;
    await world.gateway.configure({ mobike: false });
    await product.put(name, certificateProfile({ servers: `v4.${network.gateway.name}` }), stage.machine());
    const before = await product.waitForState(name, 'up');
    assert.equal(before.crypto?.mobike, false);
    const flow = await world.application.flow(network.corp.web4, network.corp.echoPort, 200);
    await until('packets come back', async () => (await flow.look()).received > 0);
    await world.moveClient('away');
    const page = await world.application.fetchUntil(`http://${network.corp.web}/`);
    assert.match(page.body, new RegExp(canary));
    const { received } = await flow.look();
    await until('packets come back', async () => (await flow.look()).received > received);
    const { longestGapMs } = await flow.stop(0);
    t.diagnostic(`silent for ${longestGapMs} ms`);
    assert.ok(longestGapMs < noticed, `silent for ${longestGapMs} ms`);
    const after = await product.waitForState(name, 'up');
    assert.notEqual(after.connectedAt, before.connectedAt);
    await world.moveClient('home');
    await product.waitForState(name, 'up');
  });
});
