import { createHmac } from 'node:crypto';
import { equal } from '@aovpn/bytes';
import { decodeName, encodeName } from './name-octets.ts';
import { decodeAnswer } from './update-message.ts';

/** A secret that a name server and we share (RFC 8945). */
export interface TsigKey {
  /** Lower case, no dot at the end. */
  readonly name: string;
  readonly algorithm: TsigAlgorithm;
  readonly secret: Uint8Array;
}

/** RFC 8945 §6: those that implementations must have, and the stronger ones of the same family. */
export const tsigAlgorithms = {
  'hmac-sha256': { hash: 'sha256', octets: 32 },
  'hmac-sha384': { hash: 'sha384', octets: 48 },
  'hmac-sha512': { hash: 'sha512', octets: 64 },
} as const;
export type TsigAlgorithm = keyof typeof tsigAlgorithms;

const tsigType = 250;
const anyClass = 255;
/** Seconds by which clocks may differ (RFC 8945 §10). */
const fudge = 300;
/** RFC 8945 §3: error codes. */
const tsigErrors = new Map([
  [16, 'BADSIG'],
  [17, 'BADKEY'],
  [18, 'BADTIME'],
  [22, 'BADTRUNC'],
]);

export interface SignedMessage {
  readonly message: Uint8Array;
  /** Goes into what the answer's signature covers. */
  readonly mac: Uint8Array;
}

/** Adds the TSIG record (RFC 8945 §5.1). @param now seconds since 1970 */
export function signMessage(message: Uint8Array, key: TsigKey, now: number): SignedMessage {
  const time = timeOctets(now);
  const mac = hmac(key, [message, variables(key, time, fudge, 0, new Uint8Array())]);
  const id = [message[0]!, message[1]!];
  const data = [
    ...encodeName(key.algorithm),
    ...time,
    fudge >> 8,
    fudge & 0xff,
    mac.length >> 8,
    mac.length & 0xff,
    ...mac,
    ...id,
    0,
    0,
    0,
    0,
  ];
  const signed = Uint8Array.from([
    ...message,
    ...encodeName(key.name),
    0,
    tsigType,
    0,
    anyClass,
    0,
    0,
    0,
    0,
    data.length >> 8,
    data.length & 0xff,
    ...data,
  ]);
  const count = ((signed[10]! << 8) | signed[11]!) + 1;
  signed[10] = count >> 8;
  signed[11] = count & 0xff;
  return { message: signed, mac };
}

export type TsigVerdict =
  | { readonly ok: true }
  /** `error`: what the server said is wrong with ours, such as `BADKEY`. */
  | { readonly ok: false; readonly why: string; readonly error?: string };

/**
 * Whether an answer is signed with the key we share, and fresh (RFC 8945 §5.3, §5.4).
 * @param requestMac of the message that it answers
 */
