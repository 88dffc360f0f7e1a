// In the kernel lane: our daemon on the kernel's IPsec against Libreswan's pluto. Of EAP it has TLS alone, and a connection of it has one inner address family.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ConnectionStatus } from '@aovpn/api';
import { Libreswan, type LibreswanOptions } from '../../../lab/gateway/libreswan.ts';
import { canary, network } from '../../../lab/network.ts';
import { certificateProfile, eapTlsProfile } from '../../../lab/profile-xml.ts';
import type { Product } from '../../../lab/product.ts';
import type { KeyKind } from '../../../lab/pki/authority.ts';
import { World } from '../../../lab/world.ts';
import { assertOnlyTunnel, changes, echoes, kernelSpis } from './kernel-tunnel.ts';

const name = 'libreswan';
const sharedKey = 'uT5mYp0cWk9QeRz2vXb7Hs4NdLf1GjA8';
const settings = `[profile."${name}"]\nchild-lifetime-megabytes = 1\n`;

suite('Libreswan', { concurrency: 1 }, () => {
  let world: World;
  let product: Product;
  let gateway: Libreswan | undefined;
  before(async () => {
    world = await World.create();
    product = world.product();
    await product.settings(settings);
    await product.start();
  });
  after(async () => await world?.close());

  const start = async (key: KeyKind, more: Partial<LibreswanOptions> = {}): Promise<void> => {
    gateway = await Libreswan.start(world.gatewayHost, {
      certificate: world.pki.gateway('good', key),
      authorities: [world.pki.root.certificatePem],
      ...more,
    });
  };
  const end = async (): Promise<void> => {
    if ((await product.connection(name)) !== undefined) await product.remove(name);
    await gateway?.stop();
  };
  const credentials = (key: KeyKind): Parameters<Product['put']>[2] => {
    const machine = world.pki.machine(key);
    return { certificatePem: machine.chainPem, keyPem: machine.keyPem, gatewayCaPem: world.pki.root.certificatePem };
  };
  /** Puts a profile in place and waits for its tunnel. */
  const connect = async (xml: string, put: Parameters<Product['put']>[2]): Promise<ConnectionStatus> => {
    await product.put(name, xml, put);
    const connection = await product.waitForState(name, 'up').catch((error: unknown) => {
      throw new Error(`${String(error)}\n${gateway!.log().slice(-6000)}`);
    });
    assert.equal(connection.dataPlane?.kind, 'kernel');
    return connection;
  };
  const up = async (outside: 'v4' | 'v6', key: KeyKind): Promise<string | undefined> => {
    const xml = certificateProfile({ servers: `${outside}.${network.gateway.name}` });
    return (await connect(xml, credentials(key))).crypto?.child;
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
    before(async () => await start('p256'));
    after(async () => await end());

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
      await told(world.application.fetch(`http://${network.corp.web4}/bytes/1500000`));
      await told(changes('SPIs', before, () => kernelSpis(world.client)));
      const report = await flow.stop(10_000);
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
      const report = await flow.stop(10_000);
      assert.ok(report.received > report.sent / 2, JSON.stringify(report));
      await told(echoes(world, async () => await sleep(1000)));
    });

    test('another network, where its answers to MOBIKE do not arrive: the tunnel is made anew', async () => {
      await world.moveClient('away');
      try {
        await told(world.application.fetchUntil(`http://${network.corp.web4}/`, { timeoutMs: 180_000 }));
        assert.match(product.daemon.output(), /AOV-IKE-103/);
        await told(product.waitForState(name, 'up'));
      } finally {
        await world.moveClient('home');
      }
    });
  });

  test('user certificate (EAP-TLS), TLS by NSS', async () => {
    await start('rsa2048', { authentication: 'eap-tls' });
    const root = world.pki.root.certificatePem;
    world.client.write(`/etc/aovpn/profiles.d/${name}.radius-ca.pem`, root);
    const { chainPem, keyPem } = world.pki.user('rsa2048');
    const radius = { names: network.gateway.name, roots: [] };
    try {
      const xml = eapTlsProfile({ servers: `v4.${network.gateway.name}`, radius });
      const { crypto } = await connect(xml, { certificatePem: chainPem, keyPem, gatewayCaPem: root });
      assert.match(crypto?.radius?.tls?.version ?? '', /1\.2/);
      await told(intranet(network.corp.web4));
    } finally {
      await end();
    }
  });

  test('a shared key', async () => {
    const client = 'laptop.corp.example';
    await start('p256', { authentication: { sharedKey, client } });
    world.client.write('/etc/aovpn/shared.key', `${sharedKey}\n`, 0o600);
    await product.settings(
      `${settings}shared-key-file = "shared.key"\nidentity = "${client}"\ngateway-identity = "${network.gateway.name}"\n`,
    );
    try {
      const xml = certificateProfile({ servers: `v4.${network.gateway.name}` });
      const { crypto } = await connect(xml, { gatewayCaPem: world.pki.root.certificatePem });
      assert.equal(crypto?.authentication, 'shared key');
      await told(intranet(network.corp.web4));
    } finally {
      await end();
      await product.settings(settings);
    }
  });

  test('certificate with RSA keys, IPv6 outside and inside', async () => {
    await start('rsa2048', { family: 6 });
    try {
      await up('v6', 'rsa2048');
      await told(intranet(`[${network.corp.web6}]`));
    } finally {
      await end();
    }
  });
});
