// docs/security.md, "What may leave, per state", held against the printed rules of each state in a kernel.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseAddress, parsePrefix } from '@aovpn/bytes';
import { compilePlan, resolveProfile, type PlanInput } from '@aovpn/policy';
import { parseProfile } from '@aovpn/profile';
import { findCgroupRoot, nftCgroupName } from '../../src/cgroup/cgroup-root.ts';
import { openLockdown, removeLockdown, type Lockdown } from '../../src/filter/lockdown.ts';
import { inOwnNamespace, run, sh } from '../network/namespace.ts';
import { buildWorld, clearRoutes, removeWorld, routesOf, world } from './filter-world.ts';

type Family = 4 | 6;
type Verdict = 'clear' | 'tunnel' | 'no';

const mark = 0x616f76;
const gateway = { 4: '203.0.113.99', 6: '2001:db8:9::99' } as const;
/** Asked by programs, and by the daemon: the same service to the rules, two addresses to tell them apart here. */
const asked = {
  program: { 4: '203.0.113.53', 6: '2001:db8:9::53' },
  daemon: { 4: '203.0.113.54', 6: '2001:db8:9::54' },
} as const;
const excluded = { 4: '198.18.7.7', 6: '2001:db8:18::7' } as const;
const attached = { 4: '192.0.2.50', 6: '2001:db8:1::50' } as const;
const address = (text: string) => parseAddress(text)!;

interface Row {
  readonly title: string;
  /** IP version, then what the packet looks like to nft, where it arrives. */
  readonly seen: (family: Family) => string;
  /** Sends it, as often as it likes. */
  readonly send: (family: Family) => void;
  /** Only IPv6 has such a thing. */
  readonly only?: Family;
}

let cgroup = '';
let index = '';

/** Perl with addresses at hand: `s(address,type,protocol)` makes a socket, `a(address,port)` a name for it. */
function perl(code: string, user: 'nobody' | 'root' = 'root'): void {
  const own = user === 'root' ? [] : ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--bounding-set=-all', '--'];
  const prelude = `use Socket qw(:all);sub v{$_[0]=~/:/}sub a{v($_[0])?pack_sockaddr_in6($_[1],inet_pton(AF_INET6,$_[0]),$_[2]//0,0):pack_sockaddr_in($_[1],inet_pton(AF_INET,$_[0]))}sub s_{socket(my $s,v($_[0])?AF_INET6:AF_INET,$_[1],$_[2]);$s}`;
  const [program, ...args] = [...own, 'perl', '-e', prelude + code];
  run(program, ...args);
}
const udp = (to: string, port: number, before = '', user: 'nobody' | 'root' = 'nobody', scope = '0'): void =>
  perl(`my $s=s_("${to}",SOCK_DGRAM,17);${before}send($s,"promise",0,a("${to}",${port},${scope}));`, user);
const tcp = (to: string, port: number, before = '', user: 'nobody' | 'root' = 'nobody'): void =>
  perl(
    `${before}my $s=s_("${to}",SOCK_STREAM,6);fcntl($s,4,2048);connect($s,a("${to}",${port}));select(undef,undef,undef,0.02);`,
    user,
  );
const marked = `setsockopt($s,1,36,pack("I",${mark})) or die "mark";`;
const ip = (family: Family): string => (family === 4 ? 'ip' : 'ip6');

