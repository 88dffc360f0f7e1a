import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Host } from './host.ts';
import { hangMs } from './patience.ts';
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
    // Room for 512 frames until tcpdump gets to run: with what it takes by itself there would be room for 32, and more would be lost.
    const room = ['-s', '65535', '-B', '32768'];
    const running = host.spawn(['tcpdump', '-i', device, '-U', '-n', ...room, '--immediate-mode', '-Z', 'root', '-w', file], {
      name: 'tcpdump',
    });
    await running.saysWithin(/listening on/);
    return new Capture(running, file);
  }

  /** Everything so far. */
  async packets(): Promise<readonly WirePacket[]> {
    await this.#settle();
    return parsePcap(readFileSync(this.file));
  }

  /** The end, and the file as it is: of a device without Ethernet. */
  async stopRaw(): Promise<Buffer> {
    await this.#settle();
    await this.#running.stop('SIGINT');
    return readFileSync(this.file);
  }

  async stop(): Promise<readonly WirePacket[]> {
    await this.#settle();
    await this.#running.stop('SIGINT');
    return parsePcap(readFileSync(this.file));
  }

  /**
   * Waits a moment for what is under way on the wire, and then until all that the kernel has seen there is in the file: tcpdump says what it has of how much
   * when it is asked (SIGUSR1, tcpdump(1)).
   */
  async #settle(): Promise<void> {
    await sleep(100);
    const reports = (): readonly RegExpExecArray[] => [
      ...this.#running.output().matchAll(/(\d+) packets? captured, (\d+) packets? received by filter, (\d+) packets? dropped/g),
    ];
    for (const deadline = performance.now() + hangMs; ;) {
      const { length } = reports();
      await this.#running.signal('SIGUSR1');
      while (reports().length === length) {
        // Its device went, and it with that.
        if (this.#running.exit) return;
        if (performance.now() > deadline) throw new Error(`tcpdump does not answer:\n${this.#running.output()}`);
        await sleep(2);
      }
      const [, captured, received, dropped] = reports().at(-1)!.map(Number);
      if (captured! + dropped! >= received!) return;
      if (performance.now() > deadline) throw new Error(`tcpdump does not come to an end:\n${this.#running.output()}`);
      await sleep(2);
    }
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
