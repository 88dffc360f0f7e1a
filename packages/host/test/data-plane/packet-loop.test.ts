import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { concat } from '@aovpn/bytes';
import * as fc from 'fast-check';
import { Coalescer } from '../../src/data-plane/coalescer.ts';
import { PacketMemory } from '../../src/data-plane/packet-memory.ts';
import { Segmenter } from '../../src/data-plane/segmenter.ts';
import { virtioHeaderLength } from '../../src/data-plane/virtio-header.ts';
import { bindTo, closeDescriptor, connectTo, libc, localEnd, openUdpSocket } from '../../src/sys/index.ts';
import { address } from './net-world.ts';

/** A TCP segment or UDP datagram of one of a few flows. */
interface Made {
  readonly flow: number;
  readonly v4: boolean;
  readonly tcp: boolean;
  readonly data: Uint8Array;
  /** Distance from the sequence number that would follow. */
  readonly gap: number;
  readonly flags: number;
  readonly options: 0 | 12;
  readonly ttl: number;
  readonly breakChecksum: boolean;
}

// A device that keeps what is written to it: two UDP sockets on loopback.
const loopback = address('127.0.0.1');
const sink = openUdpSocket(4);
bindTo(sink, loopback, 0);
const device = openUdpSocket(4);
connectTo(device, loopback, localEnd(sink).port);
after(() => {
  closeDescriptor(device);
  closeDescriptor(sink);
});

const memory = new PacketMemory(2 << 20);
const inputAt = memory.allocate(1 << 20);
const coalescer = new Coalescer(memory, (errno) => assert.fail(`write failed: ${errno}`));
const readAt = memory.allocate(65536 + 64) + 64;

function written(): Uint8Array[] {
  const packets: Uint8Array[] = [];
  for (;;) {
    const length = libc.read(sink, memory.address(readAt), 65536);
    if (length < 0) return packets;
    packets.push(memory.octets.slice(readAt, readAt + length));
  }
}

/** What the kernel would make of a written packet: the packets that were joined in it. */
function unjoin(octets: Uint8Array): Uint8Array[] {
  const packet = octets.subarray(virtioHeaderLength);
  if (octets[1] === 0) return [packet];
  const packets: Uint8Array[] = [];
  const segmenter = new Segmenter(memory, (at, length) => packets.push(memory.octets.slice(at, at + length)));
  memory.octets.set(packet, readAt);
  const size = octets[4]! | (octets[5]! << 8);
  assert.equal(octets[0], 1);
  assert.ok(segmenter.split(readAt, packet.length, size, octets[1] === 5 ? 17 : 6));
  return packets;
}

function makePackets(made: readonly Made[]): Uint8Array[] {
  const sequences = new Map<number, number>();
  const identifications = new Map<number, number>();
  return made.map((packet) => {
    const flow = packet.flow + (packet.v4 ? 0 : 10) + (packet.tcp ? 0 : 20);
    const sequence = ((sequences.get(flow) ?? 0xfffffa00) + packet.gap) >>> 0;
    sequences.set(flow, (sequence + packet.data.length) >>> 0);
    const identification = ((identifications.get(flow) ?? 0xfffe) + 1) & 0xffff;
    identifications.set(flow, identification);
    return makePacket(packet, sequence, identification);
  });
}

function makePacket(
  { flow, v4, tcp, data, flags, options, ttl, breakChecksum }: Made,
  sequence: number,
  identification: number,
): Uint8Array {
  const from = address(v4 ? '10.0.0.1' : 'fd00::1').bytes;
  const to = address(v4 ? '10.0.0.2' : 'fd00::2').bytes;
  let upper: Uint8Array;
  if (tcp) {
    upper = concat(new Uint8Array(20 + options), data);
    const view = new DataView(upper.buffer);
    view.setUint16(0, 1000 + flow);
    view.setUint16(2, 80);
    view.setUint32(4, sequence);
    view.setUint32(8, 77);
    view.setUint8(12, (5 + options / 4) << 4);
    view.setUint8(13, flags);
    view.setUint16(14, 500);
    if (options > 0) upper.set([1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2], 20);
  } else {
    upper = concat(new Uint8Array(8), data);
    const view = new DataView(upper.buffer);
    view.setUint16(0, 1000 + flow);
    view.setUint16(2, 53);
    view.setUint16(4, upper.length);
  }
  const protocol = tcp ? 6 : 17;
  const pseudo = concat(from, to, Uint8Array.of(0, protocol, upper.length >> 8, upper.length & 0xff));
  const field = tcp ? 16 : 6;
  const sum = (checksum(concat(pseudo, upper)) || 0xffff) ^ (breakChecksum ? 0x0101 : 0);
  new DataView(upper.buffer).setUint16(field, sum);
  if (!v4) return concat(Uint8Array.of(0x60, 0, 0, 0, upper.length >> 8, upper.length & 0xff, protocol, ttl), from, to, upper);
  const header = concat(new Uint8Array(12), from, to);
  const view = new DataView(header.buffer);
  view.setUint8(0, 0x45);
  view.setUint16(2, 20 + upper.length);
  view.setUint16(4, identification);
  view.setUint16(6, flow % 2 === 0 ? 0x4000 : 0);
  view.setUint8(8, ttl);
  view.setUint8(9, protocol);
  view.setUint16(10, checksum(header));
  return concat(header, upper);
}

