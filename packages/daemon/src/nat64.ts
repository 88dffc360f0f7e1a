import type { IpAddress } from '@aovpn/bytes';
import { askAddresses, type QuestionOptions } from './dns-question.ts';

/** RFC 6052 §2.2: where an IPv4 address lies in an IPv6 address; octet 8 is always zero and is left out. */
export interface Nat64Prefix {
  /** The prefix, all other bits zero. */
  readonly bytes: Uint8Array;
  readonly length: 32 | 40 | 48 | 56 | 64 | 96;
}

/** RFC 7050 §2.2: a name with these IPv4 addresses and no IPv6 address of its own; whoever finds one has found the prefix. */
const wellKnownName = 'ipv4only.arpa';
const wellKnownAddresses = [Uint8Array.of(192, 0, 0, 170), Uint8Array.of(192, 0, 0, 171)];
const lengths = [32, 40, 48, 56, 64, 96] as const;

/**
 * The prefixes of this network's NAT64, as its DNS64 tells them (RFC 7050 §3); none where there is no such thing. Nothing of it is
 * authenticated, and nothing needs to be: whoever lies about it only sends our packets to somebody who cannot prove to be the gateway.
 */
export async function discoverNat64(options: QuestionOptions): Promise<readonly Nat64Prefix[]> {
  const { addresses } = await askAddresses(wellKnownName, 6, options);
  const found = new Map<string, Nat64Prefix>();
  for (const address of addresses) {
    const prefix = readPrefix(address);
    if (prefix) found.set(`${prefix.bytes.join('.')}/${prefix.length}`, prefix);
  }
  return [...found.values()];
}

/** The address by which a NAT64 reaches an IPv4 address. */
export function embedInNat64({ bytes, length }: Nat64Prefix, address: IpAddress): IpAddress {
  const full = bytes.slice();
  placesOf(length).forEach((place, i) => (full[place] = address.bytes[i]!));
  return { family: 6, bytes: full };
}

/** RFC 7050 §3: the well-known address must stand at exactly one of the places that RFC 6052 allows. */
function readPrefix({ bytes }: IpAddress): Nat64Prefix | undefined {
  if (bytes.length !== 16) return undefined;
  const fitting = lengths.filter((length) => {
    const places = placesOf(length);
    return (
      (length === 96 || bytes[8] === 0) &&
      wellKnownAddresses.some((wanted) => places.every((place, i) => bytes[place] === wanted[i]))
    );
  });
  const [length] = fitting;
  if (length === undefined || fitting.length > 1) return undefined;
  return { bytes: bytes.map((octet, i) => (i < length / 8 ? octet : 0)), length };
}

function placesOf(length: Nat64Prefix['length']): readonly number[] {
  const places: number[] = [];
  for (let at = length / 8; places.length < 4; at++) if (at !== 8) places.push(at);
  return places;
}