const rows: readonly Row[] = [
  {
    title: 'the daemon: IKE and ESP to its gateway',
    seen: (family) => `${ip(family)} daddr ${gateway[family]} udp dport 4500`,
    send: (family) => udp(gateway[family], 4500, marked, 'root'),
  },
  {
    title: "the daemon: the name of its gateway, asked of this network's name servers",
    seen: (family) => `${ip(family)} daddr ${asked.daemon[family]} udp dport 53`,
    send: (family) => udp(asked.daemon[family], 53, marked, 'root'),
  },
  {
    title: 'the machine: DHCP',
    seen: (family) => (family === 4 ? 'ip daddr 255.255.255.255 udp dport 67' : 'ip6 daddr ff02::1:2 udp dport 547'),
    send: (family) =>
      family === 4
        ? perl(
            'my $s=s_("0.0.0.0",SOCK_DGRAM,17);setsockopt($s,1,6,pack("I",1));setsockopt($s,1,25,"phys0\\0");bind($s,a("0.0.0.0",68)) or die;send($s,"x",0,a("255.255.255.255",67));',
          )
        : perl(
            `my $s=s_("::",SOCK_DGRAM,17);bind($s,a("fe80::11",546,${index})) or die $!;send($s,"x",0,a("ff02::1:2",547,${index}));`,
          ),
  },
  {
    title: 'the machine: router solicitation, neighbour discovery',
    only: 6,
    seen: () => 'icmpv6 type nd-router-solicit',
    send: () =>
      perl(
        `my $s=s_("::",SOCK_RAW,58);setsockopt($s,41,18,pack("I",255));send($s,pack("CCnN",133,0,0,0),0,a("ff02::2",0,${index}));`,
      ),
  },
  {
    title: 'programs: the internet',
    seen: (family) => `${ip(family)} daddr ${world.outside[family]} udp dport 7001`,
    send: (family) => udp(world.outside[family], 7001),
  },
  {
    title: 'programs: a route of the profile',
    seen: (family) => `${ip(family)} daddr ${world.inside[family]} tcp dport 7002`,
    send: (family) => tcp(world.inside[family], 7002),
  },
  {
    title: 'programs: an exclusion of the profile',
    seen: (family) => `${ip(family)} daddr ${excluded[family]} udp dport 7003`,
    send: (family) => udp(excluded[family], 7003),
  },
  {
    title: 'programs: the attached network',
    seen: (family) => `${ip(family)} daddr ${attached[family]} udp dport 7004`,
    send: (family) => udp(attached[family], 7004),
  },
  {
    title: "programs: this network's name servers",
    seen: (family) => `${ip(family)} daddr ${asked.program[family]} udp dport 53`,
    send: (family) => udp(asked.program[family], 53),
  },
  {
    title: 'programs: multicast on the link',
    seen: (family) => (family === 4 ? 'ip daddr 224.0.0.251 udp dport 5353' : 'ip6 daddr ff02::fb udp dport 5353'),
    send: (family) =>
      family === 4
        ? udp('224.0.0.251', 5353, `setsockopt($s,0,32,inet_aton("${world.phys[4]}"));`)
        : udp('ff02::fb', 5353, '', 'nobody', index),
  },
  {
    title: "programs: what takes the daemon's mark, or port 4500 of the gateway, without being root",
    seen: (family) => `${ip(family)} daddr ${gateway[family]} udp dport 4500 @th,64,16 0x756e`,
    // A payload of its own tells it from the daemon's.
    send: (family) =>
      perl(
        `my $s=s_("${gateway[family]}",SOCK_DGRAM,17);setsockopt($s,1,36,pack("I",${mark})) and die "marked";send($s,"unprivileged",0,a("${gateway[family]}",4500));`,
        'nobody',
      ),
  },
  {
    title: 'containers, forwarded: the internet',
    seen: (family) => `${ip(family)} daddr ${world.outside[family]} udp dport 7011`,
    send: (family) =>
      run(
        'ip',
        'netns',
        'exec',
        'box',
        'perl',
        '-MSocket=:all',
        '-e',
        family === 4
          ? `socket(A,AF_INET,SOCK_DGRAM,17);send(A,"x",0,pack_sockaddr_in(7011,inet_aton("${world.outside[4]}")))`
          : `socket(A,AF_INET6,SOCK_DGRAM,17);send(A,"x",0,pack_sockaddr_in6(7011,inet_pton(AF_INET6,"${world.outside[6]}")))`,
      ),
  },
  {
    title: "the portal's browser: HTTP and HTTPS, names at this network's name servers",
    seen: (family) => `${ip(family)} daddr ${world.outside[family]} tcp dport 443`,
    send: (family) => {
      const enter = `open F,">","${cgroup}/cgroup.procs";print F $$;close F;`;
      tcp(world.outside[family], 443, enter, 'root');
    },
  },
];

const exclusion = (prefix: string): string => {
  const [network, length] = prefix.split('/');
  return `<Route><Address>${network}</Address><PrefixSize>${length}</PrefixSize><ExclusionRoute>true</ExclusionRoute></Route>`;
};
const exclusions = exclusion('198.18.7.0/24') + exclusion('2001:db8:18::/64');
const routes =
  '<Route><Address>198.51.100.0</Address><PrefixSize>24</PrefixSize></Route><Route><Address>2001:db8:7::</Address><PrefixSize>64</PrefixSize></Route>';

