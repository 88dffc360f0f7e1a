// Whoever hands out leases chooses routes and the local network (CVE-2024-3661 TunnelVision, CVE-2023-36672 TunnelCrack LocalNet).
// A real DHCP server next to a real DHCP client, whose routes do work until the tunnel is up.
import assert from 'node:assert/strict';
import { after, afterEach, before, suite, test } from 'node:test';
import { canary, network } from '../../../lab/network.ts';
import type { WirePacket } from '../../../lab/pcap.ts';
import { certificateProfile, type ProfileOptions } from '../../../lab/profile-xml.ts';
import type { Running } from '../../../lab/running.ts';
import { leaseAddress, startDhcpServer, type LeaseOffer } from '../../../lab/server/dhcp.ts';
import { Stage } from '../../../lab/stage.ts';
import { impersonateCompany, roguePage } from '../rogue-web.ts';

const { client, router, corp, internet, gateway } = network;

suite('attack/leases', () => {
  let stage: Stage;
  let running: Running[] = [];
  before(async () => {
    stage = await Stage.set();
    await impersonateCompany(stage.world);
    // The lease's address may be one that the company has too; what it is on the way to the gateway is the router's business.
    await stage.world.impair({ nat: true });
  });
  after(async () => await stage?.[Symbol.asyncDispose]());
  afterEach(async () => {
    await stage.clear();
    for (const one of running.toReversed()) await one.stop('SIGTERM');
    running = [];
    const { world } = stage;
    await world.client.exec(['ip', '-4', 'addr', 'flush', 'dev', client.device]);
    await world.client.exec(['ip', '-4', 'route', 'flush', 'dev', client.device]);
  });

  /** The client gets its address from the network that it is in. */
  async function join(offer: Omit<LeaseOffer, 'device'>): Promise<void> {
    const { world } = stage;
    await world.client.exec(['ip', '-4', 'addr', 'flush', 'dev', client.device]);
    await world.router.run(['ip', 'addr', 'add', `${offer.router}/${offer.length}`, 'dev', router.toClient]);
    running.push(await startDhcpServer(world.router, { ...offer, device: router.toClient, dns: internet.dns4 }));
    running.push(await leaseAddress(world.client, client.device));
  }

  /** Up, with what a passer-by sees of a visit to the company's web server. */
  async function visit(options: ProfileOptions): Promise<{ readonly body: string; readonly packets: readonly WirePacket[] }> {
    const { world, product } = stage;
    const servers = `v4.${gateway.name}`;
    await product.put('corp', certificateProfile({ servers, ...options }), stage.machine());
    await product.waitForState('corp', 'up');
    const capture = await world.capture();
    const { body } = await world.application.fetch(`http://${corp.web4}/`);
    return { body, packets: await capture.stop() };
  }

  const towards = (packets: readonly WirePacket[], ...addresses: readonly string[]): number =>
    packets.filter(({ destination }) => addresses.includes(destination)).length;

  const home = { address: '192.0.2.50', length: 24, router: client.home.router4 };
  const everywhere = ['0.0.0.0/1', '128.0.0.0/1', '10.20.0.0/24', `${corp.web4}/32`, `${internet.web4}/32`, '10.30.0.0/24'];

  for (const routing of ['SplitTunnel', 'ForceTunnel'] as const) {
    test(`routes of a lease, ${routing}`, async () => {
      const { world } = stage;
      await join({ ...home, routes: [...everywhere, '0.0.0.0/0'].map((prefix) => [prefix, home.router]) });
      const table = await world.client.exec(['ip', 'route']);
      assert.match(table, /^0\.0\.0\.0\/1 via 192\.0\.2\.1/m, 'the client took the routes');
      assert.match(table, /^10\.20\.0\.80 via 192\.0\.2\.1/m);
      // Positive control: without a tunnel they lead to the attacker.
      const control = await world.capture();
      assert.match((await world.application.fetch(`http://${corp.web4}/`)).body, new RegExp(roguePage));
      assert.ok(towards(await control.stop(), corp.web4) > 0);

      const { body, packets } = await visit({ routing, ...(routing === 'ForceTunnel' ? { routes: [] } : {}) });
      assert.match(body, new RegExp(canary));
      assert.equal(towards(packets, corp.web4), 0);
      if (routing === 'SplitTunnel') return;
      const capture = await world.capture();
      const { body: who } = await world.application.fetch(`http://${internet.web4}/who`);
      assert.equal(who.trim(), gateway.v4, 'the internet is reached through the gateway');
      assert.equal(towards(await capture.stop(), internet.web4), 0);
    });
  }

  const inside = { address: '10.20.0.66', length: 24, router: '10.20.0.1', routes: [] };
  const wide: ProfileOptions['routes'] = [{ address: '10.0.0.0', prefixSize: 8 }];
  for (const [title, options] of [
    ['split tunnel, as large as a Route', {}],
    ['split tunnel, inside a Route', { routes: wide }],
    ['force tunnel', { routing: 'ForceTunnel', routes: [] }],
    [
      'force tunnel with ByPassForLocal, inside by its Routes',
      { routing: 'ForceTunnel', extra: '<ByPassForLocal>true</ByPassForLocal>' },
    ],
  ] as const satisfies readonly (readonly [string, ProfileOptions])[]) {
    test(`a local network with the company's addresses: ${title}`, async () => {
      const { world, product } = stage;
      await join(inside);
      assert.match((await world.application.fetch(`http://${corp.web4}/`)).body, new RegExp(roguePage), 'positive control');
      const { body, packets } = await visit(options);
      assert.match(body, new RegExp(canary));
      assert.equal(towards(packets, corp.web4), 0);
      if (title === 'split tunnel, inside a Route') {
        const profile = (await product.status()).profiles.find(({ name }) => name === 'corp');
        assert.ok(
          profile?.diagnostics.some(({ code, message }) => code === 'AOV-POLICY-422' && message.includes('10.20.0.0/24')),
        );
        const plan = await product.aovpn(['plan']);
        assert.match(plan.stdout, /AOV-POLICY-422 .*10\.20\.0\.0\/24 lies in 10\.0\.0\.0\/8/);
      }
    });
  }

  test("a local network with somebody's public addresses, force tunnel with ByPassForLocal", async () => {
    const { world, product } = stage;
    await join({ address: '198.18.0.66', length: 24, router: '198.18.0.1', routes: [] });
    // Positive control: the victim's page is next door.
    const direct = await world.application.fetch(`http://${internet.web4}/who`);
    assert.equal(direct.body.trim(), '198.18.0.66');
    await visit({ routing: 'ForceTunnel', routes: [], extra: '<ByPassForLocal>true</ByPassForLocal>' });
    const capture = await world.capture();
    const { body } = await world.application.fetch(`http://${internet.web4}/who`);
    assert.equal(body.trim(), gateway.v4);
    assert.equal(towards(await capture.stop(), internet.web4), 0);
    const profile = (await product.status()).profiles.find(({ name }) => name === 'corp');
    assert.ok(profile?.diagnostics.some(({ code, message }) => code === 'AOV-POLICY-423' && message.includes('not private')));
  });

  test('positive control: with ByPassForLocal an ordinary home stays reachable beside a force tunnel', async () => {
    const { world } = stage;
    await join({ address: '192.168.77.66', length: 24, router: '192.168.77.1', routes: [] });
    await visit({ routing: 'ForceTunnel', routes: [], extra: '<ByPassForLocal>true</ByPassForLocal>' });
    const capture = await world.capture();
    await world.client.exec(['ping', '-c1', '-W30', '192.168.77.1']);
    assert.ok(towards(await capture.stop(), '192.168.77.1') > 0);
  });
});
