// IKE and ESP in TCP where UDP is blocked (RFC 9329), against the testkit's responder: Debian's strongSwan has none, and Libreswan's needs a
// kernel with espintcp. Back to UDP as soon as it passes; a lost connection is made again.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { sortOf } from '../../../lab/capture.ts';
import { network } from '../../../lab/network.ts';
import { TestkitGateway } from '../../../lab/peer/testkit-gateway.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import type { Product } from '../../../lab/product.ts';
import { until } from '../../../lab/until.ts';
import { World } from '../../../lab/world.ts';

const name = 'stream';
const blocked = { dropUdpPorts: [500, 4500] };

suite('ike/tcp', { concurrency: 1 }, () => {
  let world: World;
  let product: Product;
  let gateway: TestkitGateway;
  before(async () => {
    world = await World.create();
    product = world.product();
    await product.start();
    gateway = await TestkitGateway.start(world.gatewayHost, {
      certificate: world.pki.gateway(),
      authorities: [world.pki.root.certificatePem],
    });
  });
  after(async () => {
    await gateway?.stop();
    await world?.close();
  });

  const put = async (): Promise<void> => {
    const issued = world.pki.machine();
    await product.put(name, certificateProfile({ names: {} }), {
      certificatePem: issued.chainPem,
      keyPem: issued.keyPem,
      gatewayCaPem: world.pki.root.certificatePem,
    });
  };
  const transport = async (): Promise<string | undefined> => (await product.connection(name))?.gateway.transport;
  const flow = () => world.application.flow(network.corp.web4, network.corp.echoPort, 100);

  test('UDP is blocked: the tunnel comes up in TCP, and on the wire there is nothing else', async () => {
    await world.impair(blocked);
    await put();
    await product.waitForState(name, 'up');
    assert.equal(await transport(), 'tcp');
    const capture = await world.capture();
    const running = await flow();
    await gateway.says(/^stream from /m);
    await sleep(1000);
    const { sent, lost } = await running.stop();
    assert.ok(sent > 0);
    assert.equal(lost, 0);
    const packets = await capture.stop();
    const ends: readonly string[] = [network.gateway.v4, network.gateway.v6];
    const ofGateway = packets.filter(({ source, destination }) => ends.includes(source) || ends.includes(destination));
    const isStream = ({ protocol, sourcePort, destinationPort }: (typeof packets)[number]): boolean =>
      protocol === 6 && (sourcePort === 4500 || destinationPort === 4500);
    // Octets, not packets: several of the tunnel's may share one segment.
    const octets = ofGateway.filter(isStream).reduce((sum, { frame }) => sum + frame.length, 0);
    assert.ok(octets >= sent * 200, 'the capture sees the tunnel');
    // A stranger's IKE_SA_INIT looks whether UDP passes by now.
    const others = ofGateway.filter((packet) => !isStream(packet) && !['neighbour', 'ike'].includes(sortOf(packet)));
    assert.deepEqual(others, []);
  });

  test('rekeys of both kinds lose nothing', async () => {
    const running = await world.application.flow(network.corp.web4, network.corp.echoPort, 300);
    await until('packets come back', async () => (await running.look()).received > 0);
    for (let turn = 0; turn < 5; turn++)
      for (const op of ['rekey-child', 'rekey-ike'] as const) {
        const deleted = gateway.count(/^heard 37 response/);
        await gateway.tell({ op });
        await until('the old one is deleted', () => gateway.count(/^heard 37 response/) > deleted);
      }
    const { sent, lost } = await running.stop();
    assert.ok(sent > 50);
    assert.equal(lost, 0);
  });

  test('a connection that somebody cuts is made again, and the tunnel goes on', async () => {
    const { connectedAt } = (await product.connection(name))!;
    const streams = gateway.count(/^stream from/);
    await gateway.tell({ op: 'cut' });
    await until('another stream begins', () => gateway.count(/^stream from/) > streams);
    await gateway.says(/heard 37 request \d+: N16400[^]*$/m);
    const running = await flow();
    await sleep(500);
    const { sent, lost } = await running.stop();
    assert.ok(sent > 0);
    assert.equal(lost, 0);
    assert.equal((await product.connection(name))?.connectedAt, connectedAt);
    assert.equal(await transport(), 'tcp');
  });

  test('UDP passes again: the tunnel moves there by itself', async () => {
    const { connectedAt } = (await product.connection(name))!;
    const running = await flow();
    await world.impair({});
    await product.waitFor(name, 'in UDP', ({ state, gateway: { transport: now } }) => now === 'udp' && state === 'up');
    assert.equal((await running.stop()).lost, 0);
    assert.equal((await product.connection(name))?.connectedAt, connectedAt);
  });

  test('a gateway without MOBIKE: a connection that is cut is made again all the same', async () => {
    await product.remove(name);
    await world.impair(blocked);
    await gateway.tell({ op: 'options', options: { mobike: false } });
    await put();
    const { connectedAt } = await product.waitForState(name, 'up');
    const streams = gateway.count(/^stream from/);
    await gateway.tell({ op: 'cut' });
    await until('another stream begins', () => gateway.count(/^stream from/) > streams);
    await gateway.says(/^heard 37 request \d+:[^N]*$/m);
    const running = await flow();
    await sleep(500);
    const { sent, lost } = await running.stop();
    assert.ok(sent > 0);
    assert.equal(lost, 0);
    assert.equal((await product.connection(name))?.connectedAt, connectedAt);
  });

  test('switched off, there is no TCP', async () => {
    await product.remove(name);
    await world.impair(blocked);
    await product.settings(`[profile."${name}"]\ntcp = "off"\n`);
    const before = gateway.count(/^stream from/);
    await put();
    const { problem } = await product.waitForState(name, 'waiting');
    assert.equal(problem?.code, 'AOV-IKE-101');
    assert.equal(gateway.count(/^stream from/), before);
  });
});
