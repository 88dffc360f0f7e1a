import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Host } from './host.ts';
import { parsePcap, type WirePacket } from './pcap.ts';
import type { Running } from './running.ts';

/** What a packet on the wire is, in the eyes of somebody who guards secrets. */
export type Sort = 'esp' | 'ike' | 'keepalive' | 'neighbour' | 'public-dns' | 'plaintext';

/** `tcpdump` on one device of a host; packets are read from its file by our own parser. */
export class Capture {
  readonly #running: Running;
  readonly file: string;

  private constructor(running: Running, file: string) {
    this.#running = running;
    this.file = file;
  }

  static async start(host: Host, device: string): Promise<Capture> {
    const file = path.join(host.directory, 'log', `${device}-${Date.now()}.pcap`);
    const running = host.spawn(['tcpdump', '-i', device, '-U', '-n', '-s', '0', '--immediate-mode', '-Z', 'root', '-w', file], {
      name: 'tcpdump',
    });
    await running.saysWithin(/listening on/, 10_000);
    return new Capture(running, file);
  }

  /** Everything so far. Waits a moment for what is on its way to the file. */
  async packets(): Promise<readonly WirePacket[]> {
    await sleep(100);
    return parsePcap(readFileSync(this.file));
  }

  /** The end, and the file as it is: of a device without Ethernet. */
  async stopRaw(): Promise<Buffer> {
    await sleep(100);
    await this.#running.stop('SIGINT');
    return readFileSync(this.file);
  }

  async stop(): Promise<readonly WirePacket[]> {
    await sleep(100);
    await this.#running.stop('SIGINT');
    return parsePcap(readFileSync(this.file));
  }
}

/** @param publicDns addresses of resolvers that may be asked in clear. */
export function sortOf(packet: WirePacket, publicDns: readonly string[] = []): Sort {
  if (packet.protocol === 'arp' || isNeighbourDiscovery(packet)) return 'neighbour';
  if (packet.protocol === 50) return 'esp';
  if (packet.protocol === 17) {
    const { sourcePort, destinationPort, payload } = packet;
    if (payload && (sourcePort === 4500 || destinationPort === 4500)) {
      if (payload.length === 1 && payload[0] === 0xff) return 'keepalive';
      if (payload.length >= 4 && payload.readUInt32BE(0) === 0) return isIke(payload.subarray(4)) ? 'ike' : 'plaintext';
      // SPI, sequence number, and at least one block and an ICV: nothing that is short or looks like an IP packet.
      return payload.length >= 28 && payload.readUInt32BE(0) > 255 ? 'esp' : 'plaintext';
    }
    if (payload && (sourcePort === 500 || destinationPort === 500)) return isIke(payload) ? 'ike' : 'plaintext';
    if (sourcePort === 53 || destinationPort === 53) {
      return publicDns.includes(sourcePort === 53 ? packet.source : packet.destination) ? 'public-dns' : 'plaintext';
    }
  }
  return 'plaintext';
}

/** Fails unless every packet is ESP or IKE (or what any link needs), some are ESP, and none contains any of `secrets`. */
export function assertOnlyEsp(
  packets: readonly WirePacket[],
  secrets: readonly string[],
  options: { readonly publicDns?: readonly string[] } = {},
): void {
  const leaks = packets.filter((packet) => sortOf(packet, options.publicDns) === 'plaintext');
  assert.deepEqual(leaks.map(describe), [], 'packets in clear on the wire');
  assert.ok(
    packets.some((packet) => sortOf(packet) === 'esp'),
    'no ESP on the wire at all: the capture proves nothing',
  );
  for (const secret of secrets) assert.ok(!contains(packets, secret), `"${secret}" is readable on the wire`);
}

/** Whether the octets of a text appear anywhere on the wire: as they are, or as a DNS name. */
export function contains(packets: readonly WirePacket[], text: string): boolean {
  const labels = Buffer.concat(text.split('.').flatMap((label) => [Buffer.from([label.length]), Buffer.from(label)]));
  return packets.some(({ frame }) => frame.includes(text) || frame.includes(labels));
}

export function countSorts(packets: readonly WirePacket[], publicDns: readonly string[] = []): Readonly<Record<Sort, number>> {
  const counts: Record<Sort, number> = { esp: 0, ike: 0, keepalive: 0, neighbour: 0, 'public-dns': 0, plaintext: 0 };
  for (const packet of packets) counts[sortOf(packet, publicDns)]++;
  return counts;
}

function describe(packet: WirePacket): string {
  return `${packet.source}:${packet.sourcePort ?? ''} > ${packet.destination}:${packet.destinationPort ?? ''} protocol ${packet.protocol}`;
}

/** A plausible IKE header: version 2.0, an exchange type of RFC 7296, and its own length (RFC 7296 §3.1). */
function isIke(message: Buffer): boolean {
  return (
    message.length >= 28 &&
    message[17] === 0x20 &&
    message[18]! >= 34 &&
    message[18]! <= 43 &&
    message.readUInt32BE(24) === message.length
  );
}

/** Router and neighbour discovery and multicast listener reports; not echo, not errors about our traffic. */
function isNeighbourDiscovery(packet: WirePacket): boolean {
  return (
    packet.protocol === 58 &&
    packet.payload !== undefined &&
    ((packet.payload[0]! >= 130 && packet.payload[0]! <= 137) || packet.payload[0] === 143)
  );
}
