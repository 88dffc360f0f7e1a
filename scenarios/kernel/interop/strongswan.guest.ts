// In the kernel lane: our daemon on the kernel's IPsec against charon on the kernel's IPsec, each in its own network namespace.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { network } from '../../../lab/network.ts';
import { certificateProfile, eapTlsProfile, mschapv2Profile } from '../../../lab/profile-xml.ts';
import { installed } from '../../../lab/product.ts';
import { Stage } from '../../../lab/stage.ts';
import { assertOnlyTunnel, changes, echoes, intranet, ipsecLeft, kernelSpis, nothingLeft } from './kernel-tunnel.ts';

const name = 'kernel';

suite('strongSwan', { concurrency: 1 }, () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.set();
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  for (const outside of ['v4', 'v6'] as const) {
    test(`certificate, ${outside} outside, IPv4 and IPv6 inside, ESN, kernel data plane`, async () => {
      const { world, product } = stage;
      await world.gateway.configure({ espProposals: ['aes256gcm16-esn'] });
      const capture = await world.capture();
      await product.put(name, certificateProfile({ servers: `${outside}.${network.gateway.name}` }), stage.machine());
      try {
        const connection = await product.waitForState(name, 'up');
        assert.equal(connection.dataPlane?.kind, 'kernel', connection.dataPlane?.why);
        assert.equal(connection.crypto?.child, 'AES-GCM-16-256 / ESN');
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

  test('a suite without ESN, and every other ESP suite of ours at this gateway', async () => {
    const { world, product } = stage;
    for (const [proposal, child] of [
      ['aes128-sha256', 'AES-CBC-128 / HMAC-SHA2-256-128'],
      ['aes256-sha512', 'AES-CBC-256 / HMAC-SHA2-512-256'],
      ['chacha20poly1305', 'ChaCha20-Poly1305'],
    ] as const) {
      await world.gateway.configure({ espProposals: [proposal] });
      await product.put(name, certificateProfile(), stage.machine());
      try {
        const { crypto, dataPlane } = await product.waitForState(name, 'up');
        assert.deepEqual([crypto?.child, dataPlane?.kind], [child, 'kernel']);
        await intranet(stage);
      } finally {
        await stage.strike(name);
      }
    }
    await world.gateway.configure({ espProposals: ['aes128gcm16-esn-noesn'] });
  });

  test('our userspace plane against the kernel’s ESP, with ESN', async () => {
    const { world, product } = stage;
    await product.settings(`[profile."${name}"]\ndata-plane = "userspace"\n`);
    await product.put(name, certificateProfile(), stage.machine());
    try {
      const { crypto, dataPlane } = await product.waitForState(name, 'up');
      assert.deepEqual([crypto?.child, dataPlane?.kind], ['AES-GCM-16-128 / ESN', 'userspace']);
      await intranet(stage);
      await world.gateway.rekey('child');
      await sleep(1000);
      await intranet(stage);
    } finally {
      await stage.strike(name);
      await product.settings('');
    }
  });

  test('a way too narrow for IPv6 in the kernel’s ESP: the userspace plane, which cuts outside', async () => {
    const { world, product } = stage;
    const { device, home } = network.client;
    const route = `route replace default via ${home.router4} dev ${device}`;
    await world.client.ip(`${route} mtu 1300`);
    await product.put(name, certificateProfile({ servers: `v4.${network.gateway.name}` }), stage.machine());
    try {
      const { dataPlane } = await product.waitForState(name, 'up');
      assert.equal(dataPlane?.kind, 'userspace', dataPlane?.why);
      assert.match(dataPlane.why, /the way to the gateway carries 1300 octets/);
      await intranet(stage);
    } finally {
      await world.client.ip(route);
      await stage.strike(name);
    }
    // The same on the way: into a network that is so narrow.
    await product.put(name, certificateProfile({ servers: `v4.${network.gateway.name}` }), stage.machine());
    const plane = async (): Promise<string> => (await product.connection(name))?.dataPlane?.kind ?? 'kernel';
    try {
      await product.waitForState(name, 'up');
      assert.equal(await plane(), 'kernel');
      await world.client.ip(`link set ${device} mtu 1300`);
      await world.moveClient('away');
      await changes('data plane', 'kernel', plane);
      await product.waitForState(name, 'up');
      await intranet(stage);
    } finally {
      await world.client.ip(`link set ${device} mtu 1500`);
      await world.moveClient('home');
      await stage.strike(name);
    }
  });

  test('user name and password (EAP-MSCHAPv2)', async () => {
    const { world, product } = stage;
    await world.gateway.configure({ authentication: ['eap-mschapv2'] });
    await product.put(name, mschapv2Profile(), stage.user());
    try {
      assert.equal((await product.waitForState(name, 'up')).dataPlane?.kind, 'kernel');
      await intranet(stage);
    } finally {
      await stage.strike(name);
      await world.gateway.configure({ authentication: ['pubkey'] });
    }
  });

  test('user certificate (EAP-TLS)', async () => {
    const { world, product } = stage;
    await world.gateway.configure({ authentication: ['eap-tls'] });
    const radius = { roots: [world.pki.root.thumbprint], names: network.gateway.name };
    await product.put(name, eapTlsProfile({ radius }), stage.userCertificate(name));
    try {
      const { crypto, dataPlane } = await product.waitForState(name, 'up');
      assert.equal(dataPlane?.kind, 'kernel');
      assert.match(crypto?.radius?.tls?.version ?? '', /1\.2/);
      await intranet(stage);
    } finally {
      await stage.strike(name);
      await world.gateway.configure({ authentication: ['pubkey'] });
    }
  });

  suite('one tunnel', { concurrency: 1 }, () => {
    before(async () => {
      await stage.product.settings(`[profile."${name}"]\nchild-lifetime-megabytes = 1\n`);
      await stage.product.put(name, certificateProfile({ servers: `v4.${network.gateway.name}` }), stage.machine());
      await stage.product.waitForState(name, 'up');
    });
    after(async () => await stage?.strike(name));

    test('rekeys of the CHILD_SA by the gateway lose nothing', async () => {
      const { client } = stage.world;
      await echoes(stage.world, async () => {
        for (let turn = 0; turn < 3; turn++) {
          const before = await kernelSpis(client);
          await stage.world.gateway.rekey('child');
          await changes('SPIs', before, () => kernelSpis(client));
          await sleep(500);
        }
      });
    });

    test('rekeys of the IKE SA by the gateway lose nothing', async () => {
      await echoes(stage.world, async () => {
        await stage.world.gateway.rekey('ike');
        await sleep(3000);
      });
      assert.equal(await stage.world.gateway.established(), 1);
    });

    test('rekeys by us, after a megabyte, lose nothing', async () => {
      const { client } = stage.world;
      await echoes(stage.world, async () => {
        const before = await kernelSpis(client);
        await stage.world.application.fetch(`http://${network.corp.web4}/bytes/1500000`);
        await changes('SPIs', before, () => kernelSpis(client));
      });
    });

    test('MOBIKE: the tunnel follows to another network and back, connections stay', async () => {
      const { world, product } = stage;
      const flow = await world.application.flow(network.corp.web4, network.corp.echoPort, 20);
      for (const to of ['away', 'home'] as const) {
        await world.moveClient(to);
        await changes('gateway’s view', '', async () => ((await world.gateway.sas()).includes(network.client[to].v4) ? to : ''));
        await intranet(stage);
      }
      const report = await flow.stop(10_000);
      assert.ok(report.received > report.sent / 2, JSON.stringify(report));
      assert.equal((await product.connection(name))?.state, 'up');
    });

    test('what somebody flushes out of the kernel comes back', async () => {
      const { world } = stage;
      const policies = async (): Promise<string> => await world.client.exec(['ip', 'xfrm', 'policy']);
      await world.client.exec(['ip', 'xfrm', 'policy', 'flush']);
      await changes('policies', '', policies);
      await world.application.fetchUntil(`http://${network.corp.web4}/`);
      await intranet(stage);
      const before = await kernelSpis(world.client);
      await world.client.exec(['ip', 'xfrm', 'state', 'flush']);
      await changes('SPIs', before, async () => {
        const now = await kernelSpis(world.client);
        return now === '' ? before : now;
      });
      await intranet(stage);
    });
  });

  test('killed: nothing in clear; the next start, or --clean-up, leaves no SA, policy or device', async () => {
    const { world, product } = stage;
    await product.put(name, certificateProfile(), stage.machine());
    await product.waitForState(name, 'up');
    const capture = await world.capture();
    await product.kill();
    await world.application.fetch(`http://${network.corp.web4}/`, { timeoutMs: 300 }).catch(() => undefined);
    const seen = await capture.stop();
    assert.ok(!seen.some(({ destination }) => destination === network.corp.web4), 'in clear');
    assert.notEqual(await ipsecLeft(world.client), '');
    const cleaned = await world.client.run([...installed('aovpnd'), '--clean-up']);
    assert.equal(cleaned.status, 0, cleaned.stderr);
    await nothingLeft(world.client);
    await product.start();
    await product.waitForState(name, 'up');
    await intranet(stage);
    await product.remove(name);
  });
});
