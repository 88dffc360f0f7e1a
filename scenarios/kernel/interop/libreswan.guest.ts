// In the kernel lane: our daemon on the kernel's IPsec against Libreswan's pluto. Libreswan 4.10 has one address family to a connection and knows no
// EAP that we speak as a client without a server's certificate in it; what it can do is here.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Libreswan } from '../../../lab/gateway/libreswan.ts';
import { canary, network } from '../../../lab/network.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import type { Product } from '../../../lab/product.ts';
import { World } from '../../../lab/world.ts';
import { assertOnlyTunnel, changes, echoes, kernelSpis } from './kernel-tunnel.ts';

const name = 'libreswan';

suite('Libreswan', { concurrency: 1 }, () => {
  let world: World;
  let product: Product;
  let gateway: Libreswan | undefined;
  before(async () => {
    world = await World.create();
    product = world.product();
    await product.start();
  });
  after(async () => await world?.close());

  const start = async (family: 4 | 6): Promise<void> => {
    gateway = await Libreswan.start(world.gatewayHost, {
      certificate: world.pki.gateway(),
      authorities: [world.pki.root.certificatePem],
      family,
    });
  };
  const credentials = (): Parameters<Product['put']>[2] => {
    const machine = world.pki.machine();
    return { certificatePem: machine.chainPem, keyPem: machine.keyPem, gatewayCaPem: world.pki.root.certificatePem };
  };
  const up = async (outside: 'v4' | 'v6'): Promise<string | undefined> => {
    await product.put(name, certificateProfile({ servers: `${outside}.${network.gateway.name}` }), credentials());
    const connection = await product.waitForState(name, 'up').catch((error: unknown) => {
      throw new Error(`${String(error)}\n${gateway!.log().slice(-6000)}`);
    });
    assert.equal(connection.dataPlane?.kind, 'kernel');
    return connection.crypto?.child;
  };
  const intranet = async (address: string): Promise<void> => {
    assert.match((await world.application.fetch(`http://${address}/`)).body, new RegExp(canary));
  };

  suite('IPv4', { concurrency: 1 }, () => {
    before(async () => await start(4));
    after(async () => {
      if ((await product.connection(name)) !== undefined) await product.remove(name);
      await gateway?.stop();
    });

    test('certificate: a tunnel, and nothing else on the wire', async () => {
      const capture = await world.capture();
      assert.match((await up('v4'))!, /^AES-GCM-16-(128|256)( \/ ESN)?$/);
      await intranet(network.corp.web4);
      assert.equal((await world.application.fetch(`http://${network.corp.web4}/bytes/300000`)).octets, 300_000);
      assertOnlyTunnel(await capture.stop());
    });

    test('rekeys by us lose nothing', async () => {
      await product.settings(`[profile."${name}"]\nchild-lifetime-megabytes = 1\n`);
      await product.waitForState(name, 'up');
      await echoes(world, async () => {
        const before = await kernelSpis(world.client);
        await world.application.fetch(`http://${network.corp.web4}/bytes/1500000`, { timeoutMs: 20_000 });
        await changes('SPIs', before, () => kernelSpis(world.client));
      });
    });

    test('rekeys by the gateway, of CHILD_SA and IKE SA, lose nothing', async () => {
      await echoes(world, async () => {
        const before = await kernelSpis(world.client);
        const said = await gateway!.rekey('child', 'corp');
        await changes('SPIs', before, () => kernelSpis(world.client)).catch((error: unknown) => {
          throw new Error(`${String(error)}\n${said.stdout}${said.stderr}\n${gateway!.log().slice(-3000)}`);
        });
        await gateway!.rekey('ike', 'corp');
        await sleep(3000);
      });
    });

    test('MOBIKE: the tunnel follows to another network', async () => {
      await world.moveClient('away');
      await changes('gateway’s view', '', async () => {
        const states = await world.gatewayHost.exec(['ip', 'xfrm', 'state']);
        return states.includes(network.client.away.v4) ? 'moved' : '';
      });
      await intranet(network.corp.web4);
      await world.moveClient('home');
      await intranet(network.corp.web4);
    });
  });

  suite('IPv6', { concurrency: 1 }, () => {
    before(async () => await start(6));
    after(async () => await gateway?.stop());

    test('certificate, IPv6 outside and inside', async () => {
      await up('v6');
      await intranet(`[${network.corp.web6}]`);
      await product.remove(name);
    });
  });
});
