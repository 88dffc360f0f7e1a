import { concat } from '@aovpn/bytes';

/**
 * r and s of an ECDSA-Sig-Value (RFC 3279 §2.2.3), each left-padded to `size` octets; undefined unless the DER is the one and
 * only encoding: shortest lengths, shortest positive integers, nothing left over, neither value zero.
 */
export function parseEcdsaSignature(
  der: Uint8Array,
  size: number,
): { readonly r: Uint8Array; readonly s: Uint8Array } | undefined {
  if (der[0] !== 0x30) return undefined;
  // A long-form length is needed, and allowed, only from 128 octets on: P-521.
  const long = der[1] === 0x81;
  const length = long ? der[2] : der[1];
  const start = long ? 3 : 2;
  if (length === undefined || (long ? length < 128 : length > 127) || der.length !== start + length) return undefined;
  const first = parseInteger(der, start, size);
  const second = first && parseInteger(der, first.end, size);
  if (!first || !second || second.end !== der.length) return undefined;
  return { r: first.value, s: second.value };
}

/** The DER form of r | s, where both have the same length (RFC 4754 §7 → RFC 3279 §2.2.3). */
export function ecdsaSignatureToDer(raw: Uint8Array): Uint8Array {
  const size = raw.length / 2;
  const body = concat(encodeInteger(raw.subarray(0, size)), encodeInteger(raw.subarray(size)));
  return concat(body.length < 128 ? Uint8Array.of(0x30, body.length) : Uint8Array.of(0x30, 0x81, body.length), body);
}

function parseInteger(
  der: Uint8Array,
  at: number,
  size: number,
): { readonly value: Uint8Array; readonly end: number } | undefined {
  const length = der[at + 1];
  if (der[at] !== 0x02 || length === undefined || length < 1 || length > 127) return undefined;
  const end = at + 2 + length;
  const octets = der.subarray(at + 2, end);
  const [first, second] = octets;
  if (octets.length !== length || first! > 0x7f) return undefined;
  if (first === 0 && (second === undefined || second < 0x80)) return undefined;
  const digits = first === 0 ? octets.subarray(1) : octets;
  if (digits.length > size) return undefined;
  const value = new Uint8Array(size);
  value.set(digits, size - digits.length);
  return { value, end };
}

function encodeInteger(octets: Uint8Array): Uint8Array {
  let start = 0;
  while (start < octets.length - 1 && octets[start] === 0) start++;
  const digits = octets.subarray(start);
  const sign = digits[0]! > 0x7f ? 1 : 0;
  return concat(Uint8Array.of(0x02, digits.length + sign), new Uint8Array(sign), digits);
}
