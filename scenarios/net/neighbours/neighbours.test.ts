// Software that routes and filters too stands beside ours: containers as Docker makes them, a virtual network as libvirt makes it, and a
// WireGuard tunnel that takes everything, as wg-quick makes it, with a real peer. Ours comes, works, changes and goes: nothing of theirs differs by an
// octet, and all of it works all the time.
import assert from 'node:assert/strict';
import process from 'node:process';
import { after, before, suite, test } from 'node:test';
import { canary, network } from '../../../lab/network.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import { Stage } from '../../../lab/stage.ts';
import { hostState } from '../../../lab/trace.ts';

const { client, corp, internet, gateway } = network;
const wireguard = { port: 51820, client: '10.66.0.2', router: '10.66.0.1', mark: 0xca6c };

/** What dockerd and libvirtd write, as their iptables and nftables end up in the kernel. */
const docker = `
table ip nat {
  chain DOCKER { iifname "docker0" return; }
  chain PREROUTING { type nat hook prerouting priority dstnat; policy accept; fib daddr type local jump DOCKER; }
  chain OUTPUT { type nat hook output priority -100; policy accept; ip daddr != 127.0.0.0/8 fib daddr type local jump DOCKER; }
  chain POSTROUTING { type nat hook postrouting priority srcnat; policy accept; oifname != "docker0" ip saddr 172.17.0.0/16 masquerade; }
}
table ip filter {
  chain DOCKER-USER { return; }
  chain FORWARD {
    type filter hook forward priority filter; policy drop;
    jump DOCKER-USER
    oifname "docker0" ct state related,established accept
    iifname "docker0" accept
    iifname "virbr0" ip saddr 192.168.122.0/24 accept
    oifname "virbr0" ip daddr 192.168.122.0/24 ct state related,established accept
  }
}
`;
/** wg-quick(8), with its own words. */
const wgQuick = `
table ip wg-quick-wg0 {
  chain preraw { type filter hook prerouting priority -300; iifname != "wg0" ip daddr ${wireguard.client} fib saddr type != local drop; }
  chain premangle { type filter hook prerouting priority -150; meta l4proto udp meta mark set ct mark; }
  chain postmangle { type filter hook postrouting priority -150; meta l4proto udp mark ${wireguard.mark} ct mark set mark; }
}
`;

