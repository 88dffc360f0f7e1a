// In the kernel lane, with the kernel's XFRM interfaces taken away: our daemon on the kernel's IPsec by policies with marks, against charon.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { withoutModule } from '../../../lab/kernel/without-module.ts';
import { network } from '../../../lab/network.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import { Stage } from '../../../lab/stage.ts';
import { installed } from '../../../lab/product.ts';
import { until } from '../../../lab/until.ts';
import { assertOnlyTunnel, changes, echoes, intranet, ipsecLeft, kernelSpis, nothingLeft } from './kernel-tunnel.ts';

const name = 'marks';

suite('a kernel without XFRM interfaces', { concurrency: 1 }, () => {
  let module: Disposable;
  let stage: Stage;
  before(async () => {
    module = withoutModule('xfrm_interface');
    stage = await Stage.set();
    await stage.world.gateway.configure({ espProposals: ['aes256gcm16-esn'] });
  });
  after(async () => {
    await stage?.[Symbol.asyncDispose]();
    module?.[Symbol.dispose]();
  });

  for (const outside of ['v6', 'v4'] as const) {
    test(`certificate, ${outside} outside, IPv4 and IPv6 inside, ESN: the kernel moves it by marks, and the status says so`, async () => {
      const { world, product } = stage;
      const capture = await world.capture();
      await product.put(name, certificateProfile({ servers: `${outside}.${network.gateway.name}` }), stage.machine());
      try {
        const { dataPlane, crypto } = await product.waitForState(name, 'up');
        assert.equal(dataPlane?.kind, 'kernel', dataPlane?.why);
        assert.match(dataPlane.why, /^policies with marks: .*no XFRM interface/);
        assert.equal(crypto?.child, 'AES-GCM-16-256 / ESN');
        assert.match(await world.client.exec(['ip', '-d', 'link']), new RegExp(`${outside === 'v4' ? 'vti' : 'vti6'} .*local`));
        await intranet(stage);
        assert.equal((await world.application.fetch(`http://${network.corp.web4}/bytes/300000`)).octets, 300_000);
        assertOnlyTunnel(await capture.stop());
        const { traffic } = (await product.connection(name))!;
        assert.ok(traffic!.bytesIn > 300_000 && traffic!.bytesOut > 1000, JSON.stringify(traffic));
      } finally {
        await stage.strike(name);
      }
      await nothingLeft(world.client);
    });
  }

  suite('one tunnel', { concurrency: 1 }, () => {
    before(async () => {
      await stage.product.settings(`[profile."${name}"]\nchild-lifetime-megabytes = 1\n`);
      await stage.product.put(name, certificateProfile({ servers: `v4.${network.gateway.name}` }), stage.machine());
      await stage.product.waitForState(name, 'up');
    });
    after(async () => {
      await stage?.strike(name);
      await stage?.product.settings('');
    });

    test('rekeys of the CHILD_SA by the gateway, of the IKE SA, and by us lose nothing', async () => {
      const { gateway, client, application } = stage.world;
      await echoes(stage.world, async () => {
        for (const rekey of [
          () => gateway.rekey('child'),
          async () => void (await application.fetch(`http://${network.corp.web4}/bytes/1500000`)),
        ]) {
          const before = await kernelSpis(client);
          await rekey();
          await changes('SPIs', before, () => kernelSpis(client));
          await sleep(500);
        }
        await gateway.rekey('ike');
        await sleep(3000);
      });
      await until('one IKE SA is left', async () => (await gateway.established()) === 1);
    });

    test('a second tunnel beside it is moved by the userspace plane, and the status says why', async () => {
      const { product } = stage;
      await product.put('second', certificateProfile({ servers: `v4.${network.gateway.name}` }), stage.machine());
      try {
        const { dataPlane } = await product.waitForState('second', 'up');
        assert.deepEqual([dataPlane?.kind, /one tunnel at a time/.test(dataPlane?.why ?? '')], ['userspace', true]);
        assert.equal((await product.connection(name))?.state, 'up');
      } finally {
        await product.remove('second');
      }
    });

    test('MOBIKE: the tunnel and its device follow to another network and back, connections stay', async () => {
      const { world, product } = stage;
      const flow = await world.application.flow(network.corp.web4, network.corp.echoPort, 20);
      for (const to of ['away', 'home'] as const) {
        await world.moveClient(to);
        await changes('gateway’s view', '', async () => ((await world.gateway.sas()).includes(network.client[to].v4) ? to : ''));
        await intranet(stage);
        assert.match(await world.client.exec(['ip', '-d', 'link']), new RegExp(`local ${network.client[to].v4} `));
      }
      const report = await flow.stop(10_000);
      assert.ok(report.received > report.sent / 2, JSON.stringify(report));
      assert.equal((await product.connection(name))?.state, 'up');
    });

    test('killed: nothing in clear; --clean-up leaves no SA, policy or device', async () => {
      const { world, product } = stage;
      const capture = await world.capture();
      await product.kill();
      await world.application.fetch(`http://${network.corp.web4}/`, { timeoutMs: 300 }).catch(() => undefined);
      assert.ok(!(await capture.stop()).some(({ destination }) => destination === network.corp.web4), 'in clear');
      assert.notEqual(await ipsecLeft(world.client), '');
      const cleaned = await world.client.run([...installed('aovpnd'), '--clean-up']);
      assert.equal(cleaned.status, 0, cleaned.stderr);
      await nothingLeft(world.client);
      await product.start();
      await product.waitForState(name, 'up');
    });
  });
});
