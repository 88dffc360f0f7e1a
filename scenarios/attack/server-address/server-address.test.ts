// A lying DNS says that the gateway lives at the address of a site that the victim visits, and the network forwards IKE and ESP from there
// (CVE-2023-36673, TunnelCrack ServerIP). The tunnel comes up, as the gateway proves itself; the site must not be left outside for that.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { network } from '../../../lab/network.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import { Stage } from '../../../lab/stage.ts';

const { client, gateway, internet } = network;

suite('attack/server-address', () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.set();
    const { world } = stage;
    // The lie, and the router that makes it work.
    world.client.write('/etc/hosts', `127.0.0.1 localhost\n${internet.web4} ${gateway.name}\n${internet.web6} ${gateway.name}\n`);
    await world.router.exec(['nft', '-f', '-'], {
      input: `table inet lie {
  chain prerouting {
    type nat hook prerouting priority -100; policy accept;
    iifname "${network.router.toClient}" ip daddr ${internet.web4} udp dport 4500 dnat ip to ${gateway.v4}
    iifname "${network.router.toClient}" ip6 daddr ${internet.web6} udp dport 4500 dnat ip6 to ${gateway.v6}
  }
}
`,
    });
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  for (const [family, site, own, gatewayOut] of [
    ['IPv4', internet.web4, client.home.v4, gateway.v4],
    ['IPv6', `[${internet.web6}]`, client.home.v6, gateway.v6],
  ] as const) {
    test(`what others send to the gateway's address goes into the tunnel, ${family}`, async () => {
      const { world, product } = stage;
      const address = site.replaceAll(/[[\]]/g, '');
      const onTheWire = (packets: Awaited<ReturnType<Awaited<ReturnType<typeof world.capture>>['stop']>>): number =>
        packets.filter(({ destination, protocol }) => destination === address && protocol === 6).length;
      const servers = family === 'IPv4' ? internet.web4 : internet.web6;
      // The address itself is no name of the certificate: the lie is told by name.
      assert.equal((await world.application.fetch(`http://${site}/who`)).body.trim(), own);
      world.client.write('/etc/hosts', `127.0.0.1 localhost\n${servers} ${gateway.name}\n`);
      await product.put('force', certificateProfile({ routing: 'ForceTunnel', routes: [] }), stage.machine());
      try {
        const connection = await product.waitForState('force', 'up');
        assert.equal(connection.gateway.address, address, 'the tunnel believes it');
        let capture = await world.capture();
        assert.equal((await world.application.fetch(`http://${site}/who`)).body.trim(), gatewayOut);
        assert.equal(onTheWire(await capture.stop()), 0, 'nothing of it in clear');
        const explained = await product.aovpn(['explain', address]);
        assert.match(explained.stdout, /through aov/);

        // With the host route that VPN clients usually make there is still the guard, which refuses; what it lets by (a mark that only root
        // can give) shows that the attack would work otherwise, and that the capture would see it.
        const six = family === 'IPv6' ? ['-6'] : [];
        const marked = async (): Promise<number> => {
          const seen = await world.capture();
          await world.client.run(['ping', ...six, '-m', '7', '-c', '1', '-W', '1', address]);
          return (await seen.stop()).filter(({ destination, protocol }) => destination === address && protocol !== 17).length;
        };
        assert.equal(await marked(), 0);
        await world.client.exec(['ip', ...six, 'route', 'add', 'throw', address, 'table', '7296']);
        capture = await world.capture();
        await assert.rejects(world.application.fetch(`http://${site}/who`, { timeoutMs: 2000 }));
        assert.equal(onTheWire(await capture.stop()), 0);
        assert.ok((await marked()) > 0, 'positive control');
        await world.client.exec(['ip', ...six, 'route', 'del', 'throw', address, 'table', '7296']);
      } finally {
        await stage.strike('force');
      }
    });
  }

  for (const strictness of ['1', '2']) {
    test(`answers of the gateway pass a reverse path check of ${strictness} all the same`, async () => {
      const { world, product } = stage;
      world.client.write('/etc/hosts', `127.0.0.1 localhost\n${gateway.v4} ${gateway.name}\n`);
      await world.client.exec([
        'sysctl',
        '-qw',
        `net.ipv4.conf.all.rp_filter=${strictness}`,
        `net.ipv4.conf.${client.device}.rp_filter=${strictness}`,
      ]);
      // Without an IPv4 address inside, IPv4 is unreachable for all but ourselves: the hardest case for such a check.
      await world.gateway.configure({ pools: { v4: false, v6: true } });
      await product.put('force', certificateProfile({ routing: 'ForceTunnel', routes: [] }), stage.machine());
      try {
        await product.waitForState('force', 'up');
        const page = await world.application.fetch(`http://[${network.corp.web6}]/bytes/200000`);
        assert.equal(page.octets, 200_000);
      } finally {
        await stage.strike('force');
        await world.gateway.configure({ pools: { v4: true, v6: true } });
        await world.client.exec(['sysctl', '-qw', 'net.ipv4.conf.all.rp_filter=0', `net.ipv4.conf.${client.device}.rp_filter=0`]);
      }
    });
  }
});