suite('net/neighbours', () => {
  let stage: Stage;
  let untouched: string;
  let containerPid: string;
  before(async () => {
    stage = await Stage.set();
    const { world, product } = stage;
    await product.stop();
    const holder = world.client.spawn(['unshare', '--net', 'sh', '-c', 'echo pid $$; exec sleep infinity'], {
      name: 'container',
    });
    containerPid = (await holder.saysWithin(/pid \d+/)).replace('pid ', '');
    await world.client.exec(['sysctl', '-qw', 'net.ipv4.ip_forward=1']);
    await world.client.ip(
      'link add docker0 type bridge',
      'addr add 172.17.0.1/16 dev docker0',
      'link set docker0 up',
      'link add virbr0 type bridge',
      'addr add 192.168.122.1/24 dev virbr0',
      'link set virbr0 up',
      `link add veth0 type veth peer name eth0 netns ${containerPid}`,
      'link set veth0 master docker0 up',
    );
    await inContainer('ip addr add 172.17.0.2/16 dev eth0', 'ip link set eth0 up', 'ip route add default via 172.17.0.1');
    await world.client.exec(['nft', '-f', '-'], { input: docker });
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  async function inContainer(...lines: readonly string[]): Promise<string> {
    const { world } = stage;
    return await world.client.exec(['nsenter', `--net=/proc/${containerPid}/ns/net`, 'sh', '-euc', lines.join('\n')]);
  }
  const ping = async (address: string): Promise<void> => void (await inContainer(`ping -c 1 -W 30 ${address}`));

  async function around(options: Parameters<typeof certificateProfile>[0], check: () => Promise<void>): Promise<void> {
    const { world, product } = stage;
    await product.start();
    try {
      await product.put('corp', certificateProfile(options), stage.machine());
      await product.waitForState('corp', 'up');
      assert.match((await world.application.fetch(`http://${corp.web4}/`)).body, new RegExp(canary));
      await check();
      await stage.strike('corp');
    } finally {
      await product.stop();
    }
    assert.equal(await hostState(world.client), untouched);
  }

  test('containers and virtual machines', async () => {
    const { world } = stage;
    await ping(internet.web4);
    untouched = await hostState(world.client);
    const theirs = async (): Promise<string> =>
      await world.client.exec([
        'sh',
        '-c',
        'nft list table ip nat; nft list table ip filter; ip route show table main; bridge link',
      ]);
    const before = await theirs();
    await around({}, async () => {
      assert.equal(await theirs(), before, 'while ours is up as well');
      await ping(internet.web4);
      await ping(corp.web4);
    });
    await ping(internet.web4);
  });

  test('force tunnel: containers go into it too, and still reach their host', async () => {
    const { world } = stage;
    await around({ routing: 'ForceTunnel', routes: [] }, async () => {
      const capture = await world.capture();
      await ping(internet.web4);
      await ping('172.17.0.1');
      const packets = await capture.stop();
      assert.equal(packets.filter(({ destination }) => destination === internet.web4).length, 0, 'not beside it');
    });
    const capture = await world.capture();
    await ping(internet.web4);
    assert.ok(
      (await capture.stop()).some(({ destination }) => destination === internet.web4),
      'positive control',
    );
  });

  test('WireGuard that takes everything carries ours, and strict reverse path checks let both pass', async () => {
    const { world } = stage;
    for (const host of [world.client, world.router]) {
      const running = host.spawn(['wireguard-go', '-f', 'wg0'], {
        name: 'wireguard',
        env: { ...process.env, LOG_LEVEL: 'verbose' },
      });
      await running.saysWithin(/UAPI listener started/);
    }
    const keys = await Promise.all(
      [world.client, world.router].map(async (host) => {
        const secret = (await host.exec(['wg', 'genkey'])).trim();
        host.write('/run/wg.key', secret, 0o600);
        return (await host.exec(['wg', 'pubkey'], { input: secret })).trim();
      }),
    );
    await world.router.exec([
      'wg',
      'set',
      'wg0',
      'listen-port',
      String(wireguard.port),
      'private-key',
      '/run/wg.key',
      'peer',
      keys[0]!,
      'allowed-ips',
      `${wireguard.client}/32`,
    ]);
    await world.router.ip(`addr add ${wireguard.router}/24 dev wg0`, 'link set wg0 mtu 1420 up');
    await world.router.exec(['nft', '-f', '-'], {
      input: `table ip wg { chain out { type nat hook postrouting priority 100; policy accept; ip saddr ${wireguard.client} masquerade; }\n}\n`,
    });
    await world.client.exec([
      'wg',
      'set',
      'wg0',
      'fwmark',
      String(wireguard.mark),
      'private-key',
      '/run/wg.key',
      'peer',
      keys[1]!,
      'endpoint',
      `${client.home.router4}:${wireguard.port}`,
      'allowed-ips',
      '0.0.0.0/0',
    ]);
    await world.client.ip(
      `addr add ${wireguard.client}/32 dev wg0`,
      'link set wg0 mtu 1420 up',
      `route add default dev wg0 table ${wireguard.port}`,
      `rule add not fwmark ${wireguard.mark} table ${wireguard.port}`,
      'rule add table main suppress_prefixlength 0',
    );
    await world.client.exec(['nft', '-f', '-'], { input: wgQuick });
    await world.client.exec([
      'sysctl',
      '-qw',
      'net.ipv4.conf.all.src_valid_mark=1',
      'net.ipv4.conf.all.rp_filter=1',
      `net.ipv4.conf.${client.device}.rp_filter=1`,
      'net.ipv4.conf.wg0.rp_filter=1',
    ]);
    const who = async (): Promise<string> => (await world.application.fetch(`http://${internet.web4}/who`)).body.trim();
    const throughWireguard = await who();
    assert.notEqual(throughWireguard, client.home.v4, 'WireGuard works');
    untouched = await hostState(world.client);
    const servers = `v4.${gateway.name}`;
    await around({ servers }, async () => {
      const capture = await world.capture();
      assert.equal(await who(), throughWireguard);
      assert.equal((await world.application.fetch(`http://${corp.web4}/bytes/300000`)).octets, 300_000);
      const packets = await capture.stop();
      const udp = packets.filter(({ protocol }) => protocol === 17);
      assert.ok(udp.length > 10);
      assert.deepEqual(
        udp.filter(({ sourcePort, destinationPort }) => sourcePort !== wireguard.port && destinationPort !== wireguard.port),
        [],
        'our own outer packets go through WireGuard, as the machine wants it',
      );
    });
    // To a force tunnel the packets of WireGuard are those of a program like any other: they need an exclusion, or each would wait for the other.
    const routes = [{ address: client.home.router4, prefixSize: 32, exclusion: true }];
    await around({ servers, routing: 'ForceTunnel', routes }, async () => {
      assert.equal(await who(), gateway.v4, 'force tunnel inside WireGuard');
    });
    assert.equal(await who(), throughWireguard);
  });

  test('a daemon that is killed leaves theirs alone, and so does the clean-up', async () => {
    const { world, product } = stage;
    await product.start();
    await product.put('corp', certificateProfile(), stage.machine());
    await product.waitForState('corp', 'up');
    await product.kill();
    await ping(internet.web4);
    await product.start();
    await product.waitForState('corp', 'up');
    // The gateway does not know yet that the tunnel of before is gone: nobody waits for it.
    await product.remove('corp');
    await product.stop();
    assert.equal(await hostState(world.client), untouched);
  });
});
