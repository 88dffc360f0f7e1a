import { addressFromBytes, compareAddresses, formatAddress, sameAddress, type IpAddress } from './ip-address.ts';
import { networkOf, type IpPrefix } from './ip-prefix.ts';

/** All addresses of one family from `from` to `to`, both included; `from` is never above `to`. */
export interface IpRange {
  readonly from: IpAddress;
  readonly to: IpAddress;
}

export function formatRange(range: IpRange): string {
  const from = formatAddress(range.from);
  return sameAddress(range.from, range.to) ? from : `${from}-${formatAddress(range.to)}`;
}

export function rangeFromPrefix(prefix: IpPrefix): IpRange {
  const from = networkOf(prefix).address;
  const width = from.bytes.length * 8;
  const last = toNumber(from) | ((1n << BigInt(width - prefix.length)) - 1n);
  return { from, to: fromNumber(last, from.bytes.length) };
}

export function rangeContains(range: IpRange, address: IpAddress): boolean {
  return (
    address.family === range.from.family && compareAddresses(range.from, address) <= 0 && compareAddresses(address, range.to) <= 0
  );
}

/** What two ranges have in common; undefined when that is nothing. */
export function intersectRanges(a: IpRange, b: IpRange): IpRange | undefined {
  if (a.from.family !== b.from.family) return undefined;
  const from = compareAddresses(a.from, b.from) >= 0 ? a.from : b.from;
  const to = compareAddresses(a.to, b.to) <= 0 ? a.to : b.to;
  return compareAddresses(from, to) <= 0 ? { from, to } : undefined;
}

/** The fewest prefixes that together are exactly this range, in order. At most 2 × the address width. */
export function rangeToPrefixes(range: IpRange): IpPrefix[] {
  const size = range.from.bytes.length;
  const width = size * 8;
  const last = toNumber(range.to);
  const prefixes: IpPrefix[] = [];
  for (let next = toNumber(range.from); next <= last;) {
    let hostBits = 0;
    while (hostBits < width) {
      const block = 1n << BigInt(hostBits + 1);
      if (next % block !== 0n || next + block - 1n > last) break;
      hostBits++;
    }
    prefixes.push({ address: fromNumber(next, size), length: width - hostBits });
    next += 1n << BigInt(hostBits);
  }
  return prefixes;
}

function toNumber(address: IpAddress): bigint {
  return address.bytes.reduce((value, octet) => (value << 8n) | BigInt(octet), 0n);
}

function fromNumber(value: bigint, size: number): IpAddress {
  const bytes = new Uint8Array(size);
  for (let i = size - 1, rest = value; i >= 0; i--, rest >>= 8n) bytes[i] = Number(rest & 0xffn);
  return addressFromBytes(bytes);
}
