// The networks that a laptop meets in a week, and what they do while it is connected. How long nothing came through is told, not judged.
// Cables, roaming with MOBIKE and gateways that hang are in main/healing and main/roaming, captive portals in net/portal.
import assert from 'node:assert/strict';
import { after, afterEach, before, suite, test, type TestContext } from 'node:test';
import { canary, network } from '../../../lab/network.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import { publicRecords, startUnbound } from '../../../lab/server/unbound.ts';
import { Stage } from '../../../lab/stage.ts';

const name = 'laptop';
const { device, home } = network.client;

suite('always-on/laptop: networks', () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.set();
  });
  afterEach(async () => {
    await stage.product.remove(name);
    // It may know tunnels of which nobody could say goodbye.
    await stage.world.gateway.kill();
    await stage.world.gateway.start();
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  async function connect(servers?: string): Promise<void> {
    const { product } = stage;
    await product.put(name, certificateProfile(servers === undefined ? {} : { servers }), stage.machine());
    await product.waitForState(name, 'up');
  }

  /** The gateway has these IPv4 addresses outside, and no others. */
  async function gatewayAt(...addresses: readonly string[]): Promise<void> {
    const { device: outside } = network.gateway;
    await stage.world.gatewayHost.exec(['ip', '-4', 'addr', 'flush', 'dev', outside]);
    await stage.world.gatewayHost.ip(
      ...addresses.map((address) => `addr add ${address}/24 dev ${outside}`),
      `route replace default via ${network.router.v4} dev ${outside}`,
    );
  }

  /** Until a page comes through the tunnel again, after this. */
  async function outage(t: TestContext, what: () => Promise<unknown>): Promise<void> {
    const { world } = stage;
    const flow = await world.application.flow(network.corp.web4, network.corp.echoPort, 100);
    await what();
    const page = await world.application.fetchUntil(`http://${network.corp.web4}/`);
    assert.match(page.body, new RegExp(canary));
    await stage.product.waitForState(name, 'up');
    const { longestGapMs } = await flow.stop();
    t.diagnostic(`nothing came through for ${Math.round(longestGapMs)} ms`);
  }

  test('from a network with IPv4 alone to one with IPv6 alone, and back', async (t) => {
    const { world } = stage;
    await world.client.ip(`-6 addr del ${home.v6}/64 dev ${device}`);
    await connect();
    await outage(t, async () => {
      world.client.write('/etc/resolv.conf', `nameserver ${network.internet.dns6}\n`);
      await world.client.ip(
        `addr del ${home.v4}/24 dev ${device}`,
        `-6 addr add ${home.v6}/64 dev ${device} nodad`,
        `-6 route replace default via ${home.router6} dev ${device}`,
      );
    });
    assert.equal((await stage.product.connection(name))?.gateway.address, network.gateway.v6);
    await outage(t, async () => {
      world.client.write('/etc/resolv.conf', `nameserver ${network.internet.dns4}\n`);
      await world.client.ip(
        `-6 addr del ${home.v6}/64 dev ${device}`,
        `addr add ${home.v4}/24 dev ${device}`,
        `route replace default via ${home.router4} dev ${device}`,
      );
    });
    assert.equal((await stage.product.connection(name))?.gateway.address, network.gateway.v4);
    await world.client.ip(
      `-6 addr add ${home.v6}/64 dev ${device} nodad`,
      `-6 route replace default via ${home.router6} dev ${device}`,
    );
  });

  test('the network’s name servers are out: the tunnel stays, and a new one is made to where the gateway was last', async (t) => {
    const { world, product } = stage;
    await connect();
    const before = await product.connection(name);
    const lo = ['ip', 'addr', 'del', `${network.internet.dns4}/32`, 'dev', 'lo'];
    await world.router.exec(lo);
    try {
      const page = await world.application.fetch(`http://${network.corp.web}/`);
      assert.match(page.body, new RegExp(canary), 'names inside are none of their business');
      assert.equal((await product.connection(name))?.connectedAt, before?.connectedAt);
      await outage(t, async () => {
        await world.gateway.stop();
        await world.gateway.start();
      });
      assert.match(product.daemon.output(), /worked last/);
    } finally {
      await world.router.exec(lo.with(2, 'add'));
    }
  });

  test('the gateway moves to another address, and its name with it', async (t) => {
    const { world, product } = stage;
    const moved = '203.0.113.9';
    const names = `gw.${network.gateway.name}`;
    const certificate = world.pki.gateway('good', 'p256', { names: [names] });
    await world.gateway.configure({ certificate });
    const dns = '198.18.0.54';
    await world.router.ip(`addr add ${dns}/32 dev lo`);
    world.client.write('/etc/resolv.conf', `nameserver ${dns}\n`);
    let server = await startUnbound(world.router, [dns], { ...publicRecords, [names]: [network.gateway.v4] });
    await connect(names);
    await outage(t, async () => {
      await server.stop();
      server = await startUnbound(world.router, [dns], { ...publicRecords, [names]: [moved] });
      await gatewayAt(moved);
    });
    assert.equal((await product.connection(name))?.gateway.address, moved);
    await gatewayAt(network.gateway.v4);
    await server.stop();
    world.client.write('/etc/resolv.conf', `nameserver ${network.internet.dns4}\n`);
    await world.gateway.configure({ certificate: world.pki.gateway() });
  });

  test('one of two gateways dies while the tunnel is up: the other takes over', async (t) => {
    const { world, product } = stage;
    const second = '203.0.113.8';
    await gatewayAt(network.gateway.v4, second);
    const names = `second.${network.gateway.name}`;
    world.client.write('/etc/hosts', `127.0.0.1 localhost\n${second} ${names}\n`);
    await world.gateway.configure({ certificate: world.pki.gateway('good', 'p256', { names: [names] }) });
    await connect(`v4.${network.gateway.name},${names}`);
    // On a busy machine the first may answer too late.
    const first = (await product.connection(name))?.gateway.address;
    const other = first === second ? network.gateway.v4 : second;
    await outage(t, async () => {
      // Whoever was there is gone without a word, with all that it knew.
      await world.gateway.kill();
      await gatewayAt(other);
      await world.gateway.start();
    });
    assert.equal((await product.connection(name))?.gateway.address, other);
    await gatewayAt(network.gateway.v4);
  });

  test('the daemon is restarted, as at an upgrade', async (t) => {
    const { product } = stage;
    await connect();
    await outage(t, async () => {
      await product.stop();
      await product.start();
    });
  });
});
