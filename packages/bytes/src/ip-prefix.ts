import { addressFromBytes, formatAddress, parseAddress, sameAddress, type IpAddress } from './ip-address.ts';

/** An address and how many of its leading bits count (0–32 or 0–128). Host bits may be set; see {@link networkOf}. */
export interface IpPrefix {
  readonly address: IpAddress;
  readonly length: number;
}

/** Reads `address/length`, or a bare address as a host prefix; undefined if it is neither. */
export function parsePrefix(text: string): IpPrefix | undefined {
  const [left, right, ...more] = text.split('/');
  const address = parseAddress(left!);
  if (!address || more.length > 0) return undefined;
  if (right === undefined) return { address, length: address.bytes.length * 8 };
  if (!/^\d{1,3}$/.test(right) || Number(right) > address.bytes.length * 8) return undefined;
  return { address, length: Number(right) };
}

export function formatPrefix(prefix: IpPrefix): string {
  return `${formatAddress(prefix.address)}/${prefix.length}`;
}

/** The same prefix with all host bits zero. */
export function networkOf(prefix: IpPrefix): IpPrefix {
  const bytes = prefix.address.bytes.map((octet, i) => octet & maskOctet(prefix.length, i));
  return { address: addressFromBytes(bytes), length: prefix.length };
}

export function hasHostBits(prefix: IpPrefix): boolean {
  return !sameAddress(networkOf(prefix).address, prefix.address);
}

/** Whether every address of `inner` (an address or a prefix) lies in `outer`. */
export function prefixContains(outer: IpPrefix, inner: IpAddress | IpPrefix): boolean {
  const address = 'length' in inner ? inner.address : inner;
  const length = 'length' in inner ? inner.length : inner.bytes.length * 8;
  if (outer.address.family !== address.family || length < outer.length) return false;
  return address.bytes.every((octet, i) => ((octet ^ outer.address.bytes[i]!) & maskOctet(outer.length, i)) === 0);
}

/** Equal as networks: host bits do not count. */
export function samePrefix(a: IpPrefix, b: IpPrefix): boolean {
  return a.length === b.length && sameAddress(networkOf(a).address, networkOf(b).address);
}

function maskOctet(length: number, index: number): number {
  const bits = Math.min(8, Math.max(0, length - index * 8));
  return (0xff << (8 - bits)) & 0xff;
}
