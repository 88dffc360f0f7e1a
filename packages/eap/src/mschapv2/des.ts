/**
 * DES encryption of one block (FIPS 46-3) with a 56-bit key given as 7 octets, as MS-CHAPv2 uses it (RFC 2759 §8.6). Only here
 * because that protocol demands it. Bits are kept one per array element: a few blocks per login need no speed.
 */
export function desEncrypt(key7: Uint8Array, block: Uint8Array): Uint8Array {
  if (key7.length !== 7 || block.length !== 8) throw new RangeError('DES takes a key of 7 and a block of 8 octets');
  const keys = roundKeys(key7);
  const input = permute(toBits(block), initialPermutation);
  let left = input.slice(0, 32);
  let right = input.slice(32);
  for (const key of keys) {
    const mixed = permute(substitute(xor(permute(right, expansion), key)), roundPermutation);
    [left, right] = [right, xor(left, mixed)];
  }
  for (const key of keys) key.fill(0);
  return fromBits(permute([...right, ...left], finalPermutation));
}

/** The 8-octet form of a 7-octet key, with odd parity in the lowest bit of each octet (RFC 2759 §8.6). */
export function expandDesKey(key7: Uint8Array): Uint8Array {
  const bits = toBits(key7);
  return Uint8Array.from({ length: 8 }, (_, i) => {
    let octet = 0;
    let ones = 0;
    for (const bit of bits.slice(i * 7, i * 7 + 7)) {
      octet = (octet << 1) | bit;
      ones += bit;
    }
    return (octet << 1) | (ones % 2 === 0 ? 1 : 0);
  });
}

function roundKeys(key7: Uint8Array): number[][] {
  const chosen = permute(toBits(expandDesKey(key7)), keyChoice1);
  let left = chosen.slice(0, 28);
  let right = chosen.slice(28);
  return keyRotations.map((count) => {
    left = [...left.slice(count), ...left.slice(0, count)];
    right = [...right.slice(count), ...right.slice(0, count)];
    return permute([...left, ...right], keyChoice2);
  });
}

function substitute(bits: readonly number[]): number[] {
  return substitutionBoxes.flatMap((box, i) => {
    const [b0, b1, b2, b3, b4, b5] = bits.slice(i * 6, i * 6 + 6) as [number, number, number, number, number, number];
    const value = Number.parseInt(box[((b0 << 1) | b5) * 16 + ((b1 << 3) | (b2 << 2) | (b3 << 1) | b4)]!, 16);
    return [value >> 3, (value >> 2) & 1, (value >> 1) & 1, value & 1];
  });
}

/** Tables of FIPS 46-3 count bits from 1. */
function permute(bits: readonly number[], table: readonly number[]): number[] {
  return table.map((position) => bits[position - 1]!);
}

function xor(a: readonly number[], b: readonly number[]): number[] {
  return a.map((bit, i) => bit ^ b[i]!);
}

function toBits(bytes: Uint8Array): number[] {
  return Array.from({ length: bytes.length * 8 }, (_, i) => (bytes[i >> 3]! >> (7 - (i & 7))) & 1);
}

function fromBits(bits: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(bits.length / 8);
  for (const [i, bit] of bits.entries()) bytes[i >> 3]! |= bit << (7 - (i & 7));
  return bytes;
}

/** For each start, `count` numbers at distance `step`. */
function runs(starts: readonly number[], count: number, step: number): number[] {
  return starts.flatMap((start) => Array.from({ length: count }, (_, i) => start + i * step));
}

const initialPermutation = runs([58, 60, 62, 64, 57, 59, 61, 63], 8, -8);
const finalPermutation = Array.from({ length: 64 }, (_, i) => initialPermutation.indexOf(i + 1) + 1);
const expansion = runs([0, 4, 8, 12, 16, 20, 24, 28], 6, 1).map((position) =>
  position === 0 ? 32 : position === 33 ? 1 : position,
);
const roundPermutation = [
  16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10, 2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6, 22, 11, 4, 25,
];
const keyChoice1 = [
  57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43, 35, 27, 19, 11, 3, 60, 52, 44, 36, 63, 55, 47, 39, 31,
  23, 15, 7, 62, 54, 46, 38, 30, 22, 14, 6, 61, 53, 45, 37, 29, 21, 13, 5, 28, 20, 12, 4,
];
const keyChoice2 = [
  14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2, 41, 52, 31, 37, 47, 55, 30, 40, 51, 45,
  33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
];
const keyRotations = [1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1];
/** Four rows of sixteen values each, one hexadecimal digit per value. */
const substitutionBoxes = [
  'e4d12fb83a6c59070f74e2d1a6cb953841e8d62bfc973a50fc8249175b3ea06d',
  'f18e6b34972dc05a3d47f28ec01a69b50e7ba4d158c6932fd8a13f42b67c05e9',
  'a09e63f51dc7b428d709346a285ecbf1d6498f30b12c5ae71ad069874fe3b52c',
  '7de3069a1285bc4fd8b56f03472c1ae9a690cb7df13e52843f06a1d8945bc72e',
  '2c417ab6853fd0e9eb2c47d150fa3986421bad78f9c5630eb8c71e2d6f09a453',
  'c1af92680d34e75baf427c9561de0b389ef528c3704a1db6432c95fabe17608d',
  '4b2ef08d3c975a61d0b7491ae35c2f8614bdc37eaf6805926bd814a7950fe23c',
  'd2846fb1a93e50c71fd8a374c56b0e927b419ce206adf35821e74a8dfc90356b',
];
