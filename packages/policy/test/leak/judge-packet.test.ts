import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { parseAddress, parsePrefix } from '@aovpn/bytes';
import { parseProfile } from '@aovpn/profile';
import { createJudge, type JudgingFacts, type PacketSort } from '../../src/leak/judge-packet.ts';
import { readPacket } from '../../src/leak/packet.ts';
import { leakPromise } from '../../src/leak/promise.ts';
import { resolveProfile } from '../../src/resolve-profile.ts';
import { esp, ike, ipPacket, query, tcp, udp } from './frame.ts';

const here = { 4: '192.0.2.10', 6: '2001:db8:a::10' } as const;
const gateway = { 4: '203.0.113.2', 6: '2001:db8:c::2' } as const;
const facts: JudgingFacts = {
  gateways: Object.values(gateway).map((text) => parseAddress(text)!),
  gatewayPorts: [4500],
  attached: ['192.0.2.0/24', '192.168.7.0/24', '2001:db8:a::/64'].map((text) => parsePrefix(text)!),
};

function promiseOf(elements: string, native: string) {
  const xml = `<VPNProfile>${elements}<NativeProfile><Servers>vpn.example.net</Servers>${native}<NativeProtocolType>IKEv2</NativeProtocolType><Authentication><MachineMethod>Certificate</MachineMethod></Authentication></NativeProfile></VPNProfile>`;
  const { profile, diagnostics } = parseProfile(new TextEncoder().encode(xml));
  assert.ok(profile, JSON.stringify(diagnostics));
  return leakPromise(profile, resolveProfile('test', profile).intent);
}

const names = (name: string, servers: string): string =>
  `<DomainNameInformation><DomainName>${name}</DomainName>${servers && `<DnsServers>${servers}</DnsServers>`}</DomainNameInformation>`;
const route = (address: string, size: number, more = ''): string =>
  `<Route><Address>${address}</Address><PrefixSize>${size}</PrefixSize>${more}</Route>`;
const force = '<RoutingPolicyType>ForceTunnel</RoutingPolicyType>';
const split = '<RoutingPolicyType>SplitTunnel</RoutingPolicyType>';

const promises = {
  lockdown: promiseOf('<LockDown>true</LockDown><AlwaysOn>true</AlwaysOn><DeviceTunnel>true</DeviceTunnel>', force),
  force: promiseOf(
    `<ByPassForLocal>true</ByPassForLocal>${names('.public.example', '')}${route('198.51.100.0', 24, '<ExclusionRoute>true</ExclusionRoute>')}`,
    force,
  ),
  split: promiseOf(`${names('.corp.example', '10.20.0.53')}${route('10.20.0.0', 16)}${route('fd20::', 48)}`, split),
};

