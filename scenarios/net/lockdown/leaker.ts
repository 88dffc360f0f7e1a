import type { WirePacket } from '../../../lab/pcap.ts';
import { isIP } from 'node:net';
import type { Host } from '../../../lab/host.ts';
import { network } from '../../../lab/network.ts';

/**
 * Everything that a program may try in order to get a packet onto the physical link; each attempt is known by what it looks like there.
 * `{token}` stands for a word that tells one round from another.
 */
interface Attempt {
  readonly name: string;
  /** Perl; `$t` is the token, and the subs below are at hand. */
  readonly code: string;
  /** What it looks like on the wire. */
  seen(packet: WirePacket, token: string): boolean;
}

const { web4, web6, dns4, dns6 } = network.internet;
const gateway = network.gateway;
const has = (packet: WirePacket, token: string, name: string): boolean => packet.frame.includes(`${token}-${name}.`);

/** A datagram with the token in it. */
function datagram(name: string, address: string, port: number, prepare = ''): Attempt {
  return {
    name,
    code: `my $s=sock("${address}",SOCK_DGRAM,17);${prepare}send($s,"$t-${name}.",0,addr("${address}",${port}));`,
    seen: (packet, token) => has(packet, token, name),
  };
}

/** A connection attempt to a port of its own. */
function connection(name: string, address: string, port: number): Attempt {
  return {
    name,
    code: `my $s=sock("${address}",SOCK_STREAM,6);fcntl($s,4,2048);connect($s,addr("${address}",${port}));`,
    seen: (packet) => packet.protocol === 6 && packet.destination === address && packet.destinationPort === port,
  };
}

const mark = (value: number): string => `setsockopt($s,1,36,pack("I",${value}));`;
const ours = 0x616f76;

const attempts: readonly Attempt[] = [
  datagram('udp4', web4, 4001),
  datagram('udp6', web6, 4001),
  connection('tcp4', web4, 4002),
  connection('tcp6', web6, 4002),
  datagram('local4', network.client.home.router4, 4003),
  datagram('local6', network.client.home.router6, 4003),
  datagram('name4', dns4, 53),
  datagram('name6', dns6, 53),
  connection('name-tcp4', dns4, 53),
  connection('name-tcp6', dns6, 53),
  // Where the daemon itself may go.
  datagram('gateway4', gateway.v4, 4500),
  datagram('gateway6', gateway.v6, 4500),
  datagram('gateway-mark4', gateway.v4, 4500, mark(ours)),
  datagram('gateway-mark6', gateway.v6, 4500, mark(ours)),
  datagram('gateway-ike4', gateway.v4, 500),
  datagram('mark4', web4, 4004, mark(ours)),
  datagram('mark6', web6, 4004, mark(ours)),
  // More than one packet can carry.
  {
    name: 'fragments4',
    code: `my $s=sock("${web4}",SOCK_DGRAM,17);send($s,"$t-fragments4." x 300,0,addr("${web4}",4005));`,
    seen: (packet, token) => has(packet, token, 'fragments4'),
  },
  {
    name: 'fragments6',
    code: `my $s=sock("${web6}",SOCK_DGRAM,17);send($s,"$t-fragments6." x 300,0,addr("${web6}",4005));`,
    seen: (packet, token) => has(packet, token, 'fragments6'),
  },
  // ICMP without privilege, where ping_group_range allows it.
  {
    name: 'ping4',
    code: `socket(my $s,AF_INET,SOCK_DGRAM,1);send($s,pack("CCnnn",8,0,0,1,1)."$t-ping4.",0,addr("${web4}",0));`,
    seen: (packet, token) => has(packet, token, 'ping4'),
  },
  {
    name: 'ping6',
    code: `socket(my $s,AF_INET6,SOCK_DGRAM,58);send($s,pack("CCnnn",128,0,0,1,1)."$t-ping6.",0,addr("${web6}",0));`,
    seen: (packet, token) => has(packet, token, 'ping6'),
  },
  datagram('multicast4', '224.0.0.251', 5353, `setsockopt($s,0,32,inet_aton("${network.client.home.v4}"));`),
  {
    name: 'multicast6',
    code: `my $s=sock("ff02::fb",SOCK_DGRAM,17);send($s,"$t-multicast6.",0,pack_sockaddr_in6(5353,inet_pton(AF_INET6,"ff02::fb"),$wan,0));`,
    seen: (packet, token) => has(packet, token, 'multicast6'),
  },
  {
    name: 'link-local6',
    code: `my $s=sock("fe80::1",SOCK_DGRAM,17);send($s,"x",0,pack_sockaddr_in6(4006,inet_pton(AF_INET6,"fe80::77"),$wan,0));`,
    // What is asked before it could be sent.
    seen: (packet) => packet.protocol === 58 && packet.payload?.[0] === 135 && packet.payload.subarray(-12).includes(0x77),
  },
  datagram('broadcast4', '192.0.2.255', 4007, 'setsockopt($s,1,6,pack("I",1));'),
  // As a DHCP client would, by somebody who is none.
  datagram('dhcp4', '255.255.255.255', 67, 'setsockopt($s,1,6,pack("I",1));bind($s,addr("0.0.0.0",68));'),
  // Sockets bound to the physical device and addresses of somebody else ask for no privilege.
  datagram('bound4', web4, 4008, `setsockopt($s,1,25,"${network.client.device}\\0");`),
  datagram('bound6', web6, 4008, `setsockopt($s,1,25,"${network.client.device}\\0");`),
  datagram('freebind6', web6, 4009, 'setsockopt($s,41,78,pack("I",1));bind($s,addr("2001:db8:ffff::1",0));'),
  // Group memberships that the kernel would report.
  {
    name: 'join4',
    code: `our $j4=sock("224.0.0.1",SOCK_DGRAM,17);setsockopt($j4,0,35,inet_aton("239.1.2.".(1+$round)).inet_aton("${network.client.home.v4}"));select(undef,undef,undef,0.05);`,
    seen: (packet) => packet.protocol === 2,
  },
  {
    name: 'join6',
    code: `our $j6=sock("ff02::1",SOCK_DGRAM,17);setsockopt($j6,41,20,inet_pton(AF_INET6,"ff05::".(1000+$round)).pack("I",$wan));select(undef,undef,undef,0.05);`,
    seen: (packet) => packet.protocol === 58 && (packet.payload?.[0] === 143 || packet.payload?.[0] === 131),
  },
];

