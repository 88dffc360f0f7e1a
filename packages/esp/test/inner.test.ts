import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { concat, parseAddress } from '@aovpn/bytes';
import * as fc from 'fast-check';
import {
  clampMss,
  classifyDatagram,
  espSuites,
  espTransform,
  foldSum,
  InnerAddresses,
  innerMtu,
  ipPacketLength,
  packetTooBig,
  sealedLength,
  sequenceState,
  sumPseudoHeader,
  sumWords,
} from '../src/index.ts';

const address = (text: string): Uint8Array => parseAddress(text)!.bytes;

function packetV4(protocol: number, payload: Uint8Array, flags = 0x40): Uint8Array {
  const header = new Uint8Array(20);
  const view = new DataView(header.buffer);
  header[0] = 0x45;
  view.setUint16(2, 20 + payload.length);
  header[6] = flags;
  header[8] = 64;
  header[9] = protocol;
  header.set(address('10.1.0.2'), 12);
  header.set(address('10.2.0.3'), 16);
  view.setUint16(10, ~foldSum(sumWords(header, 0, 20)) & 0xffff);
  return concat(header, payload);
}

function packetV6(next: number, payload: Uint8Array): Uint8Array {
  const header = new Uint8Array(40);
  header[0] = 0x60;
  new DataView(header.buffer).setUint16(4, payload.length);
  header[6] = next;
  header[7] = 64;
  header.set(address('fd00:1::2'), 8);
  header.set(address('fd00:2::3'), 24);
  return concat(header, payload);
}

/** A SYN with these options, checksum filled in by `finish`. */
function syn(options: readonly number[]): Uint8Array {
  const length = 20 + Math.ceil(options.length / 4) * 4;
  const tcp = new Uint8Array(length);
  tcp.set([0x30, 0x39, 0, 80], 0);
  tcp[12] = (length / 4) << 4;
  tcp[13] = 2;
  tcp.set(options, 20);
  return tcp;
}

function finish(packet: Uint8Array, protocol: number, checksumAt: number): Uint8Array {
  const header = packet[0]! >>> 4 === 4 ? 20 : 40;
  const upper = packet.length - header;
  const sum = ~foldSum(sumPseudoHeader(packet, 0, protocol, upper) + sumWords(packet, header, upper)) & 0xffff;
  new DataView(packet.buffer).setUint16(header + checksumAt, sum);
  return packet;
}

const checksumFits = (packet: Uint8Array, protocol: number): boolean => {
  const header = packet[0]! >>> 4 === 4 ? 20 : 40;
  const upper = packet.length - header;
  return foldSum(sumPseudoHeader(packet, 0, protocol, upper) + sumWords(packet, header, upper)) === 0xffff;
};

suite('inner packet', () => {
  test('the length is the header’s, and never beyond what is there', () => {
    const packet = packetV4(17, new Uint8Array(30));
    assert.equal(ipPacketLength(packet, 0, packet.length), 50);
    assert.equal(ipPacketLength(concat(packet, new Uint8Array(9)), 0, 59), 50);
    assert.equal(ipPacketLength(packet, 0, 49), 0);
    assert.equal(ipPacketLength(packetV6(17, new Uint8Array(3)), 0, 43), 43);
    assert.equal(ipPacketLength(packetV6(17, new Uint8Array(3)), 0, 42), 0);
  });

  test('any octets are a packet within bounds or none', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (octets) => {
        const length = ipPacketLength(octets, 0, octets.length);
        assert.ok(length >= 0 && length <= octets.length);
      }),
    );
  });

  test('only our addresses pass, in either direction; without any nothing does', () => {
    const ours = new InnerAddresses([parseAddress('10.1.0.2')!, parseAddress('fd00:2::3')!]);
    const v4 = packetV4(17, new Uint8Array(8));
    const v6 = packetV6(17, new Uint8Array(8));
    assert.equal(ours.allowsOutbound(v4, 0), true);
    assert.equal(ours.allowsInbound(v4, 0), false);
    assert.equal(ours.allowsOutbound(v6, 0), false);
    assert.equal(ours.allowsInbound(v6, 0), true);
    const none = new InnerAddresses([]);
    assert.equal(none.allowsOutbound(v4, 0), false);
    assert.equal(none.allowsInbound(v6, 0), false);
  });
});

suite('inner MTU', () => {
  for (const suite of espSuites) {
    const transform = espTransform(suite)!;
    test(`${transform.name}: a packet of that size fits, one octet more does not`, () => {
      for (const family of [4, 6] as const) {
        for (let outer = 1280; outer < 1320; outer++) {
          const inner = innerMtu(outer, family, transform);
          const outside = (family === 4 ? 20 : 40) + 8;
          assert.ok(sealedLength(transform, inner) + outside <= outer);
          assert.ok(sealedLength(transform, inner + 1) + outside > outer);
        }
      }
    });
  }
});

