const digits = '0123456789abcdef';

/** Lower-case hexadecimal without separators. */
export function toHex(bytes: Uint8Array): string {
  let text = '';
  for (const octet of bytes) text += digits[octet >> 4]! + digits[octet & 15]!;
  return text;
}

/**
 * Reads hexadecimal in either case; white space and colons between octets are skipped.
 * @throws {RangeError} when another character appears or the number of digits is odd
 */
export function fromHex(text: string): Uint8Array {
  const compact = text.replaceAll(/[\s:]/g, '').toLowerCase();
  if (compact.length % 2 !== 0) throw new RangeError('hexadecimal text has an odd number of digits');
  const bytes = new Uint8Array(compact.length / 2);
  for (let i = 0; i < bytes.length; i++) {
    const high = digits.indexOf(compact[2 * i]!);
    const low = digits.indexOf(compact[2 * i + 1]!);
    if (high < 0 || low < 0) throw new RangeError(`not a hexadecimal digit near "${compact.slice(2 * i, 2 * i + 2)}"`);
    bytes[i] = (high << 4) | low;
  }
  return bytes;
}