const prelude = `
use Socket qw(:all);
our ($t,$round,$wan)=@ARGV;
sub v6 { $_[0] =~ /:/ }
sub addr { v6($_[0]) ? pack_sockaddr_in6($_[1],inet_pton(AF_INET6,$_[0])) : pack_sockaddr_in($_[1],inet_pton(AF_INET,$_[0])) }
sub sock { socket(my $s,v6($_[0])?AF_INET6:AF_INET,$_[1],$_[2]); $s }
`;

/** The client's way to the world. */
export async function physicalLink(host: Host): Promise<{ readonly index: number; readonly mac: Buffer }> {
  const [link] = JSON.parse(await host.exec(['ip', '-j', 'link', 'show', network.client.device])) as [
    { readonly ifindex: number; readonly address: string },
  ];
  return { index: link.ifindex, mac: Buffer.from(link.address.replaceAll(':', ''), 'hex') };
}

let rounds = 0;

/** What root may do as well as the daemon or a DHCP client: to tell root from root is nobody's promise. */
const ofRoot: readonly string[] = ['gateway-mark4', 'gateway-mark6', 'dhcp4'];

/** `raw`: a user whose program has CAP_NET_RAW, as ping and mtr have on many machines: it may give its sockets a mark. */
type Who = 'nobody' | 'raw' | 'root';

/** Tries everything once, as this user, from this host (or through `enter`); the token of the round. */
export async function leak(host: Host, who: Who, enter: readonly string[] = []): Promise<string> {
  const token = `leak${rounds++}x`;
  const { index } = await physicalLink(host);
  const rights = who === 'raw' ? ['--inh-caps=-all,+net_raw', '--ambient-caps=-all,+net_raw'] : ['--bounding-set=-all'];
  const owner = who === 'root' ? [] : ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', ...rights, '--'];
  const tried = attempts.filter(({ name }) => who !== 'root' || !ofRoot.includes(name));
  const script = prelude + tried.map(({ code }) => `eval { ${code} };`).join('\n');
  await host.exec([...enter, ...owner, 'perl', '-e', script, token, String(rounds), String(index)]);
  return token;
}

/** What `leak` tries as this user. */
export function attemptsOf(who: 'nobody' | 'root'): readonly string[] {
  return attempts.map(({ name }) => name).filter((name) => who !== 'root' || !ofRoot.includes(name));
}

/** Names of the attempts that left the client. */
export function seen(packets: readonly WirePacket[], token: string, mac: Buffer): readonly string[] {
  const out = packets.filter(({ frame }) => frame.subarray(6, 12).equals(mac));
  return attempts.filter((attempt) => out.some((packet) => attempt.seen(packet, token))).map(({ name }) => name);
}

/**
 * What left the client and should not have: everything but ARP, router solicitation and neighbour discovery, DHCP, IKE and ESP to the gateway, and
 * questions for its name.
 */
export function leaks(
  packets: readonly WirePacket[],
  mac: Buffer,
  known: Known = { gateways: [gateway.v4, gateway.v6], resolvers: [dns4, dns6] },
): readonly string[] {
  return packets.filter((packet) => packet.frame.subarray(6, 12).equals(mac) && !mayLeave(packet, known)).map(describe);
}

/** Where the daemon has reason to go. */
interface Known {
  readonly gateways: readonly string[];
  readonly resolvers: readonly string[];
}

function mayLeave(packet: WirePacket, { gateways, resolvers }: Known): boolean {
  const { protocol, payload, destination, sourcePort, destinationPort } = packet;
  if (protocol === 'arp') return true;
  if (protocol === 58) return payload !== undefined && [133, 135, 136].includes(payload[0]!);
  const isGateway = gateways.includes(destination);
  // IKE and ESP in TCP (RFC 9329).
  if (protocol === 6) return isGateway && destinationPort === 4500;
  if (protocol !== 17 || !payload) return false;
  // The machine asks what this network hands out.
  if ((sourcePort === 68 && destinationPort === 67) || (sourcePort === 546 && destinationPort === 547))
    return !payload.includes('leak');
  // Port 500 is asked by the doctor.
  if (isGateway && (destinationPort === 4500 || destinationPort === 500)) return !payload.includes('leak');
  const labels = Buffer.concat(gateway.name.split('.').flatMap((label) => [Buffer.from([label.length]), Buffer.from(label)]));
  return resolvers.includes(destination) && destinationPort === 53 && payload.includes(labels);
}

function describe({ source, destination, sourcePort, destinationPort, protocol, payload }: WirePacket): string {
  const port = (address: string, number: number | undefined): string =>
    isIP(address) && number !== undefined ? `${address} port ${number}` : address;
  return `${port(source, sourcePort)} > ${port(destination, destinationPort)} protocol ${protocol}: ${payload?.subarray(0, 24).toString('latin1') ?? ''}`;
}
