// What a gateway says about names (RFC 8598, RFC 9464), from the testkit's responder: strongSwan 5.9.8 pushes DNS servers, but no domains.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { network } from '../../../lab/network.ts';
import { TestkitGateway } from '../../../lab/peer/testkit-gateway.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import type { Product } from '../../../lab/product.ts';
import { World } from '../../../lab/world.ts';

const name = 'names';
const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const octets = (hex: string): Uint8Array => Uint8Array.from(hex.match(/../g)!, (pair) => Number.parseInt(pair, 16));

suite('ike/names', () => {
  let world: World;
  let product: Product;
  let gateway: TestkitGateway;
  before(async () => {
    world = await World.create();
    product = world.product();
    await product.start();
    await product.settings(`[profile."${name}"]\ndnssec-trust-anchors = ["corp.example"]\n`);
    gateway = await TestkitGateway.start(world.gatewayHost, {
      certificate: world.pki.gateway(),
      authorities: [world.pki.root.certificatePem],
      options: {
        configuration: [
          { type: 1, value: Uint8Array.of(10, 30, 0, 10) },
          { type: 3, value: Uint8Array.of(10, 20, 0, 53) },
          { type: 25, value: text('corp.example') },
          { type: 26, value: octets(`4f660802${'ab'.repeat(32)}`) },
          { type: 25, value: text('local') },
          { type: 25, value: text('other.example') },
          { type: 26, value: octets(`4f660802${'cd'.repeat(32)}`) },
          // dns.corp.example at 10.20.0.53, DNS over TLS
          { type: 27, value: octets('000101100a140035646e732e636f72702e6578616d706c650001000403646f74') },
        ],
      },
    });
    const issued = world.pki.machine();
    await product.put(name, certificateProfile({ names: {}, dnsSuffix: '' }), {
      certificatePem: issued.chainPem,
      keyPem: issued.keyPem,
      gatewayCaPem: world.pki.root.certificatePem,
    });
    await product.waitForState(name, 'up');
  });
  after(async () => {
    await gateway?.stop();
    await world?.close();
  });

  test('names of pushed domains go through the tunnel, others do not', async () => {
    const { dns } = (await product.connection(name))!;
    assert.deepEqual(
      dns.rules.map((rule) => [rule.name, ...rule.servers]),
      [
        ['.corp.example', network.corp.dns4],
        ['.other.example', network.corp.dns4],
      ],
    );
    const public4 = await world.application.resolve(network.internet.web, 4);
    assert.deepEqual(public4, [network.internet.web4]);
  });

  test('trust anchors and encrypted resolvers are shown, as far as the administrator lets them', async () => {
    const { dns } = (await product.connection(name))!;
    assert.deepEqual(dns.encrypted, [
      {
        name: 'dns.corp.example',
        addresses: [network.corp.dns4],
        protocols: ['dot'],
        provenBy: 'a certificate for dns.corp.example from an authority of the system',
        servers: [{ address: network.corp.dns4, state: 'unasked' }],
      },
    ]);
    assert.deepEqual(dns.trustAnchors, [`corp.example 20326 8 2 ${'AB'.repeat(32)}`]);
  });
});
