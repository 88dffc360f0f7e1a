import { appendFileSync } from 'node:fs';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { network } from './network.ts';
import { hangMs } from './patience.ts';
import type { Running } from './running.ts';
import type { CaptivePortalSettings } from './server/captive-portal.ts';
import type { World } from './world.ts';

const { portal, portal4, portal6 } = network.internet;
const device = network.router.toClient;

export interface PortalAnnouncement {
  /** By DHCP option 114, from a real dnsmasq. */
  readonly dhcpv4?: string;
  /** By DHCPv6 option 103, from the same. */
  readonly dhcpv6?: string;
  /** By option 37 of router advertisements, which we write ourselves: Debian's radvd does not know it yet. */
  readonly ra?: string;
}

/** The router of a world becomes that of a hotel: nothing passes before somebody has signed in. */
export class CaptivePortal {
  static readonly api = `https://${portal}/api`;
  static readonly login = `https://${portal}/login`;
  static readonly probe = { url: 'http://probe.example/online', path: '/online', answer: 'you are online\n' };
  readonly #world: World;
  readonly #server: Running;
  #announcing: Running[] = [];

  private constructor(world: World, server: Running) {
    this.#world = world;
    this.#server = server;
  }

  /** The gate is shut, and nobody is told of the portal yet. */
  static async open(world: World): Promise<CaptivePortal> {
    const { router, client, pki } = world;
    const issued = pki.root.issue({ commonName: portal, dns: [portal] });
    // The client trusts the authority of the world, as if it were a public one.
    appendFileSync(client.file('/etc/ssl/certs/ca-certificates.crt'), `\n${pki.root.certificatePem}`);
    await router.ip(`addr add ${portal4}/32 dev lo`, `-6 addr add ${portal6}/128 dev lo nodad`);
    router.write('/run/gate.nft', gate);
    const settings: CaptivePortalSettings = {
      addresses: [portal4, portal6],
      name: portal,
      certificatePem: issued.chainPem,
      keyPem: issued.keyPem,
      accept: ['nft', 'delete', 'table', 'inet', 'gate'],
      probe: CaptivePortal.probe,
    };
    const program = new URL('./server/captive-portal.ts', import.meta.url).pathname;
    const server = router.spawn([process.execPath, program, JSON.stringify(settings)], { name: 'captive-portal' });
    await server.saysWithin(/ready/);
    const self = new CaptivePortal(world, server);
    await self.shut();
    return self;
  }

  /** What the server was asked. */
  log(): string {
    return this.#server.output();
  }

  async shut(): Promise<void> {
    const before = this.log().length;
    await this.#server.signal('SIGUSR1');
    for (const deadline = performance.now() + hangMs; !this.log().slice(before).includes('shut again');) {
      if (performance.now() > deadline) throw new Error('the portal does not shut');
      await sleep(10);
    }
    if (!(await this.isShut())) await this.#world.router.exec(['nft', '-f', '/run/gate.nft']);
  }

  async isShut(): Promise<boolean> {
    return (await this.#world.router.run(['nft', 'list', 'table', 'inet', 'gate'])).status === 0;
  }

  /** Replaces what was announced before. */
  async announce(announcement: PortalAnnouncement): Promise<void> {
    for (const running of this.#announcing) await running.stop('SIGKILL');
    this.#announcing = [];
    const { router } = this.#world;
    const { dhcpv4, dhcpv6, ra } = announcement;
    if (dhcpv4 !== undefined || dhcpv6 !== undefined) {
      const argv = [
        'dnsmasq',
        '--keep-in-foreground',
        '--conf-file=/dev/null',
        '--port=0',
        '--user=root',
        '--log-facility=-',
        '--log-dhcp',
        '--leasefile-ro',
        `--interface=${device}`,
        '--bind-interfaces',
        '--dhcp-authoritative',
        '--dhcp-range=192.0.2.100,192.0.2.150,1h',
        '--dhcp-range=2001:db8:a::,ra-stateless',
        '--ra-param=*,mtu:off,high,600,0',
        ...(dhcpv4 === undefined ? [] : [`--dhcp-option-force=114,${dhcpv4}`]),
        ...(dhcpv6 === undefined ? [] : [`--dhcp-option=option6:103,${dhcpv6}`]),
      ];
      const running = router.spawn(argv, { name: 'dnsmasq' });
      await running.saysWithin(/DHCP, (?:IP range|stateless)|started/);
      this.#announcing.push(running);
    }
    if (ra !== undefined) {
      const running = router.spawn(['perl', '-e', advertiser, device, ra], { name: 'advertiser' });
      await running.saysWithin(/sent/);
      this.#announcing.push(running);
    }
  }
}

/** Pages in clear go to the sign-in page; names and the page itself are reached; everything else of the client's goes nowhere. */
const gate = `table inet gate {
  chain page {
    type nat hook prerouting priority -100; policy accept;
    iifname "${device}" meta nfproto ipv4 tcp dport 80 dnat ip to ${portal4}
    iifname "${device}" meta nfproto ipv6 tcp dport 80 dnat ip6 to ${portal6}
  }
  chain in {
    type filter hook input priority 0; policy accept;
    iifname "${device}" ip daddr { ${network.internet.web4} } drop
    iifname "${device}" ip6 daddr { ${network.internet.web6} } drop
  }
  chain through {
    type filter hook forward priority 0; policy accept;
    iifname "${device}" drop
  }
}
`;

/** RFC 4861 §4.2 and RFC 8910 §2.3: a router that is no default router and says where the portal is. */
const advertiser = `
use strict; use Socket qw(:all); $| = 1;
my ($device, $uri) = @ARGV;
open(my $f, "<", "/proc/net/if_inet6") or die; my $index;
while (<$f>) { my @w = split; $index = hex($w[1]) if $w[5] eq $device }
socket(my $s, AF_INET6, SOCK_RAW, 58) or die;
setsockopt($s, 41, 18, pack("i", 255)) or die "hops: $!";
setsockopt($s, 41, 17, pack("I", $index)) or die "device: $!";
my $value = $uri . ("\\0" x ((8 - (2 + length $uri) % 8) % 8));
my $option = pack("CC", 37, (2 + length $value) / 8) . $value;
my $packet = pack("CCnCCnNN", 134, 0, 0, 64, 0, 0, 0, 0) . $option;
while (1) {
  send($s, $packet, 0, pack_sockaddr_in6(0, inet_pton(AF_INET6, "ff02::1"), $index)) or die "send: $!";
  print "sent\\n"; select(undef, undef, undef, 0.3);
}
`;