/** The intent of a profile with these elements. */
function intentOf(routing: 'SplitTunnel' | 'ForceTunnel', top: string, tail: string) {
  const text = `<VPNProfile>${top}<NativeProfile><Servers>vpn.example</Servers><RoutingPolicyType>${routing}</RoutingPolicyType><NativeProtocolType>IKEv2</NativeProtocolType><DisableClassBasedDefaultRoute>true</DisableClassBasedDefaultRoute><Authentication><MachineMethod>Certificate</MachineMethod></Authentication></NativeProfile>${tail}</VPNProfile>`;
  const { profile } = parseProfile(Buffer.from(text));
  assert.ok(profile, text);
  return resolveProfile('Corp', profile).intent;
}

/** The columns of the table. */
function states(): Readonly<Record<string, PlanInput>> {
  const host = {
    resolver: 'stub',
    physicalDns: [...Object.values(asked.program), ...Object.values(asked.daemon)].map(address),
    mark,
    localSubnets: [parsePrefix('192.0.2.0/24')!, parsePrefix('2001:db8:1::/64')!],
  } as const;
  const split = intentOf('SplitTunnel', '', routes + exclusions);
  const force = intentOf('ForceTunnel', '', exclusions);
  const lock = intentOf('ForceTunnel', '<LockDown>true</LockDown>', '');
  const up = (intent: typeof split): PlanInput => ({
    tunnels: [
      {
        intent,
        facts: {
          profile: 'Corp',
          device: 'aov0',
          mtu: 1400,
          addresses: [parsePrefix(`${world.tunnel[4]}/32`)!, parsePrefix(`${world.tunnel[6]}/128`)!],
          // Inside, so that names are asked there and this network's servers are strangers.
          dns: [address(world.inside[4])],
          dnsDomains: [],
          subnets: [],
          remoteSelectors: [],
          gateway: address(gateway[4]),
        },
      },
    ],
    host,
  });
  const endpoints = new Map([['Corp', [gateway[4], gateway[6]].map((text) => ({ address: address(text), port: 4500 }))]]);
  const root = findCgroupRoot();
  const portal = {
    cgroup: { path: nftCgroupName(cgroup)!, level: root.depth + 1 },
    until: Date.now() + 600_000,
    ports: [80, 443],
    because: { profile: '', why: 'a portal' },
  };
  return {
    'no tunnel': { tunnels: [], idle: [split], host },
    'split tunnel': up(split),
    'force tunnel': up(force),
    'LockDown, no tunnel': { tunnels: [], idle: [lock], endpoints, host },
    'LockDown, tunnel': { ...up(lock), endpoints },
    'LockDown, portal': { tunnels: [], idle: [lock], endpoints, host, portal },
  };
}

/** The table of the document: row → column → verdict. */
function promises(): ReadonlyMap<string, ReadonlyMap<string, Verdict>> {
  const text = readFileSync(new URL('../../../../docs/security.md', import.meta.url), 'utf8');
  const lines = text.slice(text.indexOf('| what | no tunnel |')).split('\n');
  const cells = (line: string): string[] =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim());
  const [, ...columns] = cells(lines[0]!);
  const end = lines.findIndex((line) => !line.startsWith('|'));
  return new Map(
    lines.slice(2, end).map((line) => {
      const [title, ...verdicts] = cells(line);
      return [title!, new Map(verdicts.map((verdict, i) => [columns[i]!, verdict as Verdict]))];
    }),
  );
}

