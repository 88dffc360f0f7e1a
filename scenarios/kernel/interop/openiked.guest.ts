// In the kernel lane: our daemon on the kernel's IPsec against OpenIKED. Its Linux build speaks PF_KEY to the kernel: AES-CBC with HMAC-SHA1 is what it
// can install, so the profile asks for that and the settings allow it.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { OpenIked } from '../../../lab/gateway/openiked.ts';
import { canary, network } from '../../../lab/network.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import type { Product } from '../../../lab/product.ts';
import { World } from '../../../lab/world.ts';
import { assertOnlyTunnel, changes, kernelSpis } from './kernel-tunnel.ts';

const name = 'openiked';
const suiteOfIts = {
  encryption: 'AES_GCM_256',
  integrity: 'SHA256',
  group: 'ECP256',
  cipher: 'AES256',
  authentication: 'SHA196',
  pfs: 'None',
} as const;

suite('OpenIKED', { concurrency: 1 }, () => {
  let world: World;
  let product: Product;
  let gateway: OpenIked;
  before(async () => {
    world = await World.create();
    product = world.product();
    gateway = await OpenIked.start(world.gatewayHost, {
      certificate: world.pki.gateway(),
      authority: world.pki.root.certificatePem,
    });
    await product.settings(`[profile."${name}"]\nallow-weak = true\nchild-lifetime-megabytes = 1\n`);
    await product.start();
  });
  after(async () => await world?.close());

  const intranet = async (): Promise<void> => {
    assert.match((await world.application.fetch(`http://${network.corp.web4}/`)).body, new RegExp(canary));
  };

  test('certificate: a tunnel with AES-CBC-256 and HMAC-SHA1, the best that it can install on Linux', async () => {
    const capture = await world.capture();
    const machine = world.pki.machine();
    const credentials = { certificatePem: machine.chainPem, keyPem: machine.keyPem, gatewayCaPem: world.pki.root.certificatePem };
    const xml = certificateProfile({ servers: `v4.${network.gateway.name}`, suite: suiteOfIts });
    await product.put(name, xml, credentials);
    const connection = await product.waitForState(name, 'up').catch((error: unknown) => {
      throw new Error(`${String(error)}\n${gateway.log().slice(-6000)}`);
    });
    assert.equal(connection.dataPlane?.kind, 'kernel');
    assert.match(connection.crypto?.child ?? '', /^AES-CBC-256 \/ HMAC-SHA1-96/);
    await intranet();
    assertOnlyTunnel(await capture.stop());
  });

  test('rekeys by us, after a megabyte', async () => {
    const before = await kernelSpis(world.client);
    await world.application.fetch(`http://${network.corp.web4}/bytes/1500000`, { timeoutMs: 20_000 });
    await changes('SPIs', before, () => kernelSpis(world.client));
    await intranet();
  });
});
