/** Ones' complement sum of 16-bit big-endian words (RFC 1071), not folded to the end and not inverted; at most 64 KiB at a time. */
export function sumWords(octets: Uint8Array, at: number, length: number): number {
  let sum = 0;
  const even = at + (length & ~1);
  for (let i = at; i < even; i += 2) sum += (octets[i]! << 8) | octets[i + 1]!;
  if (length & 1) sum += octets[even]! << 8;
  return sum;
}

/** Brings a sum to 16 bits. */
export function foldSum(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x10000);
  return folded;
}

/** The sum over the pseudo header of TCP, UDP and ICMPv6 (RFC 9293 §3.1, RFC 8200 §8.1) of the IP packet at `at`. */
export function sumPseudoHeader(octets: Uint8Array, at: number, protocol: number, upperLength: number): number {
  const v4 = octets[at]! >>> 4 === 4;
  return sumWords(octets, at + (v4 ? 12 : 8), v4 ? 8 : 32) + protocol + upperLength;
}
