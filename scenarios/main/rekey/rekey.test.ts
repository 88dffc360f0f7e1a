// New keys under traffic, from either side, CHILD and IKE: not one packet is lost.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { network } from '../../../lab/network.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import { Stage } from '../../../lab/stage.ts';
import { until } from '../../../lab/until.ts';

const name = 'rekey';

suite('main/rekey', () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.set();
    await stage.product.settings(`[profile."${name}"]\nchild-lifetime-megabytes = 1\n`);
    await stage.product.put(name, certificateProfile(), stage.machine());
    await stage.product.waitForState(name, 'up');
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  test('by the gateway, CHILD SA, six times', async () => {
    await losesNothing(async () => {
      for (let turn = 0; turn < 6; turn++) {
        const before = await childSpis();
        await stage.world.gateway.rekey('child');
        await changes(before, childSpis);
        await sleep(150);
      }
    });
  });

  test('by the gateway, IKE SA, four times, and CHILD SAs in between', async () => {
    await losesNothing(async () => {
      for (let turn = 0; turn < 4; turn++) {
        const before = await ikeSpis();
        await stage.world.gateway.rekey('ike');
        await changes(before, ikeSpis);
        await stage.world.gateway.rekey('child');
        await sleep(150);
      }
    });
    await settled();
  });

  test('by us, CHILD SA, after a megabyte', async () => {
    const { world } = stage;
    await losesNothing(async () => {
      for (let turn = 0; turn < 3; turn++) {
        const before = await childSpis();
        await world.application.fetch(`http://${network.corp.web4}/bytes/1500000`);
        await changes(before, childSpis);
      }
    });
  });

  test('by both at once', async () => {
    const { world } = stage;
    await losesNothing(async () => {
      const before = await childSpis();
      await Promise.all([
        world.application.fetch(`http://${network.corp.web4}/bytes/1500000`),
        world.gateway.rekey('child'),
        world.gateway.rekey('ike'),
      ]);
      await changes(before, childSpis);
      await sleep(500);
    });
    await settled();
  });

  /** Runs `action` while numbered datagrams go back and forth. */
  async function losesNothing(action: () => Promise<void>): Promise<void> {
    const flow = await stage.world.application.flow(network.corp.web4, network.corp.echoPort, 250);
    await sleep(200);
    try {
      await action();
    } finally {
      const report = await flow.stop();
      assert.equal(report.lost, 0, `lost ${report.lost} of ${report.sent}; longest gap ${report.longestGapMs} ms`);
      assert.ok(report.sent > 50);
    }
  }

  /** One IKE SA is left of all that were made; who lost the race of addresses at the beginning has half of another one. */
  const settled = async (): Promise<void> => {
    const { gateway } = stage.world;
    await until(
      async () => `one IKE SA is left:\n${await gateway.sas()}`,
      async () => (await gateway.established()) === 1 && [...(await gateway.sas()).matchAll(/^pubkey: #/gm)].length === 1,
    );
  };
  const childSpis = async (): Promise<string> =>
    [...(await stage.world.gateway.sas()).matchAll(/^ +in +([0-9a-f]{8})/gm)].map(([, spi]) => spi).join();
  const ikeSpis = async (): Promise<string> =>
    /ESTABLISHED, IKEv2, ([0-9a-f]+_i)/.exec(await stage.world.gateway.sas())?.[1] ?? '';

  async function changes(before: string, look: () => Promise<string>): Promise<void> {
    await until(
      () => `other keys than ${before}\n${stage.world.gateway.log().split('\n').slice(-30).join('\n')}`,
      async () => ![before, ''].includes(await look()),
    );
  }
});
