// The machine's address changes under load: MOBIKE keeps the tunnel; without MOBIKE it is made anew.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { canary, network } from '../../../lab/network.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import { Stage } from '../../../lab/stage.ts';

const name = 'roaming';

suite('main/roaming', () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.set();
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  for (const order of ['make-before-break', 'break-before-make'] as const) {
    test(`MOBIKE keeps tunnel, addresses and flows (${order})`, async () => {
      const { world, product } = stage;
      await world.gateway.configure({ mobike: true });
      await product.put(name, certificateProfile({ servers: `v4.${network.gateway.name}` }), stage.machine());
      try {
        const before = await product.waitForState(name, 'up');
        assert.equal(before.crypto?.mobike, true);
        const flow = await world.application.flow(network.corp.web4, network.corp.echoPort, 200);
        await sleep(300);
        await world.moveClient('away', order);
        await sleep(1500);
        await world.moveClient('home', order);
        await sleep(1500);
        const report = await flow.stop();
        assert.ok(report.longestGapMs < 1000, `silent for ${report.longestGapMs} ms`);
        assert.ok(report.lost < report.sent * 0.25, `lost ${report.lost} of ${report.sent}`);
        const after = await product.waitForState(name, 'up');
        assert.deepEqual(after.addresses, before.addresses);
        assert.equal(after.connectedAt, before.connectedAt, 'it is the same tunnel');
        assert.equal(await world.gateway.established(), 1);
      } finally {
        await stage.strike(name);
      }
    });
  }

  test('without MOBIKE it is made anew', async () => {
    const { world, product } = stage;
    await world.gateway.configure({ mobike: false });
    await product.put(name, certificateProfile({ servers: `v4.${network.gateway.name}` }), stage.machine());
    const before = await product.waitForState(name, 'up');
    assert.equal(before.crypto?.mobike, false);
    const flow = await world.application.flow(network.corp.web4, network.corp.echoPort, 200);
    await sleep(300);
    await world.moveClient('away');
    const page = await world.application.fetchUntil(`http://${network.corp.web}/`, { timeoutMs: 15_000 });
    assert.match(page.body, new RegExp(canary));
    await sleep(500);
    const report = await flow.stop();
    assert.ok(report.longestGapMs < 8000, `silent for ${report.longestGapMs} ms`);
    const after = await product.waitForState(name, 'up');
    assert.notEqual(after.connectedAt, before.connectedAt);
    await world.moveClient('home');
    await product.waitForState(name, 'up');
  });
});
