// IPv4 and IPv6, inside and outside, with no dependency on either: all combinations, split and force.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { canary, network, publicCanary } from '../../../lab/network.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import { Stage } from '../../../lab/stage.ts';

suite('main/families', () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.set();
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  for (const outside of ['v4', 'v6'] as const) {
    for (const inside of [
      { v4: true, v6: true },
      { v4: true, v6: false },
      { v4: false, v6: true },
    ]) {
      const title = Object.entries(inside)
        .filter(([, wanted]) => wanted)
        .map(([family]) => family)
        .join(' and ');
      test(`${title} inside ${outside}`, async () => {
        const { world, product } = stage;
        await world.gateway.configure({ pools: inside, certificate: world.pki.gateway() });
        const xml = certificateProfile({ servers: `${outside}.${network.gateway.name}` });
        await product.put('families', xml, stage.machine());
        try {
          const connection = await product.waitForState('families', 'up');
          assert.equal(connection.gateway.address, network.gateway[outside]);
          assert.equal(
            connection.addresses.some((address) => address.includes(':')),
            inside.v6,
          );
          assert.equal(
            connection.addresses.some((address) => address.includes('.')),
            inside.v4,
          );
          for (const [wanted, address] of [
            [inside.v4, network.corp.web4],
            [inside.v6, `[${network.corp.web6}]`],
          ] as const) {
            if (wanted) assert.match((await world.application.fetch(`http://${address}/`)).body, new RegExp(canary));
          }
          // Large enough to need the whole inner MTU in both directions.
          const address = inside.v4 ? network.corp.web4 : `[${network.corp.web6}]`;
          assert.equal((await world.application.fetch(`http://${address}/bytes/2000000`)).octets, 2_000_000);
        } finally {
          await stage.strike('families');
        }
      });
    }
  }

  test('a client without IPv4 still connects, by name', async () => {
    const { world, product } = stage;
    const { device, home } = network.client;
    await world.gateway.configure({ pools: { v4: true, v6: true }, certificate: world.pki.gateway() });
    world.client.write('/etc/resolv.conf', `nameserver ${network.internet.dns6}\n`);
    await world.client.ip(`addr del ${home.v4}/24 dev ${device}`);
    try {
      await product.put('six', certificateProfile(), stage.machine());
      const connection = await product.waitForState('six', 'up');
      assert.equal(connection.gateway.address, network.gateway.v6);
      assert.match((await world.application.fetch(`http://${network.corp.web4}/`)).body, new RegExp(canary));
    } finally {
      await stage.strike('six');
      await world.client.ip(`addr add ${home.v4}/24 dev ${device}`, `route add default via ${home.router4} dev ${device}`);
      world.client.write('/etc/resolv.conf', `nameserver ${network.internet.dns4}\n`);
    }
  });

  test('force tunnel takes the whole internet through the gateway, but for exclusions', async () => {
    const { world, product } = stage;
    await world.gateway.configure({ pools: { v4: true, v6: true }, certificate: world.pki.gateway() });
    const routes = [{ address: network.internet.web4, prefixSize: 32, exclusion: true }];
    await product.put('force', certificateProfile({ routing: 'ForceTunnel', routes: [] }), stage.machine());
    try {
      await product.waitForState('force', 'up');
      const forced = await world.application.fetch(`http://${network.internet.web4}/who`);
      assert.equal(forced.body.trim(), network.gateway.v4, 'v4 goes through the gateway');
      const forced6 = await world.application.fetch(`http://[${network.internet.web6}]/who`);
      assert.equal(forced6.body.trim(), network.gateway.v6, 'v6 goes through the gateway');
      await product.put('force', certificateProfile({ routing: 'ForceTunnel', routes }), stage.machine());
      await product.waitFor(
        'force',
        'up with an exclusion',
        (now) => now.state === 'up' && now.routes.some((route) => route.kind === 'excluded'),
      );
      const excluded = await world.application.fetch(`http://${network.internet.web4}/who`);
      assert.equal(excluded.body.trim(), network.client.home.v4, 'the exclusion goes directly');
      assert.match((await world.application.fetch(`http://${network.corp.web4}/`)).body, new RegExp(canary));
    } finally {
      await stage.strike('force');
    }
    const direct = await world.application.fetch(`http://${network.internet.web}/who`, { family: 4 });
    assert.equal(direct.body.trim(), network.client.home.v4);
    assert.match((await world.application.fetch(`http://${network.internet.web}/`)).body, new RegExp(publicCanary));
  });
});