export function verifyAnswer(answer: Uint8Array, requestMac: Uint8Array, key: TsigKey, now: number): TsigVerdict {
  const decoded = decodeAnswer(answer);
  const last = decoded?.records.at(-1);
  if (last?.type !== tsigType || last.section !== 'additional') return { ok: false, why: 'the answer is not signed' };
  if (last.name !== key.name) return { ok: false, why: `the answer is signed with another key, ${JSON.stringify(last.name)}` };
  const algorithm = decodeName(answer, last.data);
  const end = last.data + last.dataLength;
  const view = new DataView(answer.buffer, answer.byteOffset, answer.byteLength);
  if (!algorithm || algorithm.end + 10 > end) return { ok: false, why: 'a broken signature record' };
  const at = algorithm.end;
  const time = answer.slice(at, at + 6);
  const allowed = view.getUint16(at + 6);
  const size = view.getUint16(at + 8);
  const after = at + 10 + size;
  if (after + 6 > end) return { ok: false, why: 'a broken signature record' };
  const mac = answer.slice(at + 10, after);
  const originalId = answer.slice(after, after + 2);
  const code = view.getUint16(after + 2);
  const other = answer.slice(after + 6, after + 6 + view.getUint16(after + 4));
  const error = tsigErrors.get(code) ?? (code === 0 ? undefined : `error ${code}`);
  // BADSIG and BADKEY come unsigned (§5.3.2): nobody can tell who says so, and nothing is believed but that it failed.
  if (size === 0) return { ok: false, why: `the server says ${error ?? 'nothing'}`, ...(error !== undefined && { error }) };
  if (algorithm.name !== key.algorithm) return { ok: false, why: `the answer is signed with ${algorithm.name}` };
  // As it was before the record was added (§4.2, §4.3.1).
  const unsigned = answer.slice(0, last.start);
  unsigned.set(originalId, 0);
  const count = view.getUint16(10) - 1;
  unsigned[10] = count >> 8;
  unsigned[11] = count & 0xff;
  const length = Uint8Array.from([requestMac.length >> 8, requestMac.length & 0xff]);
  const expected = hmac(key, [length, requestMac, unsigned, variables(key, time, allowed, code, other)]);
  if (!equal(mac, expected)) return { ok: false, why: 'the answer’s signature is wrong' };
  if (error !== undefined) return { ok: false, why: `the server says ${error}`, error };
  const signedAt = view.getUint16(at) * 2 ** 32 + view.getUint32(at + 2);
  if (Math.abs(signedAt - now) > allowed) return { ok: false, why: 'the answer was signed at another time', error: 'BADTIME' };
  return { ok: true };
}

/**
 * Reads the `key` clause that `tsig-keygen` writes.
 * @returns a key, or what is wrong with the text (nothing of the secret is in it)
 */
export function parseTsigKey(text: string): TsigKey | string {
  // Comments go; what is quoted stays as it is, since base64 has slashes too.
  const plain = text.replaceAll(/"[^"\n]*"|\/\*[\s\S]*?\*\/|(?:\/\/|#)[^\n]*/g, (part) => (part.startsWith('"') ? part : ' '));
  const clause = /^\s*key\s+"?([a-z0-9._-]{1,253}?)\.?"?\s*\{([^{}]*)\}\s*;\s*$/i.exec(plain);
  if (!clause) return 'one clause is wanted: key "NAME" { algorithm hmac-sha256; secret "…"; };';
  const value = (word: string): string | undefined =>
    new RegExp(`(?:^|;)\\s*${word}\\s+"?([^\\s";]+)"?\\s*(?=;)`, 'i').exec(clause[2]!)?.[1];
  const algorithm = value('algorithm')?.toLowerCase();
  if (algorithm === undefined || !Object.hasOwn(tsigAlgorithms, algorithm))
    return `algorithm is one of ${Object.keys(tsigAlgorithms).join(', ')}`;
  const secret = value('secret');
  if (secret === undefined || !/^[A-Za-z0-9+/]+={0,2}$/.test(secret)) return 'secret is not base64';
  const octets = Uint8Array.from(Buffer.from(secret, 'base64'));
  if (octets.length < 16) return 'secret is shorter than 16 octets';
  return { name: clause[1]!.toLowerCase(), algorithm: algorithm as TsigAlgorithm, secret: octets };
}

function hmac(key: TsigKey, parts: readonly Uint8Array[]): Uint8Array {
  const sum = createHmac(tsigAlgorithms[key.algorithm].hash, key.secret);
  for (const part of parts) sum.update(part);
  return Uint8Array.from(sum.digest());
}

/** RFC 8945 §4.3.3 */
function variables(key: TsigKey, time: Uint8Array, allowed: number, error: number, other: Uint8Array): Uint8Array {
  return Uint8Array.from([
    ...encodeName(key.name),
    0,
    anyClass,
    0,
    0,
    0,
    0,
    ...encodeName(key.algorithm),
    ...time,
    allowed >> 8,
    allowed & 0xff,
    error >> 8,
    error & 0xff,
    other.length >> 8,
    other.length & 0xff,
    ...other,
  ]);
}

/** 48 bits. */
function timeOctets(seconds: number): Uint8Array {
  const octets = new Uint8Array(6);
  const view = new DataView(octets.buffer);
  view.setUint16(0, Math.floor(seconds / 2 ** 32));
  view.setUint32(2, seconds % 2 ** 32);
  return octets;
}
