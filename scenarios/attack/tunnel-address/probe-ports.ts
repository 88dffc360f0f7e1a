// Program: TCP segments that a neighbour sends to find out about an address: a SYN and a SYN/ACK to each port.
// Arguments: source address, destination address, ports.
import { isIPv6 } from 'node:net';
import process from 'node:process';
import koffi from 'koffi';
import { parseAddress } from '@aovpn/bytes';

const libc = koffi.load(null);
const socket = libc.func('int socket(int domain, int type, int protocol)') as (...numbers: number[]) => number;
const sendto = libc.func(
  'int64_t sendto(int fd, void *data, size_t length, int flags, void *address, uint32_t addressLength)',
) as (fd: number, data: Buffer, length: number, flags: number, address: Buffer, addressLength: number) => number;
const constant = { AF_INET: 2, AF_INET6: 10, SOCK_RAW: 3, IPPROTO_RAW: 255 };

const [source = '', destination = '', ...ports] = process.argv.slice(2);
const six = isIPv6(destination);
const from = parseAddress(source)!.bytes;
const to = parseAddress(destination)!.bytes;
// raw(7): with this protocol the header is ours, whatever address it names.
const raw = socket(six ? constant.AF_INET6 : constant.AF_INET, constant.SOCK_RAW, constant.IPPROTO_RAW);
const address = Buffer.alloc(six ? 28 : 16);
address.writeUInt16LE(six ? constant.AF_INET6 : constant.AF_INET, 0);
address.set(to, six ? 8 : 4);
for (const port of ports.map(Number)) {
  for (const flags of [0x02, 0x12]) {
    const octets = packet(segment(flags === 0x02 ? 40_001 : 40_002, port, flags));
    if (sendto(raw, octets, octets.length, 0, address, address.length) < 0) throw new Error(`errno ${koffi.errno()}`);
  }
}

/** RFC 9293 §3.1, without options. */
function segment(sourcePort: number, destinationPort: number, flags: number): Buffer {
  const tcp = Buffer.alloc(20);
  tcp.writeUInt16BE(sourcePort, 0);
  tcp.writeUInt16BE(destinationPort, 2);
  tcp.writeUInt32BE(0x1234_5678, 4);
  tcp.writeUInt32BE(flags === 0x12 ? 0x9abc_def0 : 0, 8);
  tcp[12] = 5 << 4;
  tcp[13] = flags;
  tcp.writeUInt16BE(64_240, 14);
  const pseudo = Buffer.concat([from, to, Buffer.from([0, 6, 0, tcp.length])]);
  tcp.writeUInt16BE(sum(Buffer.concat([pseudo, tcp])), 16);
  return tcp;
}

/** RFC 791 §3.1, RFC 8200 §3. */
function packet(tcp: Buffer): Buffer {
  if (six) return Buffer.concat([Buffer.from([0x60, 0, 0, 0, 0, tcp.length, 6, 64, ...from, ...to]), tcp]);
  const header = Buffer.from([0x45, 0, 0, 20 + tcp.length, 0, 1, 0, 0, 64, 6, 0, 0, ...from, ...to]);
  header.writeUInt16BE(sum(header), 10);
  return Buffer.concat([header, tcp]);
}

/** RFC 1071. */
function sum(octets: Buffer): number {
  let total = 0;
  for (let i = 0; i < octets.length; i += 2) total += octets.readUInt16BE(i);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return ~total & 0xffff;
}
