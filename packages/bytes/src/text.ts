/** Encodes text as UTF-8 (RFC 3629); a lone surrogate becomes U+FFFD. */
export function encodeUtf8(text: string): Uint8Array {
  const out: number[] = [];
  for (const character of text) {
    let code = character.codePointAt(0)!;
    if (code >= 0xd800 && code <= 0xdfff) code = 0xfffd;
    if (code < 0x80) out.push(code);
    else if (code < 0x800) out.push(0xc0 | (code >> 6), 0x80 | (code & 0x3f));
    else if (code < 0x10000) out.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f));
    else {
      out.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 0x3f), 0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f));
    }
  }
  return Uint8Array.from(out);
}

/** Decodes UTF-8 (RFC 3629); every ill-formed octet becomes one U+FFFD, overlong forms and surrogates included. */
export function decodeUtf8(bytes: Uint8Array): string {
  let text = '';
  let i = 0;
  while (i < bytes.length) {
    const first = bytes[i]!;
    const extra =
      first < 0x80
        ? 0
        : first >= 0xc2 && first < 0xe0
          ? 1
          : first >= 0xe0 && first < 0xf0
            ? 2
            : first >= 0xf0 && first < 0xf5
              ? 3
              : -1;
    let code = extra === 0 ? first : extra < 0 ? -1 : first & (0x3f >> extra);
    for (let k = 1; k <= extra && code >= 0; k++) {
      const next = bytes[i + k];
      code = next === undefined || (next & 0xc0) !== 0x80 ? -1 : (code << 6) | (next & 0x3f);
    }
    const tooShort = (extra === 2 && code < 0x800) || (extra === 3 && (code < 0x10000 || code > 0x10ffff));
    if (code < 0 || tooShort || (code >= 0xd800 && code <= 0xdfff)) {
      text += '\ufffd';
      i += 1;
    } else {
      text += String.fromCodePoint(code);
      i += extra + 1;
    }
  }
  return text;
}

/** Encodes text as UTF-16, little-endian, without byte order mark. */
export function encodeUtf16le(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length * 2);
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    bytes[2 * i] = unit & 0xff;
    bytes[2 * i + 1] = unit >> 8;
  }
  return bytes;
}

/** Decodes UTF-16, little-endian; a trailing odd octet is dropped. */
export function decodeUtf16le(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i + 1 < bytes.length; i += 2) text += String.fromCharCode(bytes[i]! | (bytes[i + 1]! << 8));
  return text;
}
