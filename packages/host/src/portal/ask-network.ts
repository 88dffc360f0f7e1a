import { randomBytes } from 'node:crypto';
import { parseAddress, type IpAddress } from '@aovpn/bytes';
import {
  encodeDhcpInform,
  encodeInformationRequest,
  readAdvertisedPortal,
  readDhcpPortal,
  readDhcpv6Portal,
  readPacket,
  routerSolicitation,
  type Announcement,
  type IpPacket,
} from '@aovpn/policy';
import { encodeLinkAddress, hardwareAddress } from '../capture/link-address.ts';
import { encodeIcmpV6, encodeUdp } from '../capture/encode-packet.ts';
import { readAddresses, readLinks } from '../network/kernel-network.ts';
import { openRouteSocket } from '../network/route-socket.ts';
import { check, closeDescriptor, constant, errno, libc, watchReadable } from '../sys/index.ts';

/** How long answers are waited for, milliseconds. */
const patience = 1_500;
/** Of one device; whoever floods the link is not listened to any longer. */
const maxAnnouncements = 8;
const maxPackets = 5_000;
const frameOctets = 2_048;

const everywhere = parseAddress('255.255.255.255')!;
const allRouters = parseAddress('ff02::2')!;
const dhcpServers = parseAddress('ff02::1:2')!;
const nobody = parseAddress('::')!;
/** Hardware addresses that these are sent to: RFC 894, RFC 2464 §7. */
const hardware = {
  broadcast: Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
  routers: Uint8Array.of(0x33, 0x33, 0, 0, 0, 2),
  dhcp: Uint8Array.of(0x33, 0x33, 0, 1, 0, 2),
};
const dhcpPort = { client: 68, server: 67 } as const;
const dhcpv6Port = { client: 546, server: 547 } as const;

/**
 * Asks the network on these devices for its captive portal (RFC 8910): by DHCPINFORM, by a DHCPv6 information-request and by a router
 * solicitation, whatever program has configured the device, and without disturbing it. Needs CAP_NET_RAW. A device that is no Ethernet is
 * not asked. Whatever goes wrong on one device, the others are asked.
 */
export async function askNetworkForPortal(devices: readonly string[]): Promise<readonly Announcement[]> {
  const found = await Promise.all(devices.map((device) => askOn(device).catch(() => [])));
  return found.flat();
}

async function askOn(device: string): Promise<readonly Announcement[]> {
  const index = libc.interfaceIndex(device);
  const type = constant.SOCK_DGRAM | constant.SOCK_NONBLOCK | constant.SOCK_CLOEXEC;
  const fd = check('socket AF_PACKET', libc.socket(constant.AF_PACKET, type, 0));
  let watch: { close(): void } | undefined;
  try {
    const own = hardwareAddress(fd, device);
    if (index === 0 || !own) return [];
    const local = encodeLinkAddress(constant.ETH_P_ALL, index);
    check('bind AF_PACKET', libc.bindSocket(fd, libc.addressOf(local), local.length));
    const transaction = randomBytes(4).readUInt32BE(0);
    const short = transaction & 0xff_ffff;
    const found = new Map<string, Announcement>();
    let packets = 0;
    watch = watchReadable(fd, () => {
      for (const packet of receive(fd)) {
        if (++packets > maxPackets || found.size >= maxAnnouncements) return;
        const heard = hear(packet, device, transaction, short);
        if (heard) found.set(`${heard.source} ${heard.uri}`, heard);
      }
    });
    const send = (etherType: number, to: Uint8Array, packet: Uint8Array): void => {
      const address = encodeLinkAddress(etherType, index, to);
      libc.sendto(fd, libc.addressOf(packet), packet.length, constant.MSG_DONTWAIT, libc.addressOf(address), address.length);
    };
    const { v4, linkLocal } = addressesOf(index);
    if (v4) {
      const inform = encodeDhcpInform(transaction, v4, own);
      send(constant.ETH_P_IP, hardware.broadcast, encodeUdp(v4, dhcpPort.client, everywhere, dhcpPort.server, inform, 64));
    }
    send(constant.ETH_P_IPV6, hardware.routers, encodeIcmpV6(nobody, allRouters, Uint8Array.from(routerSolicitation), 255));
    if (linkLocal) {
      const request = encodeInformationRequest(short, own);
      const packet = encodeUdp(linkLocal, dhcpv6Port.client, dhcpServers, dhcpv6Port.server, request, 1);
      send(constant.ETH_P_IPV6, hardware.dhcp, packet);
    }
    await new Promise((resolve) => setTimeout(resolve, patience));
    return [...found.values()];
  } finally {
    watch?.close();
    closeDescriptor(fd);
  }
}

function hear(packet: IpPacket, device: string, transaction: number, short: number): Announcement | undefined {
  const { protocol, sourcePort, destinationPort, payload, hops, source } = packet;
  if (protocol === 17 && sourcePort === dhcpPort.server && destinationPort === dhcpPort.client && source.family === 4) {
    const uri = readDhcpPortal(payload, transaction);
    return uri === undefined ? undefined : { source: 'dhcpv4', device, uri };
  }
  if (protocol === 17 && sourcePort === dhcpv6Port.server && destinationPort === dhcpv6Port.client && isLinkLocal(source)) {
    const uri = readDhcpv6Portal(payload, short);
    return uri === undefined ? undefined : { source: 'dhcpv6', device, uri };
  }
  // RFC 4861 §6.1.2: from a link-local address, and from this link.
  if (protocol === 58 && hops === 255 && isLinkLocal(source)) {
    const uri = readAdvertisedPortal(payload);
    return uri === undefined ? undefined : { source: 'ra', device, uri };
  }
  return undefined;
}

/** What arrived; what this machine sends is heard as well, and passed over. */
function* receive(fd: number): Iterable<IpPacket> {
  const buffer = new Uint8Array(new ArrayBuffer(frameOctets));
  const from = new Uint8Array(new ArrayBuffer(128));
  const fromLength = new Uint32Array(new ArrayBuffer(128), 0, 1);
  for (;;) {
    fromLength[0] = 20;
    const length = libc.recvfrom(
      fd,
      libc.addressOf(buffer),
      buffer.length,
      constant.MSG_DONTWAIT,
      libc.addressOf(from),
      libc.addressOf(fromLength),
    );
    if (length === -errno.EINTR) continue;
    if (length < 0) return;
    if (from[10] === constant.PACKET_OUTGOING) continue;
    const packet = readPacket((from[2]! << 8) | from[3]!, buffer.subarray(0, length));
    if (packet.kind === 'ip' && packet.fragment === 'none') yield packet;
  }
}

function addressesOf(index: number): { readonly v4?: IpAddress; readonly linkLocal?: IpAddress } {
  const socket = openRouteSocket();
  try {
    if (!readLinks(socket).some((link) => link.index === index && link.up)) return {};
    const own = readAddresses(socket)
      .filter((address) => address.index === index)
      .map(({ prefix }) => prefix.address);
    const v4 = own.find(({ family }) => family === 4);
    const linkLocal = own.find(isLinkLocal);
    return { ...(v4 && { v4 }), ...(linkLocal && { linkLocal }) };
  } finally {
    socket.close();
  }
}

function isLinkLocal({ family, bytes }: IpAddress): boolean {
  return family === 6 && bytes[0] === 0xfe && (bytes[1]! & 0xc0) === 0x80;
}
