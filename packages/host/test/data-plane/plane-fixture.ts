import { randomBytes } from 'node:crypto';
import {
  espTransform,
  openEsp,
  sealEsp,
  type ChildSaInstall,
  type DataPlane,
  type DataPlaneEvent,
  type DataPlaneOptions,
  type EspSa,
  type EspSuite,
  type OpenDataPlane,
  type Opened,
  type OuterPath,
} from '@aovpn/esp';
import { concat, formatAddress } from '@aovpn/bytes';
import { nodeCrypto } from '../../../esp/test/node-crypto.ts';
import { Inbox } from './inbox.ts';
import { UdpPeer } from './inner-traffic.ts';
import { inner, inside, ip, outer, type NetWorld } from './net-world.ts';

export const aesGcm128: EspSuite = { encr: 20, keyBits: 128, integ: 0 };

/** One plane in its namespace. */
export interface Station {
  readonly plane: DataPlane;
  readonly events: Inbox<DataPlaneEvent>;
  /** Runs an operation of the plane where it lives. */
  readonly at: <T>(operation: (plane: DataPlane) => Promise<T>) => Promise<T>;
}

export async function openStation(
  open: OpenDataPlane,
  namespace: string,
  options: Partial<DataPlaneOptions> = {},
): Promise<Station> {
  const events = new Inbox<DataPlaneEvent>();
  const all = { device: 'tun0', mtu: 1400, mark: 0, keepaliveSeconds: 0, ...options };
  const plane = await inside(namespace, () => open(all, (event) => events.put(event)));
  return { plane, events, at: (operation) => inside(namespace, () => operation(plane)) };
}

/** Gives the device its inner addresses and the routes to the other side, as a plan would. */
export async function bringUp(station: Station, namespace: string, side: 'a' | 'b', device = 'tun0'): Promise<void> {
  await station.at((plane) => plane.openDevice());
  await station.plane.setInnerAddresses([inner[side][4], inner[side][6]]);
  ip('-n', namespace, 'addr', 'add', `${formatAddress(inner[side][4])}/32`, 'dev', device);
  ip('-n', namespace, 'addr', 'add', `${formatAddress(inner[side][6])}/128`, 'dev', device, 'nodad');
  ip('-n', namespace, 'link', 'set', device, 'up');
  ip('-n', namespace, 'route', 'add', '10.77.0.0/16', 'dev', device);
  ip('-n', namespace, 'route', 'add', 'fd77::/16', 'dev', device);
}

/** Points two planes at each other; the path of b. */
export async function join(world: { readonly a: Station; readonly b: Station }, family: 4 | 6): Promise<OuterPath> {
  const first = await world.a.at((plane) => plane.connect(outer.b[family], 9));
  const second = await world.b.at((plane) => plane.connect(outer.a[family], first.localPort));
  await world.a.at((plane) => plane.connect(outer.b[family], second.localPort));
  return second;
}

let lastSpi = 0x1000;

/** Both ends of a fresh CHILD_SA, with random keys. */
export function makeChild(
  suite: EspSuite,
  sendNow = true,
  esn = false,
): { readonly a: ChildSaInstall; readonly b: ChildSaInstall } {
  const toA = makeSa(suite);
  const toB = makeSa(suite);
  return {
    a: { suite, inbound: copy(toA), outbound: copy(toB), esn, sendNow },
    b: { suite, inbound: copy(toB), outbound: copy(toA), esn, sendNow },
  };
}

function makeSa(suite: EspSuite): EspSa {
  const transform = espTransform(suite)!;
  return {
    spi: ++lastSpi,
    encryptionKey: new Uint8Array(randomBytes(transform.keyLength + transform.saltLength)),
    integrityKey: new Uint8Array(randomBytes(transform.integrityKeyLength)),
  };
}

/** Planes overwrite the keys that they are given. */
function copy(sa: EspSa): EspSa {
  return { spi: sa.spi, encryptionKey: sa.encryptionKey.slice(), integrityKey: sa.integrityKey.slice() };
}