inOwnNamespace(import.meta.url, () => {
  suite('what docs/security.md promises to leave, per state', { concurrency: 1 }, () => {
    let lockdown: Lockdown;
    const promised = promises();
    before(async () => {
      await buildWorld();
      cgroup = join(findCgroupRoot().path, `aovpn-test-${process.pid}-promise`);
      mkdirSync(cgroup);
      index = (JSON.parse(run('ip', '-j', 'link', 'show', 'phys0')) as { ifindex: number }[])[0]!.ifindex.toString();
      for (const line of [
        'ip address add fe80::11/64 dev phys0 nodad',
        'ip neighbour add 192.0.2.50 lladdr 02:00:00:00:00:02 dev phys0',
        'ip -6 neighbour add 2001:db8:1::50 lladdr 02:00:00:00:00:02 dev phys0',
        'sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.rp_filter=0',
        'ip netns add box',
        'ip link add box0 type veth peer name eth0 netns box',
        'ip address add 172.30.0.1/24 dev box0',
        'ip address add fd72::1/64 dev box0 nodad',
        'ip link set box0 up',
        'ip -n box address add 172.30.0.2/24 dev eth0',
        'ip -n box address add fd72::2/64 dev eth0 nodad',
        'ip -n box link set lo up',
        'ip -n box link set eth0 up',
        'ip -n box route add default via 172.30.0.1',
        'ip -n box -6 route add default via fd72::1',
      ])
        sh(line);
      const counters = ['p0', 't0'].flatMap((wire) =>
        ([4, 6] as const).flatMap((family) => rows.map((_, i) => `counter ${wire}_${family}_${i} { }`)),
      );
      const rules = ['p0', 't0'].flatMap((wire) =>
        ([4, 6] as const).flatMap((family) =>
          rows.map(
            ({ seen }, i) => `iifname ${wire} meta nfproto ipv${family} ${seen(family)} counter name ${wire}_${family}_${i}`,
          ),
        ),
      );
      execFileSync('ip', ['netns', 'exec', 'peer', 'nft', '-f', '-'], {
        input: `table inet promise {\n${counters.join('\n')}\nchain prerouting { type filter hook prerouting priority -301; policy accept;\n${rules.join('\n')}\n}\n}\n`,
      });
    });
    after(async () => {
      await lockdown?.close();
      await removeLockdown();
      removeWorld();
      if (cgroup !== '') rmdirSync(cgroup);
    });

    const put = async (input: PlanInput): Promise<void> => {
      await lockdown?.close();
      clearRoutes();
      const plan = compilePlan(input);
      lockdown = openLockdown(({ what }) => assert.fail(what));
      await lockdown.apply(plan.lockdown);
      await routesOf(plan).apply();
    };
    const counted = (): ReadonlyMap<string, number> => {
      const listed = JSON.parse(
        run('ip', 'netns', 'exec', 'peer', 'nft', '-j', 'reset', 'counters', 'table', 'inet', 'promise'),
      ) as {
        nftables: { counter?: { name: string; packets: number } }[];
      };
      return new Map(listed.nftables.flatMap(({ counter }) => (counter ? [[counter.name, counter.packets] as const] : [])));
    };
    const observe = async (row: Row, i: number, family: Family, wanted: string): Promise<Verdict | 'both'> => {
      counted();
      try {
        row.send(family);
      } catch (error) {
        // What a program is told is another matter; a bug of the test is none.
        assert.doesNotMatch(String(error), /mark|syntax|Can't locate/);
      }
      // The kernel may still be at what was sent, or ask for a neighbour first.
      for (const end = performance.now() + 60_000; ; await sleep(5)) {
        const counts = counted();
        const [clear, tunnel] = ['p0', 't0'].map((wire) => (counts.get(`${wire}_${family}_${i}`) ?? 0) > 0);
        if (clear || tunnel) return clear && tunnel ? 'both' : clear ? 'clear' : 'tunnel';
        if (wanted === 'no' || performance.now() > end) return 'no';
      }
    };

    test('the document and this test know the same rows and states', () => {
      assert.deepEqual(
        [...promised.keys()],
        rows.map(({ title }) => title),
      );
      for (const verdicts of promised.values()) assert.deepEqual([...verdicts.keys()], Object.keys(states()));
    });

    for (const state of [
      'no tunnel',
      'split tunnel',
      'force tunnel',
      'LockDown, no tunnel',
      'LockDown, tunnel',
      'LockDown, portal',
    ]) {
      test(state, async () => {
        await put(states()[state]!);
        const found: Record<string, string> = {};
        const wanted: Record<string, string> = {};
        for (const [i, row] of rows.entries()) {
          for (const family of [4, 6] as const) {
            if (row.only !== undefined && row.only !== family) continue;
            const is = promised.get(row.title)?.get(state) ?? 'not promised';
            wanted[`${row.title}, IPv${family}`] = is;
            found[`${row.title}, IPv${family}`] = await observe(row, i, family, is);
          }
        }
        assert.deepEqual(found, wanted);
      });
    }
  });
});
