/** Just enough DER (ITU-T X.690) to write certificates and CRLs; on purpose not the library that the product reads them with. */
export type Der = Uint8Array;

const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  sequence: 0x30,
  set: 0x31,
  utcTime: 0x17,
  generalizedTime: 0x18,
} as const;

function element(tag: number, ...parts: readonly Uint8Array[]): Der {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const head = length < 0x80 ? [tag, length] : [tag, 0x80 | octets(length).length, ...octets(length)];
  return Buffer.concat([Buffer.from(head), ...parts]);
}

export const sequence = (...parts: readonly Der[]): Der => element(tags.sequence, ...parts);
export const set = (...parts: readonly Der[]): Der => element(tags.set, ...parts);
export const octetString = (...parts: readonly Uint8Array[]): Der => element(tags.octetString, ...parts);
export const utf8String = (text: string): Der => element(tags.utf8String, Buffer.from(text, 'utf8'));
export const boolean = (value: boolean): Der => element(tags.boolean, Buffer.from([value ? 0xff : 0]));
export const nothing = (): Der => element(tags.null);
export const bitString = (content: Uint8Array, unused = 0): Der => element(tags.bitString, Buffer.from([unused]), content);

/** A context-specific tag: constructed around whole elements (explicit), or primitive with bare octets (implicit). */
export const explicit = (number: number, ...parts: readonly Der[]): Der => element(0xa0 | number, ...parts);
export const implicit = (number: number, content: Uint8Array): Der => element(0x80 | number, content);

export function integer(value: number | Uint8Array): Der {
  const content = typeof value === 'number' ? octets(value) : [...value];
  while (content.length > 1 && content[0] === 0 && content[1]! < 0x80) content.shift();
  return element(tags.integer, Buffer.from(content[0]! >= 0x80 ? [0, ...content] : content));
}

export function oid(dotted: string): Der {
  const [first, second, ...rest] = dotted.split('.').map(Number);
  return element(tags.oid, Buffer.from([first! * 40 + second!, ...rest.flatMap(base128)]));
}

/** UTCTime until 2049, GeneralizedTime from then on (RFC 5280 §4.1.2.5). */
export function time(date: Date): Der {
  const digits = date.toISOString().replaceAll(/[-:T]|\.\d+/g, '');
  return date.getUTCFullYear() < 2050
    ? element(tags.utcTime, Buffer.from(digits.slice(2)))
    : element(tags.generalizedTime, Buffer.from(digits));
}

export function pem(label: string, der: Uint8Array): string {
  const lines = Buffer.from(der)
    .toString('base64')
    .match(/.{1,64}/g)!;
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

function octets(value: number): number[] {
  const result: number[] = [];
  for (let rest = value; rest > 0 || result.length === 0; rest = Math.floor(rest / 256)) result.unshift(rest % 256);
  return result;
}

function base128(value: number): number[] {
  const result = [value & 0x7f];
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) result.unshift((rest & 0x7f) | 0x80);
  return result;
}