/** A gateway made of a UDP socket and the reference functions, to send a plane whatever a test wants. */
export class ScriptedGateway {
  readonly udp: UdpPeer;
  readonly station: Station;
  readonly suite: EspSuite;
  /** What the plane sends with, and what it receives with. */
  readonly fromPlane: EspSa;
  readonly toPlane: EspSa;
  readonly family: 4 | 6;
  readonly esn: boolean;
  planePort = 0;
  sequence = 0;

  constructor(udp: UdpPeer, station: Station, suite: EspSuite, family: 4 | 6, esn: boolean) {
    this.esn = esn;
    this.udp = udp;
    this.station = station;
    this.suite = suite;
    this.family = family;
    this.fromPlane = makeSa(suite);
    this.toPlane = makeSa(suite);
  }

  /** A plane in namespace a, connected to a scripted gateway in namespace b. */
  static async meet(
    open: OpenDataPlane,
    world: NetWorld,
    options: Partial<DataPlaneOptions> = {},
    suite = aesGcm128,
    family: 4 | 6 = 4,
    esn = false,
  ): Promise<ScriptedGateway> {
    const udp = await UdpPeer.open(world.b, outer.b[family], 4500);
    const station = await openStation(open, world.a, options);
    const gateway = new ScriptedGateway(udp, station, suite, family, esn);
    const path = await station.at((plane) => plane.connect(outer.b[family], 4500));
    gateway.planePort = path.localPort;
    return gateway;
  }

  async install(): Promise<void> {
    const child = {
      suite: this.suite,
      inbound: copy(this.toPlane),
      outbound: copy(this.fromPlane),
      esn: this.esn,
      sendNow: true,
    };
    await this.station.plane.installChild(child);
  }

  /** A packet as a correct peer would make it. */
  seal(payload: Uint8Array, options: { readonly sequence?: number; readonly nextHeader?: number } = {}): Uint8Array {
    const transform = espTransform(this.suite)!;
    const sequence = options.sequence ?? ++this.sequence;
    const nextHeader = options.nextHeader ?? (payload[0]! >>> 4 === 4 ? 4 : 41);
    return sealEsp(
      transform,
      this.toPlane,
      sequence,
      nextHeader,
      payload,
      new Uint8Array(randomBytes(transform.ivLength)),
      nodeCrypto,
      this.esn,
    );
  }

  open(packet: Uint8Array): Opened {
    // Nothing that a test sends runs past the first run of the lower half.
    return openEsp(espTransform(this.suite)!, this.fromPlane, packet, nodeCrypto, this.esn ? (low) => low : undefined);
  }

  send(octets: Uint8Array): void {
    this.udp.send(octets, outer.a[this.family], this.planePort);
  }

  /** The next datagram that is neither IKE nor a keepalive. */
  async nextEsp(what: string): Promise<Uint8Array> {
    const { octets } = await this.udp.received.take(
      what,
      (datagram) => datagram.octets.length > 1 && datagram.octets.subarray(0, 4).some(Boolean),
    );
    return octets;
  }

  async close(): Promise<void> {
    this.udp.close();
    await this.station.plane.close();
  }
}

/** An IPv4 or IPv6 packet with UDP, complete with checksums. */
export function udpPacket(from: Uint8Array, to: Uint8Array, fromPort: number, toPort: number, data: Uint8Array): Uint8Array {
  const length = 8 + data.length;
  const udp = concat(Uint8Array.of(fromPort >> 8, fromPort, toPort >> 8, toPort, length >> 8, length, 0, 0), data);
  const pseudo = concat(from, to, Uint8Array.of(0, 17, length >> 8, length), udp);
  const sum = checksum(pseudo) || 0xffff;
  udp.set([sum >> 8, sum & 0xff], 6);
  if (from.length === 16) return concat(Uint8Array.of(0x60, 0, 0, 0, length >> 8, length, 17, 64), from, to, udp);
  const total = 20 + length;
  const header = concat(Uint8Array.of(0x45, 0, total >> 8, total, 0, 1, 0, 0, 64, 17, 0, 0), from, to);
  const headerSum = checksum(header);
  header.set([headerSum >> 8, headerSum & 0xff], 10);
  return concat(header, udp);
}

function checksum(octets: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < octets.length; i += 2) sum += (octets[i]! << 8) | (octets[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
