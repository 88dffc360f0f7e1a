import { formatAddress, parsePrefix, prefixContains, sameAddress, type IpAddress, type IpPrefix } from '@aovpn/bytes';
import { compileNameMatcher } from '../domain-name.ts';
import { dnsQuestionName } from './dns-question.ts';
import { etherType, ipProtocol, type IpPacket, type WatchedPacket } from './packet.ts';
import type { LeakPromise } from './promise.ts';

/** What a packet that left by a link is in the eyes of a promise. Everything but `leak` is as it should be. */
export const packetSorts = [
  /** ESP to the gateway, in UDP or bare. */
  'esp',
  /** IKE to the gateway. */
  'ike',
  /** NAT keepalive to the gateway (RFC 3948 §2.3). */
  'keepalive',
  'dhcp',
  /** ARP, neighbour and router discovery, and the multicast reports that they need. */
  'neighbour',
  /** Frames that carry no IP at all: spanning tree, LLDP, EAPOL. No program's traffic can be in them. */
  'not-ip',
  /** The question where the gateway is. */
  'gateway-name',
  /** A name that the profile exempts from its rules. */
  'exempt-name',
  /** To an ExclusionRoute of the profile. */
  'excluded',
  /** Within a directly attached network, where force tunnel lets it. */
  'attached',
  /** What the open captive portal lets out, and the daemon's own questions whether there is one. */
  'portal',
  /** The promise says nothing of it: it is not in force, or this is not what it holds inside. */
  'unpromised',
  /** What the test itself let out, to see whether it would be seen. */
  'control',
  'leak',
] as const;
export type PacketSort = (typeof packetSorts)[number];

/** What must be known besides the promise. */
export interface JudgingFacts {
  /** Outer addresses of the gateway. */
  readonly gateways: readonly IpAddress[];
  /** Ports of the gateway besides 500 and 4500. */
  readonly gatewayPorts: readonly number[];
  /** TCP connections to the gateway that have shown to carry IKE and ESP (RFC 9329): the judge remembers them here. */
  readonly streams?: Set<string>;
  /** Networks that are directly attached to the links. */
  readonly attached: readonly IpPrefix[];
  /** Where the daemon itself asks whether the network wants a sign-in. */
  readonly questions?: readonly PortalQuestion[];
}

export interface PortalQuestion {
  readonly host: string;
  readonly address?: IpAddress;
  readonly port: number;
}

export interface PacketJudgement {
  readonly sort: PacketSort;
  /** For people: which part of the promise decided. */
  readonly why: string;
}

/** RFC 1918, RFC 4193. */
const privateNetworks = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'].map((text) => parsePrefix(text)!);

/** No home is larger, and nobody else's addresses are private: docs/security.md, "Against the local network". */
function isPrivate(subnet: IpPrefix): boolean {
  return subnet.length >= (subnet.address.family === 4 ? 16 : 64) && within(privateNetworks, subnet.address) !== undefined;
}

