// In the kernel lane: our daemon on the kernel's IPsec against Libreswan's pluto. Libreswan 4.10 has one address family to a connection and knows no
// EAP that we speak as a client without a server's certificate in it; what it can do is here.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Libreswan } from '../../../lab/gateway/libreswan.ts';
import { canary, network } from '../../../lab/network.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import type { Product } from '../../../lab/product.ts';
import type { KeyKind } from '../../../lab/pki/authority.ts';
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
    await product.settings(`[profile."${name}"]\nchild-lifetime-megabytes = 1\n`);
    await product.start();
  });
  after(async () => await world?.close());

  const start = async (family: 4 | 6, key: KeyKind): Promise<void> => {
    gateway = await Libreswan.start(world.gatewayHost, {
      certificate: world.pki.gateway('good', key),
      authorities: [world.pki.root.certificatePem],
      family,
    });
  };
  const credentials = (key: KeyKind): Parameters<Product['put']>[2] => {
    const machine = world.pki.machine(key);
    return { certificatePem: machine.chainPem, keyPem: machine.keyPem, gatewayCaPem: world.pki.root.certificatePem };
  };
  const up = async (outside: 'v4' | 'v6', key: KeyKind): Promise<string | undefined> => {
    await product.put(name, certificateProfile({ servers: `${outside}.${network.gateway.name}` }), credentials(key));
    const connection = await product.waitForState(name, 'up').catch((error: unknown) => {
      throw new Error(`${String(error)}\n${gateway!.log().slice(-6000)}`);
    });
    assert.equal(connection.dataPlane?.kind, 'kernel');
    return connection.crypto?.child;
  };
  /** A failure comes with what both sides said last. */
  const told = async (action: Promise<unknown>): Promise<void> => {
    try {
      await action;
    } catch (error) {
      const ours = product.daemon.output().slice(-3000);
      throw new Error(`${String(error)}\n${gateway!.log().slice(-4000)}\n${ours}`, { cause: error });
    }
  };
  const intranet = async (address: string): Promise<void> => {
    assert.match((await world.application.fetch(`http://${address}/`)).body, new RegExp(canary));
  };

  suite('IPv4', { concurrency: 1 }, () => {
    before(async () => await start(4, 'p256'));
    after(async () => {
      if ((await product.connection(name)) !== undefined) await product.remove(name);
      await gateway?.stop();
    });

    test('certificate with P-256 keys: a tunnel, and nothing else on the wire', async () => {
      const capture = await world.capture();
      assert.match((await up('v4', 'p256'))!, /^AES-GCM-16-(128|256)( \/ ESN)?$/);
      await intranet(network.corp.web4);
      assert.equal((await world.application.fetch(`http://${network.corp.web4}/bytes/300000`)).octets, 300_000);
      assertOnlyTunnel(await capture.stop());
    });

    test('rekeys by us, after a megabyte: connections stay', async () => {
      // Pluto sends on the new SA before we can have its answer (RFC 7296 §2.8 allows that): what is under way until then is lost.
      const flow = await world.application.flow(network.corp.web4, network.corp.echoPort, 50);
      const before = await kernelSpis(world.client);
      await told(world.application.fetch(`http://${network.corp.web4}/bytes/1500000`, { timeoutMs: 20_000 }));
      await told(changes('SPIs', before, () => kernelSpis(world.client)));
      const report = await flow.stop(3000);
      await told(echoes(world, async () => await sleep(1000)));
      assert.ok(report.received > report.sent / 2, JSON.stringify(report));
    });

    test('rekeys by the gateway, of CHILD_SA and IKE SA: connections stay', async () => {
      // Pluto ends the old SA as soon as the new one is there: what is under way on it is lost.
      const flow = await world.application.flow(network.corp.web4, network.corp.echoPort, 50);
      const before = await kernelSpis(world.client);
      await gateway!.rekey('child', 'corp');
      await told(changes('SPIs', before, () => kernelSpis(world.client)));
      await gateway!.rekey('ike', 'corp');
      await told(changes('number of rekeys', '1', async () => String(product.daemon.output().split('IKE SA rekeyed').length)));
      const report = await flow.stop(3000);
      assert.ok(report.received > report.sent / 2, JSON.stringify(report));
      await told(echoes(world, async () => await sleep(1000)));
    });
  });

  suite('IPv6', { concurrency: 1 }, () => {
    before(async () => await start(6, 'rsa2048'));
    after(async () => await gateway?.stop());

    test('certificate with RSA keys, IPv6 outside and inside', async () => {
      await up('v6', 'rsa2048');
      await intranet(`[${network.corp.web6}]`);
      await product.remove(name);
    });
  });
});
