import { decodeUtf16le, decodeUtf8 } from '@aovpn/bytes';

export type Encoding = 'UTF-8' | 'UTF-16LE' | 'UTF-16BE';

export type Decoded =
  | { readonly kind: 'text'; readonly text: string; readonly encoding: Encoding }
  /** Some octets are no characters; `text` has U+FFFD in their places, the first at `offset`. */
  | { readonly kind: 'invalid'; readonly text: string; readonly encoding: Encoding; readonly offset: number }
  | { readonly kind: 'unsupported'; readonly encoding: string };

/** Octets of a file to text: by byte order mark, else by the pattern of the first two octets (XML 1.0 appendix F). */
export function decodeFile(bytes: Uint8Array): Decoded {
  const [a, b, c, d] = bytes;
  if (a === 0xff && b === 0xfe && c === 0 && d === 0) return { kind: 'unsupported', encoding: 'UTF-32LE' };
  if (a === 0 && b === 0 && (c === 0xfe || c === 0)) return { kind: 'unsupported', encoding: 'UTF-32BE' };
  if (a === 0x4c && b === 0x6f && c === 0xa7) return { kind: 'unsupported', encoding: 'EBCDIC' };
  if (a === 0xff && b === 0xfe) return decodeUtf16(bytes.subarray(2), 'UTF-16LE');
  if (a === 0xfe && b === 0xff) return decodeUtf16(bytes.subarray(2), 'UTF-16BE');
  if (a === 0xef && b === 0xbb && c === 0xbf) return checkUtf8(bytes.subarray(3));
  if (a !== 0 && b === 0) return decodeUtf16(bytes, 'UTF-16LE');
  if (a === 0 && b !== undefined && b !== 0) return decodeUtf16(bytes, 'UTF-16BE');
  return checkUtf8(bytes);
}

function decodeUtf16(bytes: Uint8Array, encoding: 'UTF-16LE' | 'UTF-16BE'): Decoded {
  const text = decodeUtf16le(encoding === 'UTF-16LE' ? bytes : swapPairs(bytes));
  const offset = loneSurrogate.exec(text)?.index ?? (bytes.length % 2 === 1 ? Math.max(0, text.length - 1) : -1);
  return offset < 0 ? { kind: 'text', text, encoding } : { kind: 'invalid', text, encoding, offset };
}

const loneSurrogate = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;

function checkUtf8(bytes: Uint8Array): Decoded {
  const text = decodeUtf8(bytes);
  // A replacement character that the author wrote is EF BF BD in the file; every other one stands for a broken octet.
  let written = 0;
  for (let at = bytes.indexOf(0xef); at >= 0; at = bytes.indexOf(0xef, at + 1)) {
    if (bytes[at + 1] === 0xbf && bytes[at + 2] === 0xbd) written++;
  }
  let decoded = 0;
  for (let at = text.indexOf('\ufffd'); at >= 0; at = text.indexOf('\ufffd', at + 1)) decoded++;
  if (decoded === written) return { kind: 'text', text, encoding: 'UTF-8' };
  return { kind: 'invalid', text, encoding: 'UTF-8', offset: text.indexOf('\ufffd') };
}

function swapPairs(bytes: Uint8Array): Uint8Array {
  const swapped = bytes.slice();
  for (let i = 0; i + 1 < swapped.length; i += 2) {
    swapped[i] = bytes[i + 1]!;
    swapped[i + 1] = bytes[i]!;
  }
  return swapped;
}
