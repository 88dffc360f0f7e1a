import type { IpAddress, IpFamily } from '@aovpn/bytes';
import { NextHeader } from './packet.ts';

/** Octets of the IP packet at `at` by its own header; 0 when it is none, or longer than what is there. */
export function ipPacketLength(octets: Uint8Array, at: number, available: number): number {
  const version = available > 0 ? octets[at]! >>> 4 : 0;
  if (version === 4) {
    if (available < 20) return 0;
    const header = (octets[at]! & 15) * 4;
    const total = (octets[at + 2]! << 8) | octets[at + 3]!;
    return header >= 20 && total >= header && total <= available ? total : 0;
  }
  if (version === 6) {
    if (available < 40) return 0;
    const total = 40 + ((octets[at + 4]! << 8) | octets[at + 5]!);
    return total <= available ? total : 0;
  }
  return 0;
}

/** The family that a next header promises; undefined for what we do not carry. */
export function familyOfNextHeader(nextHeader: number): IpFamily | undefined {
  if (nextHeader === NextHeader.IPV4) return 4;
  return nextHeader === NextHeader.IPV6 ? 6 : undefined;
}

/** The addresses that are ours inside the tunnel, and whether a packet keeps to them. Empty: nothing passes. */
export class InnerAddresses {
  readonly #v4: readonly Uint8Array[];
  readonly #v6: readonly Uint8Array[];

  constructor(addresses: readonly IpAddress[]) {
    this.#v4 = addresses.filter(({ family }) => family === 4).map(({ bytes }) => bytes.slice());
    this.#v6 = addresses.filter(({ family }) => family === 6).map(({ bytes }) => bytes.slice());
  }

  /** Whether the IP packet at `at`, of checked length, comes from one of them. */
  allowsOutbound(octets: Uint8Array, at: number): boolean {
    return octets[at]! >>> 4 === 4 ? has(this.#v4, octets, at + 12) : has(this.#v6, octets, at + 8);
  }

  /** Whether it goes to one of them. */
  allowsInbound(octets: Uint8Array, at: number): boolean {
    return octets[at]! >>> 4 === 4 ? has(this.#v4, octets, at + 16) : has(this.#v6, octets, at + 24);
  }
}

function has(addresses: readonly Uint8Array[], octets: Uint8Array, at: number): boolean {
  for (const address of addresses) {
    let i = address.length - 1;
    while (i >= 0 && address[i] === octets[at + i]) i--;
    if (i < 0) return true;
  }
  return false;
}