function checksum(octets: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < octets.length; i += 2) sum += (octets[i]! << 8) | (octets[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** Runs packets through a coalescer; tells the writes. */
function coalesce(packets: readonly Uint8Array[], offload = { vnetHeader: true, udpSegmentation: true }): Uint8Array[] {
  coalescer.setDevice(device, offload);
  let at = inputAt + 64;
  for (const packet of packets) {
    memory.octets.set(packet, at);
    coalescer.add(at, packet.length);
    at += packet.length + 64;
  }
  coalescer.flush();
  return written();
}

const flowKey = (packet: Uint8Array): string => {
  const v4 = packet[0]! >>> 4 === 4;
  const header = v4 ? 20 : 40;
  return `${v4 ? 4 : 6} ${packet[v4 ? 9 : 6]} ${packet.subarray(header, header + 4).join('.')}`;
};

const byFlow = (packets: readonly Uint8Array[]): Map<string, string[]> => {
  const flows = new Map<string, string[]>();
  for (const packet of packets) {
    const key = flowKey(packet);
    flows.set(key, [...(flows.get(key) ?? []), Buffer.from(packet).toString('hex')]);
  }
  return new Map([...flows].sort(([a], [b]) => (a < b ? -1 : 1)));
};

const segment = (data: number, more: Partial<Made> = {}): Made => ({
  flow: 0,
  v4: true,
  tcp: true,
  data: new Uint8Array(data).fill(data & 0xff),
  gap: 0,
  flags: 0x10,
  options: 12,
  ttl: 64,
  breakChecksum: false,
  ...more,
});

suite('joining packets for the device', () => {
  test('what was joined comes apart as it was, each flow in its order', () => {
    const rarely = <T>(usual: T, ...others: T[]): fc.Arbitrary<T> =>
      fc.oneof({ weight: 40, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: fc.constantFrom(...others) });
    const made: fc.Arbitrary<Made> = fc.record({
      flow: rarely(0, 1, 2),
      v4: rarely(true, false),
      tcp: rarely(true, false),
      data: rarely(100, 99, 101, 0, 1, 400).map((length) => new Uint8Array(length).fill(length)),
      gap: rarely(0, 1, -100, 100),
      flags: rarely(0x10, 0x18, 0x11, 0x02, 0x14, 0x30, 0x90),
      options: rarely(12 as const, 0 as const),
      ttl: rarely(64, 63),
      breakChecksum: rarely(false, true),
    });
    let joined = 0;
    fc.assert(
      fc.property(fc.array(made, { minLength: 20, maxLength: 60 }), (all) => {
        const packets = makePackets(all);
        const writes = coalesce(packets);
        joined += packets.length - writes.length;
        assert.deepEqual(byFlow(writes.flatMap(unjoin)), byFlow(packets));
      }),
      { numRuns: 60 },
    );
    assert.ok(joined > 100, `only ${joined} packets were joined`);
  });

  test('a train of full segments becomes one write, ended by PSH', () => {
    for (const v4 of [true, false]) {
      const packets = makePackets([
        ...Array.from({ length: 30 }, () => segment(1300, { v4 })),
        segment(200, { v4, flags: 0x18 }),
        segment(1300, { v4 }),
      ]);
      const writes = coalesce(packets);
      assert.equal(writes.length, 2);
      assert.deepEqual(writes.flatMap(unjoin).map(String), packets.map(String));
    }
  });

  test('a joined packet never exceeds what an IP header can say', () => {
    const writes = coalesce(makePackets(Array.from({ length: 60 }, () => segment(1340))));
    assert.ok(writes.length === 2 && writes.every((write) => write.length <= 65535 + virtioHeaderLength));
  });

  test('a wrong checksum is not made right by joining', () => {
    const packets = makePackets([segment(100), segment(100, { breakChecksum: true }), segment(100)]);
    const writes = coalesce(packets);
    assert.deepEqual(
      writes.map((write) => String(write.subarray(virtioHeaderLength))),
      packets.map(String),
    );
  });

  test('datagrams of a UDP flow are joined only where the kernel takes them', () => {
    const packets = makePackets(Array.from({ length: 10 }, () => segment(200, { tcp: false })));
    assert.equal(coalesce(packets).length, 1);
    assert.equal(coalesce(packets, { vnetHeader: true, udpSegmentation: false }).length, 10);
  });

  test('without offload every packet is written as it is, without a header', () => {
    const packets = makePackets([segment(100), segment(100)]);
    assert.deepEqual(coalesce(packets, { vnetHeader: false, udpSegmentation: false }).map(String), packets.map(String));
  });
});

suite('splitting packets of the device', () => {
  const splitting = (octets: Uint8Array, size: number, protocol: 6 | 17): boolean => {
    memory.octets.set(octets, readAt);
    return new Segmenter(memory, () => assert.fail('emitted')).split(readAt, octets.length, size, protocol);
  };

  test('packets that are not what they claim are refused', () => {
    const [packet] = makePackets([segment(100)]);
    assert.equal(splitting(packet!, 0, 6), false);
    assert.equal(splitting(packet!, 50, 17), false);
    assert.equal(splitting(packet!.subarray(0, 30), 50, 6), false);
    const long = packet!.slice();
    long[32] = 0xf0;
    assert.equal(splitting(long.subarray(0, 60), 50, 6), false);
    const short = packet!.slice();
    short[32] = 0x10;
    assert.equal(splitting(short, 50, 6), false);
  });
});
