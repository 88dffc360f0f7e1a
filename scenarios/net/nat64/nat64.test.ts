// The client's network has no IPv4 at all, and the gateway nothing else: a real NAT64 and a real DNS64 lie between.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { countSorts } from '../../../lab/capture.ts';
import { canary, network } from '../../../lab/network.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import { nat64, withoutIpv4 } from '../../../lab/server/nat64.ts';
import { Stage } from '../../../lab/stage.ts';

const { gateway, corp, internet } = network;
/** 203.0.113.2 behind the prefix (RFC 6052 §2.2). */
const translated = `${nat64.prefix}cb00:7102`;

suite('net/nat64', () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.set();
    await withoutIpv4(stage.world);
    // As Windows wants the address of a gateway in its certificate.
    const certificate = stage.world.pki.gateway('good', 'p256', { names: [gateway.v4] });
    await stage.world.gateway.configure({ certificate });
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  async function check(servers: string, resolver: string): Promise<void> {
    const { world, product } = stage;
    world.client.write('/etc/resolv.conf', `nameserver ${resolver}\n`);
    await product.put('corp', certificateProfile({ servers }), stage.machine());
    try {
      const capture = await world.capture();
      const connection = await product.waitForState('corp', 'up');
      assert.equal(connection.gateway.address, translated);
      assert.match((await world.application.fetch(`http://${corp.web4}/`)).body, new RegExp(canary), 'IPv4 inside');
      assert.match((await world.application.fetch(`http://[${corp.web6}]/`)).body, new RegExp(canary), 'IPv6 inside');
      assert.equal((await world.application.fetch(`http://${corp.web4}/bytes/1000000`)).octets, 1_000_000);
      const packets = await capture.stop();
      assert.ok(countSorts(packets).esp > 100);
      assert.equal(
        packets.filter(({ protocol, destination }) => protocol !== 'arp' && destination.includes('.')).length,
        0,
        'no IPv4 on the wire',
      );
    } finally {
      await stage.strike('corp');
    }
  }

  test('positive control: there is no way by IPv4, and there is one through the NAT64', async () => {
    const { world } = stage;
    await assert.rejects(world.application.fetch(`http://${internet.web4}/`, { timeoutMs: 1500 }));
    const [address] = await world.application.resolve(`v4.${gateway.name}`, 6);
    assert.equal(address, translated);
  });

  test('a name that has IPv4 only, through the DNS64', () => check(`v4.${gateway.name}`, nat64.dns64));

  test('an address in the profile: the prefix is found out (RFC 7050)', () => check(gateway.v4, nat64.dns64));

  test('force tunnel: all of both families goes through the gateway', async () => {
    const { world, product } = stage;
    world.client.write('/etc/resolv.conf', `nameserver ${nat64.dns64}\n`);
    await product.put(
      'corp',
      certificateProfile({ servers: `v4.${gateway.name}`, routing: 'ForceTunnel', routes: [] }),
      stage.machine(),
    );
    try {
      await product.waitForState('corp', 'up');
      assert.equal((await world.application.fetch(`http://${internet.web4}/who`)).body.trim(), gateway.v4);
      assert.equal((await world.application.fetch(`http://[${internet.web6}]/who`)).body.trim(), gateway.v6);
    } finally {
      await stage.strike('corp');
    }
  });

  test('without DNS64 an address cannot be reached, and the problem says so', async () => {
    const { world, product } = stage;
    world.client.write('/etc/resolv.conf', `nameserver ${nat64.dns}\n`);
    await product.put('corp', certificateProfile({ servers: gateway.v4 }), stage.machine());
    try {
      const { problem } = await product.waitForProblem('corp');
      assert.equal(problem?.side, 'network');
    } finally {
      await product.remove('corp');
    }
  });
});