type Verdicts = readonly [PacketSort, PacketSort, PacketSort];
const payload = new TextEncoder().encode('hello');
/** Under lockdown, force, split. */
const table: readonly (readonly [string, { readonly etherType: number; readonly octets: Uint8Array }, Verdicts])[] = [
  ['ESP in UDP', ipPacket(here[4], gateway[4], 17, udp(4500, 4500, esp())), ['esp', 'esp', 'esp']],
  ['bare ESP', ipPacket(here[6], gateway[6], 50, esp()), ['esp', 'esp', 'esp']],
  ['IKE on 500', ipPacket(here[4], gateway[4], 17, udp(500, 500, ike())), ['ike', 'ike', 'ike']],
  [
    'IKE behind its marker',
    ipPacket(here[6], gateway[6], 17, udp(4500, 4500, Uint8Array.from([0, 0, 0, 0, ...ike()]))),
    ['ike', 'ike', 'ike'],
  ],
  ['keepalive', ipPacket(here[4], gateway[4], 17, udp(4500, 4500, Uint8Array.of(0xff))), ['keepalive', 'keepalive', 'keepalive']],
  ['ESP to somebody else', ipPacket(here[4], '203.0.113.9', 17, udp(4500, 4500, esp())), ['leak', 'leak', 'unpromised']],
  ['text on the gateway’s port', ipPacket(here[4], gateway[4], 17, udp(4500, 4500, payload)), ['leak', 'leak', 'unpromised']],
  ['the beginning of TCP to the gateway’s port', ipPacket(here[6], gateway[6], 6, tcp(40000, 4500)), ['ike', 'ike', 'ike']],
  [
    'text in TCP to the gateway’s port',
    ipPacket(here[4], gateway[4], 6, tcp(40000, 4500, payload)),
    ['leak', 'leak', 'unpromised'],
  ],
  ['a web page of the gateway’s address', ipPacket(here[4], gateway[4], 6, tcp(40000, 80)), ['leak', 'leak', 'unpromised']],
  ['an echo to the gateway', ipPacket(here[6], gateway[6], 58, Uint8Array.of(128, 0, 0, 0)), ['leak', 'leak', 'unpromised']],
  ['UDP to the internet', ipPacket(here[4], '198.18.0.80', 17, udp(40000, 9, payload)), ['leak', 'leak', 'unpromised']],
  ['TCP to the internet', ipPacket(here[6], '2001:db8:d::80', 6, tcp(40000, 443)), ['leak', 'leak', 'unpromised']],
  [
    'a later fragment',
    ipPacket(here[4], '198.18.0.80', 17, payload, { fragment: { offset: 185, more: false } }),
    ['leak', 'leak', 'unpromised'],
  ],
  [
    'a later fragment of IPv6',
    ipPacket(here[6], '2001:db8:d::80', 17, payload, { fragment: { offset: 181, more: false } }),
    ['leak', 'leak', 'unpromised'],
  ],
  ['to a route', ipPacket(here[4], '10.20.3.4', 17, udp(40000, 9, payload)), ['leak', 'leak', 'leak']],
  ['to a route, IPv6', ipPacket(here[6], 'fd20::7', 6, tcp(40000, 22)), ['leak', 'leak', 'leak']],
  ['to an exclusion', ipPacket(here[4], '198.51.100.7', 6, tcp(40000, 443)), ['leak', 'excluded', 'unpromised']],
  ['to a private local network', ipPacket(here[4], '192.168.7.9', 6, tcp(40000, 445)), ['leak', 'attached', 'unpromised']],
  [
    'to a public local network',
    ipPacket(here[4], '192.0.2.1', 17, udp(40000, 53, query('x.example'))),
    ['leak', 'leak', 'unpromised'],
  ],
  [
    'where the gateway is',
    ipPacket(here[4], '192.0.2.1', 17, udp(40000, 53, query('VPN.example.net'))),
    ['gateway-name', 'gateway-name', 'gateway-name'],
  ],
  [
    'an exempted name',
    ipPacket(here[4], '192.0.2.1', 17, udp(40000, 53, query('www.public.example'))),
    ['leak', 'exempt-name', 'unpromised'],
  ],
  [
    'a name of the company',
    ipPacket(here[4], '192.0.2.1', 17, udp(40000, 53, query('intranet.corp.example'))),
    ['leak', 'leak', 'leak'],
  ],
  [
    'the same over TCP',
    ipPacket(here[4], '192.0.2.1', 6, tcp(40000, 53, Uint8Array.from([0, 40, ...query('intranet.corp.example')]))),
    ['leak', 'leak', 'leak'],
  ],
  [
    'the same by LLMNR',
    ipPacket(here[4], '224.0.0.252', 17, udp(40000, 5355, query('intranet.corp.example'))),
    ['leak', 'attached', 'leak'],
  ],
  ['DHCP', ipPacket('0.0.0.0', '255.255.255.255', 17, udp(68, 67, payload)), ['dhcp', 'dhcp', 'dhcp']],
  ['DHCPv6', ipPacket('fe80::1', 'ff02::1:2', 17, udp(546, 547, payload)), ['dhcp', 'dhcp', 'dhcp']],
  [
    'neighbour solicitation',
    ipPacket(here[6], 'ff02::1:ff00:1', 58, Uint8Array.of(135, 0, 0, 0), { hops: 255 }),
    ['neighbour', 'neighbour', 'neighbour'],
  ],
  [
    'what pretends to be one from afar',
    ipPacket(here[6], '2001:db8:d::1', 58, Uint8Array.of(135, 0, 0, 0), { hops: 64 }),
    ['leak', 'leak', 'unpromised'],
  ],
  [
    'multicast listener report',
    ipPacket('fe80::1', 'ff02::16', 58, Uint8Array.of(143, 0, 0, 0), { hops: 1 }),
    ['neighbour', 'neighbour', 'neighbour'],
  ],
  ['IGMP', ipPacket(here[4], '224.0.0.22', 2, payload, { hops: 1 }), ['leak', 'neighbour', 'neighbour']],
  [
    'multicast DNS',
    ipPacket(here[4], '224.0.0.251', 17, udp(5353, 5353, query('printer.local'))),
    ['leak', 'attached', 'unpromised'],
  ],
  ['broadcast on the link', ipPacket(here[4], '192.0.2.255', 17, udp(138, 138, payload)), ['leak', 'attached', 'unpromised']],
  ['ARP', { etherType: 0x0806, octets: new Uint8Array(28) }, ['neighbour', 'neighbour', 'neighbour']],
  ['LLDP', { etherType: 0x88cc, octets: new Uint8Array(40) }, ['not-ip', 'not-ip', 'not-ip']],
  [
    'a tagged packet',
    {
      etherType: 0x8100,
      octets: Uint8Array.from([0, 7, 8, 0, ...ipPacket(here[4], '10.20.0.1', 17, udp(1, 9, payload)).octets]),
    },
    ['leak', 'leak', 'leak'],
  ],
  ['IP that is none', { etherType: 0x0800, octets: Uint8Array.of(0x45, 0, 0) }, ['leak', 'leak', 'leak']],
];

