// Program: sends datagrams from any address, also from one that is not this host's (IP_TRANSPARENT). NDJSON in, NDJSON out.
import { isIPv6 } from 'node:net';
import process from 'node:process';
import { createInterface } from 'node:readline';
import koffi from 'koffi';

export interface SpoofRequest {
  readonly source: string;
  readonly sourcePort: number;
  readonly target: string;
  readonly targetPort: number;
  /** Hexadecimal; sent in this order, the whole list `times` times. */
  readonly datagrams: readonly string[];
  readonly times: number;
}

const libc = koffi.load(null);
const socket = libc.func('int socket(int domain, int type, int protocol)') as (...numbers: number[]) => number;
const setsockopt = libc.func('int setsockopt(int fd, int level, int name, void *value, uint32_t length)') as SetOption;
const bind = libc.func('int bind(int fd, void *address, uint32_t length)') as (
  fd: number,
  address: Buffer,
  length: number,
) => number;
const sendto = libc.func(
  'int64_t sendto(int fd, void *data, size_t length, int flags, void *address, uint32_t addressLength)',
) as SendTo;
type SetOption = (fd: number, level: number, name: number, value: Buffer, length: number) => number;
type SendTo = (fd: number, data: Buffer, length: number, flags: number, address: Buffer, addressLength: number) => number;

const constant = { AF_INET: 2, AF_INET6: 10, SOCK_DGRAM: 2, IP_TRANSPARENT: 19, SOL_IPV6: 41, IPV6_TRANSPARENT: 75 };
const sockets = new Map<string, number>();

function open(source: string, port: number): number {
  const key = `${source} ${port}`;
  const known = sockets.get(key);
  if (known !== undefined) return known;
  const six = isIPv6(source);
  const fd = socket(six ? constant.AF_INET6 : constant.AF_INET, constant.SOCK_DGRAM, 0);
  const yes = Buffer.from([1, 0, 0, 0]);
  check(
    six
      ? setsockopt(fd, constant.SOL_IPV6, constant.IPV6_TRANSPARENT, yes, 4)
      : setsockopt(fd, 0, constant.IP_TRANSPARENT, yes, 4),
  );
  const address = socketAddress(source, port);
  check(bind(fd, address, address.length));
  sockets.set(key, fd);
  return fd;
}

function socketAddress(host: string, port: number): Buffer {
  const six = isIPv6(host);
  const address = Buffer.alloc(six ? 28 : 16);
  address.writeUInt16LE(six ? constant.AF_INET6 : constant.AF_INET, 0);
  address.writeUInt16BE(port, 2);
  if (six) octetsOfV6(host).copy(address, 8);
  else Buffer.from(host.split('.').map(Number)).copy(address, 4);
  return address;
}

function octetsOfV6(host: string): Buffer {
  const [head = '', tail] = host.split('::');
  const groups = (text: string | undefined): string[] => (text ? text.split(':') : []);
  const before = groups(head);
  const after = groups(tail);
  const all = [...before, ...Array.from({ length: 8 - before.length - after.length }, () => '0'), ...after];
  return Buffer.from(all.map((group) => group.padStart(4, '0')).join(''), 'hex');
}

function check(result: number): void {
  if (result < 0) throw new Error(`errno ${koffi.errno()}`);
}

for await (const line of createInterface({ input: process.stdin })) {
  const { source, sourcePort, target, targetPort, datagrams, times } = JSON.parse(line) as SpoofRequest;
  const fd = open(source, sourcePort);
  const to = socketAddress(target, targetPort);
  const octets = datagrams.map((text) => Buffer.from(text, 'hex'));
  let sent = 0;
  for (let round = 0; round < times; round++) {
    for (const datagram of octets) if (sendto(fd, datagram, datagram.length, 0, to, to.length) >= 0) sent++;
  }
  process.stdout.write(`${JSON.stringify({ sent })}\n`);
}
process.exit(0);
