// Program: all packets that the router forwards pass through a TUN device and this process, which delays, doubles, reorders and paces them
// (the kernels we test on have no netem). Argument: name of the device. Standard input: NDJSON of RelaySettings; each line replaces the last.
import { closeSync, constants, openSync, read, writeSync } from 'node:fs';
import koffi from 'koffi';
import process from 'node:process';
import { createInterface } from 'node:readline';

export interface RelaySettings {
  readonly delayMs: number;
  /** Uniform, added to the delay; packets keep their order all the same. */
  readonly jitterMs: number;
  /** Probabilities from 0 to 1. */
  readonly duplicate: number;
  /** This share of packets arrives `reorderMs` late, behind later ones. */
  readonly reorder: number;
  readonly reorderMs: number;
  /** Kilobit per second in each direction, 0: no limit; a queue of 200 ms, then loss. */
  readonly rateKbit: number;
  readonly seed: number;
}

const ifreqSize = 40;
const tunWithoutHeader = 0x1001;
const tunSetIff = 0x400454ca;
const queueMs = 200;

let settings: RelaySettings = { delayMs: 0, jitterMs: 0, duplicate: 0, reorder: 0, reorderMs: 0, rateKbit: 0, seed: 1 };
let random = generator(settings.seed);
/** Per direction (told apart by source address): when the line is free, and when the last packet in order leaves. */
const lines = new Map<string, { freeAt: number; lastAt: number }>();

const device = openTun(process.argv[2]!);
createInterface({ input: process.stdin })
  .on('line', (line) => {
    settings = JSON.parse(line) as RelaySettings;
    random = generator(settings.seed);
    lines.clear();
    process.stdout.write('set\n');
  })
  .on('close', () => process.exit(0));
readNext();
process.stdout.write('ready\n');

function readNext(): void {
  const packet = Buffer.allocUnsafe(2048);
  read(device, packet, 0, packet.length, null, (error, length) => {
    if (error) {
      closeSync(device);
      process.exit(1);
    }
    carry(packet.subarray(0, length));
    readNext();
  });
}

function carry(packet: Buffer): void {
  const now = performance.now();
  const source = packet[0]! >> 4 === 4 ? packet.toString('hex', 12, 14) : packet.toString('hex', 8, 14);
  let line = lines.get(source);
  if (!line) lines.set(source, (line = { freeAt: 0, lastAt: 0 }));
  let at = now + settings.delayMs + random() * settings.jitterMs;
  if (settings.rateKbit > 0) {
    const start = Math.max(now, line.freeAt);
    if (start - now > queueMs) return;
    line.freeAt = start + (packet.length * 8) / settings.rateKbit;
    at += line.freeAt - now;
  }
  if (random() < settings.reorder) {
    send(packet, at + settings.reorderMs, now);
  } else {
    line.lastAt = Math.max(at, line.lastAt);
    send(packet, line.lastAt, now);
  }
  if (random() < settings.duplicate) send(packet, line.lastAt + 1, now);
}

function send(packet: Buffer, at: number, now: number): void {
  const write = (): void => {
    try {
      writeSync(device, packet);
    } catch {
      // The kernel refuses a packet it cannot route: the sender sees a loss, as it would anywhere.
    }
  };
  if (at - now < 0.5) write();
  else setTimeout(write, at - now);
}

function openTun(name: string): number {
  const ioctl = koffi.load(null).func('int ioctl(int fd, unsigned long request, void *argument)') as (
    fd: number,
    request: number,
    argument: Buffer,
  ) => number;
  const fd = openSync('/dev/net/tun', constants.O_RDWR);
  const request = Buffer.alloc(ifreqSize);
  request.write(name, 'latin1');
  request.writeUInt16LE(tunWithoutHeader, 16);
  if (ioctl(fd, tunSetIff, request) !== 0) throw new Error(`cannot make the device ${name}: errno ${koffi.errno()}`);
  return fd;
}

/** Mulberry32: small, and the same packets meet the same fate in every run. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