/** Judges packets that left while the promise was in force. The order of the questions is the order of the trace. */
export function createJudge(promise: LeakPromise, facts: JudgingFacts): (packet: WatchedPacket) => PacketJudgement {
  const ruleOf = compileNameMatcher(promise.names);
  const ports = new Set([500, 4500, ...facts.gatewayPorts]);
  const direct = promise.attachedDirect ? facts.attached.filter(isPrivate) : [];
  const lockdown = promise.kind === 'lockdown';
  const { questions = [], streams = new Set() } = facts;

  return (packet) => {
    if (packet.kind === 'arp') return { sort: 'neighbour', why: 'ARP' };
    if (packet.kind === 'other') {
      if (packet.etherType === etherType.ipv4 || packet.etherType === etherType.ipv6)
        return { sort: 'leak', why: 'an IP packet that cannot be read: nobody can say what it carries' };
      return { sort: 'not-ip', why: `frame of type 0x${packet.etherType.toString(16)}` };
    }
    const needed = ofLink(packet, lockdown);
    if (needed) return needed;
    if (facts.gateways.some((gateway) => sameAddress(gateway, packet.destination))) {
      const own = toGateway(packet, ports, streams);
      if (own) return own;
    }
    const question = questionOf(packet);
    if (question !== undefined) {
      if (promise.gatewayNames.includes(question)) return { sort: 'gateway-name', why: `asks where ${question} is` };
      if (questions.some(({ host }) => host === question))
        return { sort: 'portal', why: `asks where ${question} is, of the portal` };
      const rule = ruleOf(question);
      if (rule?.inside) return { sort: 'leak', why: `asks for ${question}, which is under the name rule ${rule.name}` };
      if (rule && !lockdown) return { sort: 'exempt-name', why: `asks for ${question}, exempted by the name rule ${rule.name}` };
    }
    if (questions.some((one) => isQuestion(one, packet))) return { sort: 'portal', why: 'the daemon asks about the portal' };
    const held = within(promise.held, packet.destination);
    if (!held) return { sort: 'unpromised', why: 'not to a route of the profile' };
    const excluded = within(promise.excluded, packet.destination);
    if (excluded && excluded.length >= held.length) return { sort: 'excluded', why: 'ExclusionRoute of the profile' };
    if (!lockdown && within(direct, packet.destination)) return { sort: 'attached', why: 'ByPassForLocal' };
    if (promise.kind === 'force' && staysOnLink(packet.destination, facts.attached))
      return { sort: 'attached', why: 'what no router forwards' };
    return { sort: 'leak', why: holds[promise.kind] };
  };
}

const holds: { readonly [K in LeakPromise['kind']]: string } = {
  lockdown: 'LockDown lets nothing out but the tunnel, DHCP and neighbour discovery',
  force: 'force tunnel: everything belongs into the tunnel',
  split: 'to a route of the profile, which belongs into the tunnel',
};

/** What a link needs to work at all: RFC 2131, RFC 8415, RFC 4861, RFC 2710, RFC 3810. */
function ofLink(packet: IpPacket, lockdown: boolean): PacketJudgement | undefined {
  const { protocol, sourcePort, destinationPort, payload, hops, destination } = packet;
  if (protocol === ipProtocol.udp && packet.fragment !== 'later') {
    const four = destination.family === 4;
    if (four && sourcePort === 68 && destinationPort === 67) return { sort: 'dhcp', why: 'DHCP' };
    if (!four && sourcePort === 546 && destinationPort === 547) return { sort: 'dhcp', why: 'DHCPv6' };
  }
  if (protocol === ipProtocol.icmpv6) {
    const type = payload[0] ?? 0;
    if (type >= 133 && type <= 137 && hops === 255) return { sort: 'neighbour', why: 'neighbour discovery' };
    if ((type === 143 || (type >= 130 && type <= 132)) && hops === 1)
      return { sort: 'neighbour', why: 'multicast listener report' };
  }
  if (!lockdown && protocol === ipProtocol.igmp && hops === 1) return { sort: 'neighbour', why: 'IGMP' };
  return undefined;
}

/** IKE, ESP and keepalives by their form; whatever else goes to the gateway's address is judged as if it went anywhere. */
function toGateway(packet: IpPacket, ports: ReadonlySet<number>, streams: Set<string>): PacketJudgement | undefined {
  const { protocol, destinationPort, payload, payloadLength, fragment } = packet;
  if (protocol === ipProtocol.esp) return { sort: 'esp', why: 'ESP to the gateway' };
  if (protocol === ipProtocol.tcp) return inStream(packet, ports, streams);
  if (protocol !== ipProtocol.udp) return undefined;
  // The first fragment was judged by its ports; what follows has none.
  if (fragment === 'later') return { sort: 'ike', why: 'fragment of a datagram to the gateway' };
  if (destinationPort === undefined || !ports.has(destinationPort)) return undefined;
  if (payloadLength === 1 && payload[0] === 0xff) return { sort: 'keepalive', why: 'NAT keepalive' };
  return looksLikeIke(payload, payloadLength) ? { sort: 'ike', why: 'IKE to the gateway' } : behindMarker(payload, payloadLength);
}

/**
 * IKE and ESP in TCP (RFC 9329 §3): a connection begins with its prefix, and each message with its length and the marker of RFC 3948. What
 * follows in a connection that has begun so is not read: a segment may begin in the middle of a message. One without content tells nobody anything.
 */