suite('MSS clamp', () => {
  for (const [name, options] of [
    ['first', [2, 4, 0x23, 0x28]],
    ['after three no-operations', [1, 1, 1, 2, 4, 0x23, 0x28]],
    ['behind SACK', [4, 2, 2, 4, 0x23, 0x28]],
  ] as const) {
    for (const family of [4, 6] as const) {
      test(`IPv${family}, option ${name}: lowered, checksum right`, () => {
        const tcp = syn(options);
        const packet = finish(family === 4 ? packetV4(6, tcp) : packetV6(6, tcp), 6, 16);
        assert.ok(checksumFits(packet, 6));
        assert.equal(clampMss(packet, 0, packet.length, 1400), true);
        assert.ok(checksumFits(packet, 6));
        const at = packet.length - tcp.length + 20 + options.indexOf(0x23);
        assert.equal((packet[at]! << 8) | packet[at + 1]!, family === 4 ? 1360 : 1340);
        assert.equal(clampMss(packet, 0, packet.length, 1400), false);
      });
    }
  }

  test('leaves alone what is no SYN, later fragments, and options that lie about their length', () => {
    const ack = syn([2, 4, 0x23, 0x28]);
    ack[13] = 0x10;
    assert.equal(clampMss(packetV4(6, ack), 0, 44, 1400), false);
    const fragment = packetV4(6, syn([2, 4, 0x23, 0x28]));
    fragment[7] = 1;
    assert.equal(clampMss(fragment, 0, fragment.length, 1400), false);
    assert.equal(clampMss(packetV4(6, syn([3, 0, 0, 0])), 0, 44, 1400), false);
    assert.equal(clampMss(packetV4(6, syn([3, 200, 0, 0])), 0, 44, 1400), false);
  });

  test('never reads or writes outside the packet', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 20, maxLength: 100 }), (random) => {
        const octets = concat(packetV4(6, random), new Uint8Array(64).fill(0xee));
        clampMss(octets, 0, octets.length - 64, 1300);
        assert.ok(octets.subarray(-64).every((octet) => octet === 0xee));
      }),
    );
  });
});

suite('packet too big', () => {
  test('IPv4 with DF gets "fragmentation needed" from where it went to', () => {
    const packet = packetV4(17, new Uint8Array(1400));
    const error = packetTooBig(packet, 0, packet.length, 1300)!;
    assert.equal(error.length, 576);
    assert.deepEqual([...error.subarray(12, 16)], [10, 2, 0, 3]);
    assert.deepEqual([...error.subarray(16, 20)], [10, 1, 0, 2]);
    assert.deepEqual([error[20], error[21], (error[26]! << 8) | error[27]!], [3, 4, 1300]);
    assert.equal(foldSum(sumWords(error, 0, 20)), 0xffff);
    assert.equal(foldSum(sumWords(error, 20, error.length - 20)), 0xffff);
    assert.deepEqual(error.subarray(28, 60), packet.subarray(0, 32));
  });

  test('IPv6 gets type 2 with the MTU', () => {
    const packet = packetV6(17, new Uint8Array(1400));
    const error = packetTooBig(packet, 0, packet.length, 1300)!;
    assert.equal(error.length, 1280);
    assert.equal(error[40], 2);
    assert.equal(new DataView(error.buffer).getUint32(44), 1300);
    assert.ok(checksumFits(error, 58));
  });

  test('no error about IPv4 without DF, later fragments, or ICMP errors', () => {
    assert.equal(packetTooBig(packetV4(17, new Uint8Array(1400), 0), 0, 1420, 1300), undefined);
    assert.equal(packetTooBig(packetV4(17, new Uint8Array(1400), 0x41), 0, 1420, 1300), undefined);
    assert.equal(packetTooBig(packetV4(1, new Uint8Array(1400).fill(3)), 0, 1420, 1300), undefined);
    assert.equal(packetTooBig(packetV6(58, new Uint8Array(1400).fill(1)), 0, 1440, 1300), undefined);
  });
});

suite('datagrams on the shared port', () => {
  test('are told apart by RFC 3948', () => {
    const of = (...octets: number[]): string => classifyDatagram(Uint8Array.from(octets), 0, octets.length);
    assert.equal(of(0xff), 'keepalive');
    assert.equal(of(0xfe), 'malformed');
    assert.equal(of(), 'malformed');
    assert.equal(of(0, 0, 0, 0), 'malformed');
    assert.equal(of(0, 0, 0, 0, 1), 'ike');
    assert.equal(of(0, 0, 0, 1, 1), 'esp');
    assert.equal(of(0xff, 0xff), 'malformed');
  });
});

suite('sequence numbers', () => {
  test('ask for a rekey in time and end before they wrap', () => {
    assert.equal(sequenceState(1), 'fine');
    assert.equal(sequenceState(0xc0000000), 'rekey');
    assert.equal(sequenceState(0xfffffffe), 'rekey');
    assert.equal(sequenceState(0xffffffff), 'exhausted');
  });
});
