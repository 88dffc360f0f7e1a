import { network } from '../network.ts';
import type { World } from '../world.ts';

/** Not the well-known prefix of RFC 6052, which must not carry addresses of documentation; and so that a client must find it out. */
export const nat64 = { prefix: '2001:db8:64::', dns64: '2001:db8:d::64', dns: '2001:db8:d::65' } as const;

/**
 * Makes the client's network one without IPv4: its router translates (tayga, RFC 7915, with RFC 6146's job done by its masquerading), and
 * its resolver makes IPv6 addresses of IPv4 ones (unbound's dns64, RFC 6147). `nat64.dns` is the same resolver without that.
 */
export async function withoutIpv4({ client, router }: World): Promise<void> {
  const { device, home } = network.client;
  router.write(
    '/run/tayga.conf',
    `tun-device nat64
ipv4-addr 192.168.64.1
ipv6-addr 2001:db8:65::1
prefix ${nat64.prefix}/96
dynamic-pool 192.168.64.0/24
data-dir /run
`,
  );
  await router.exec(['tayga', '--config', '/run/tayga.conf', '--mktun']);
  await router.ip(
    'link set nat64 up',
    'route add 192.168.64.0/24 dev nat64',
    `-6 route add ${nat64.prefix}/96 dev nat64`,
    ...[nat64.dns64, nat64.dns].map((address) => `-6 addr add ${address}/128 dev lo nodad`),
  );
  await router.exec(['nft', '-f', '-'], {
    input: `table ip nat64 {
  chain postrouting {
    type nat hook postrouting priority 100; policy accept;
    oifname "${network.router.toGateway}" ip saddr 192.168.64.0/24 masquerade
  }
}
`,
  });
  router.spawn(['tayga', '--nodetach', '--config', '/run/tayga.conf'], { name: 'tayga' });
  for (const [address, modules] of [
    [nat64.dns64, 'dns64 iterator'],
    [nat64.dns, 'iterator'],
  ] as const) {
    const file = `/run/unbound-${modules.split(' ')[0]}.conf`;
    router.write(
      file,
      `server:
  interface: ${address}
  do-daemonize: no
  username: ""
  chroot: ""
  pidfile: ""
  directory: "/run"
  use-syslog: no
  logfile: ""
  num-threads: 1
  module-config: "${modules}"
  dns64-prefix: ${nat64.prefix}/96
  access-control: ::/0 allow
  do-not-query-localhost: no
  local-zone: "ipv4only.arpa." nodefault
  local-zone: "example." nodefault
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-addr: ${network.internet.dns4}
`,
    );
    const running = router.spawn(['unbound', '-d', '-c', file], { name: 'unbound' });
    await running.saysWithin(/start of service/);
  }
  client.write('/etc/resolv.conf', `nameserver ${nat64.dns64}\n`);
  await client.ip(`addr del ${home.v4}/24 dev ${device}`);
}