function inStream(packet: IpPacket, ports: ReadonlySet<number>, streams: Set<string>): PacketJudgement | undefined {
  const { source, sourcePort, destination, destinationPort, payload, payloadLength } = packet;
  if (destinationPort === undefined || !ports.has(destinationPort)) return undefined;
  const judgement: PacketJudgement = { sort: 'ike', why: 'IKE and ESP in TCP to the gateway' };
  if (payloadLength === 0) return judgement;
  const stream = [formatAddress(source), sourcePort, formatAddress(destination), destinationPort].join(' ');
  if (!streams.has(stream)) {
    const length = ((payload[0] ?? 0) << 8) | (payload[1] ?? 0);
    const begins = streamPrefix.every((octet, i) => payload[i] === octet);
    if (!begins && behindMarker(payload.subarray(2), length - 2) === undefined) return undefined;
    streams.add(stream);
  }
  return judgement;
}

/** "IKETCP": RFC 9329 §4. */
const streamPrefix = [0x49, 0x4b, 0x45, 0x54, 0x43, 0x50] as const;

/** IKE behind four zero octets, or ESP: RFC 3948 §2.1, §2.2. */
function behindMarker(payload: Uint8Array, length: number): PacketJudgement | undefined {
  if (payload.length < 4) return undefined;
  const first = new DataView(payload.buffer, payload.byteOffset, payload.byteLength).getUint32(0);
  if (first === 0) return looksLikeIke(payload.subarray(4), length - 4) ? { sort: 'ike', why: 'IKE to the gateway' } : undefined;
  // SPI above the reserved ones, sequence number, at least a block and an ICV: RFC 4303 §2.
  return first > 255 && length >= 28 ? { sort: 'esp', why: 'ESP in UDP to the gateway' } : undefined;
}

/** Version 2.0, an exchange type of RFC 7296, and its own length (§3.1). */
function looksLikeIke(message: Uint8Array, length: number): boolean {
  if (message.length < 28 || message[17] !== 0x20 || message[18]! < 34 || message[18]! > 43) return false;
  return new DataView(message.buffer, message.byteOffset).getUint32(24) === length;
}

function isQuestion({ address, port }: PortalQuestion, { protocol, destination, destinationPort }: IpPacket): boolean {
  return protocol === ipProtocol.tcp && destinationPort === port && address !== undefined && sameAddress(address, destination);
}

/** DNS, multicast DNS and LLMNR. */
const nameServicePorts: ReadonlySet<number> = new Set([53, 5353, 5355]);

function questionOf(packet: IpPacket): string | undefined {
  const { protocol, destinationPort, payload } = packet;
  if (destinationPort === undefined || !nameServicePorts.has(destinationPort)) return undefined;
  return dnsQuestionName(payload, protocol === ipProtocol.tcp);
}

/** The longest of these networks that the address is in. */
function within(prefixes: readonly IpPrefix[], address: IpAddress): IpPrefix | undefined {
  let best: IpPrefix | undefined;
  for (const prefix of prefixes) if (prefixContains(prefix, address) && prefix.length > (best?.length ?? -1)) best = prefix;
  return best;
}

/** Link-local multicast (RFC 5771 §4, RFC 4291 §2.7), link-local addresses (RFC 3927, RFC 4291 §2.5.6) and broadcast. */
function staysOnLink({ family, bytes }: IpAddress, attached: readonly IpPrefix[]): boolean {
  if (family === 6) return (bytes[0] === 0xff && (bytes[1]! & 0x0f) <= 2) || (bytes[0] === 0xfe && (bytes[1]! & 0xc0) === 0x80);
  if (bytes[0] === 169 && bytes[1] === 254) return true;
  if (bytes[0] === 224 && bytes[1] === 0 && bytes[2] === 0) return true;
  if (bytes.every((octet) => octet === 255)) return true;
  return attached.some((prefix) => prefixContains(prefix, { family, bytes }) && prefix.length < 31 && isLast(prefix, bytes));
}

function isLast({ length }: IpPrefix, bytes: Uint8Array): boolean {
  return bytes.every((octet, i) => {
    const bits = Math.min(8, Math.max(0, length - i * 8));
    const host = 0xff >> bits;
    return (octet & host) === host;
  });
}