suite('judging packets', () => {
  for (const [what, { etherType, octets }, [lockdown, forced, divided]] of table) {
    test(what, () => {
      const verdict = (promise: keyof typeof promises): string =>
        createJudge(promises[promise], facts)(readPacket(etherType, octets)).sort;
      assert.deepEqual([verdict('lockdown'), verdict('force'), verdict('split')], [lockdown, forced, divided]);
    });
  }

  /* RFC 9329 §3, §4: IKETCP, then messages with their length, whatever segments they are cut into */
  test('a TCP connection that has begun as IKE and ESP do goes on so; another one beside it does not', () => {
    const judge = createJudge(promises.lockdown, { ...facts, streams: new Set() });
    const sortOf = (port: number, content: Uint8Array): string => {
      const { etherType, octets } = ipPacket(here[4], gateway[4], 6, tcp(port, 4500, content));
      return judge(readPacket(etherType, octets)).sort;
    };
    const message = Uint8Array.from([0, 34, 0, 0, 0, 0, ...ike()]);
    assert.equal(sortOf(40_000, payload), 'leak');
    assert.equal(sortOf(40_000, Uint8Array.from([...new TextEncoder().encode('IKETCP'), ...message])), 'ike');
    assert.equal(sortOf(40_000, payload), 'ike', 'the middle of a message');
    assert.equal(sortOf(40_001, payload), 'leak');
    assert.equal(sortOf(40_001, message), 'ike', 'its beginning was before the capture');
    assert.equal(sortOf(40_001, payload), 'ike');
  });

  test('reads whatever octets come, and never takes what it cannot read for harmless', () => {
    const judge = createJudge(promises.lockdown, facts);
    fc.assert(
      fc.property(fc.constantFrom(0x0800, 0x86dd), fc.uint8Array({ maxLength: 120 }), (etherType, octets) => {
        const packet = readPacket(etherType, octets);
        const { sort } = judge(packet);
        if (packet.kind === 'other') assert.equal(sort, 'leak');
        else assert.notEqual(sort, 'not-ip');
      }),
    );
  });
});
