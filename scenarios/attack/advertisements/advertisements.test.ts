// A rogue router advertises prefixes and routes (RFC 4861, RFC 4191), for the company's networks and for halves of the internet.
// A real radvd next to the kernel's own client, whose routes do work until the tunnel is up.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { canary, network } from '../../../lab/network.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import { Stage } from '../../../lab/stage.ts';
import { until } from '../../../lab/until.ts';
import { impersonateCompany, roguePage } from '../rogue-web.ts';

const { client, router, corp, internet, gateway } = network;

suite('attack/advertisements', () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.set();
    const { world } = stage;
    await impersonateCompany(world);
    // As distributions set it, where routes of advertisements are taken.
    for (const [name, value] of [
      ['accept_ra', '2'],
      ['accept_ra_rt_info_max_plen', '128'],
    ])
      await world.client.exec(['sysctl', '-qw', `net.ipv6.conf.${client.device}.${name}=${value}`]);
    const prefixes = [corp.prefix6, '2001:db8:d::/64', 'fd30::/64'];
    const routes = [corp.prefix6, `${corp.web6}/128`, `${internet.web6}/128`, '::/1', '8000::/1'];
    world.router.write(
      '/run/radvd.conf',
      `interface ${router.toClient} {
  AdvSendAdvert on;
  MinRtrAdvInterval 3;
  MaxRtrAdvInterval 4;
  AdvDefaultPreference high;
${prefixes.map((prefix) => `  prefix ${prefix} { AdvOnLink on; AdvAutonomous on; };`).join('\n')}
${routes.map((route) => `  route ${route} { AdvRoutePreference high; };`).join('\n')}
};
`,
    );
    // Whoever takes an address of these networks is answered.
    await world.router.ip(...prefixes.map((prefix) => `-6 route add ${prefix} dev ${router.toClient}`));
    world.router.spawn(['radvd', '-n', '-C', '/run/radvd.conf', '-p', '/run/radvd.pid', '-m', 'stderr', '-u', 'root'], {
      name: 'radvd',
    });
    const table = (): Promise<string> => world.client.exec(['ip', '-6', 'route']);
    await until(
      async () => `the kernel takes the routes:\n${await table()}`,
      async () => {
        const routes = await table();
        return routes.includes(`${corp.web6} via fe80::`) && routes.includes('8000::/1 via fe80::');
      },
    );
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  test('positive control: without a tunnel the company is the attacker', async () => {
    const page = await stage.world.application.fetch(`http://[${corp.web6}]/`);
    assert.match(page.body, new RegExp(roguePage));
  });

  for (const [title, options] of [
    ['split tunnel', {}],
    ['force tunnel', { routing: 'ForceTunnel', routes: [] }],
    ['force tunnel with ByPassForLocal', { routing: 'ForceTunnel', extra: '<ByPassForLocal>true</ByPassForLocal>' }],
  ] as const) {
    test(title, async () => {
      const { world, product } = stage;
      await product.put('corp', certificateProfile({ servers: `v4.${gateway.name}`, ...options }), stage.machine());
      try {
        await product.waitForState('corp', 'up');
        const capture = await world.capture();
        const { body } = await world.application.fetch(`http://[${corp.web6}]/`);
        assert.match(body, new RegExp(canary));
        if (title !== 'split tunnel') {
          const who = await world.application.fetch(`http://[${internet.web6}]/who`);
          assert.equal(who.body.trim(), gateway.v6);
        }
        const packets = await capture.stop();
        const leaked = packets.filter(
          ({ destination, protocol }) => protocol === 6 && [corp.web6, internet.web6].some((one) => one === destination),
        );
        assert.equal(leaked.length, 0);
      } finally {
        await stage.strike('corp');
      }
    });
  }

  for (const [title, pools, leaks] of [
    ['the tunnel has IPv4 only: IPv6 is unreachable, not open', { v4: true, v6: false }, internet.web6],
    ['the tunnel has IPv6 only: IPv4 is unreachable, not open', { v4: false, v6: true }, internet.web4],
  ] as const) {
    test(title, async () => {
      const { world, product } = stage;
      const url = leaks.includes(':') ? `http://[${leaks}]/who` : `http://${leaks}/who`;
      const visits = async (): Promise<number> => {
        const capture = await world.capture();
        await world.application.fetch(url, { timeoutMs: 2000 }).catch(() => undefined);
        return (await capture.stop()).filter(({ destination, protocol }) => protocol === 6 && destination === leaks).length;
      };
      assert.ok((await visits()) > 0, 'positive control');
      await world.gateway.configure({ pools });
      await product.put(
        'corp',
        certificateProfile({ servers: `v4.${gateway.name}`, routing: 'ForceTunnel', routes: [] }),
        stage.machine(),
      );
      try {
        await product.waitForState('corp', 'up');
        assert.equal(await visits(), 0);
        await assert.rejects(world.application.fetch(url, { timeoutMs: 2000 }));
      } finally {
        await stage.strike('corp');
        await world.gateway.configure({ pools: { v4: true, v6: true } });
      }
    });
  }
});
