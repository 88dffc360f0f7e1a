import type { IpAddress } from '@aovpn/bytes';
import { decodeName, encodeName } from './name-octets.ts';

/** RFC 1035 §3.2.2, RFC 3596 */
export const recordType = { a: 1, ns: 2, cname: 5, soa: 6, ptr: 12, txt: 16, aaaa: 28 } as const;
const recordClass = { in: 1, none: 254, any: 255 } as const;
/** RFC 2136 §2.2 */
const updateOpcode = 5;
const headerLength = 12;
/** Seconds; what Windows writes. */
export const addressLifetime = 1200;

/** Answer codes by number: RFC 1035 §4.1.1, RFC 2136 §2.2. */
const responseCodes = [
  'NOERROR',
  'FORMERR',
  'SERVFAIL',
  'NXDOMAIN',
  'NOTIMP',
  'REFUSED',
  'YXDOMAIN',
  'YXRRSET',
  'NXRRSET',
  'NOTAUTH',
  'NOTZONE',
] as const;

/** What to do with one name. */
export interface NameUpdate {
  readonly name: string;
  readonly records: readonly { readonly type: number; readonly data: Uint8Array }[];
  /** `replace`: these are all records of the name of the types in `types`; without a type they join what is there. `remove`: exactly these go, others stay. */
  readonly op: 'replace' | 'remove';
  readonly types: readonly number[];
  /** Of what is added, seconds; undefined: {@link addressLifetime}. */
  readonly lifetime?: number;
}

export function addressRecord(address: IpAddress): { readonly type: number; readonly data: Uint8Array } {
  return { type: address.family === 4 ? recordType.a : recordType.aaaa, data: address.bytes };
}

export function pointerRecord(name: string): { readonly type: number; readonly data: Uint8Array } {
  return { type: recordType.ptr, data: encodeName(name) };
}

/** One character-string (RFC 1035 §3.3.14). @param text at most 255 characters of ASCII */
export function textRecord(text: string): { readonly type: number; readonly data: Uint8Array } {
  return { type: recordType.txt, data: Uint8Array.of(text.length, ...Buffer.from(text, 'latin1')) };
}

/** An UPDATE of one zone (RFC 2136 §2). All of it happens or nothing. @param id random */
export function encodeUpdate(
  id: number,
  zone: string,
  { name, records, op, types, lifetime = addressLifetime }: NameUpdate,
): Uint8Array {
  const owner = encodeName(name);
  const updates: number[][] = [];
  // §2.5.2: delete an RRset, of class ANY without data; §2.5.4: delete one record, of class NONE with data; both with time to live 0.
  if (op === 'replace') for (const type of types) updates.push(record(owner, type, recordClass.any, 0, new Uint8Array()));
  for (const { type, data } of records) {
    updates.push(
      op === 'replace' ? record(owner, type, recordClass.in, lifetime, data) : record(owner, type, recordClass.none, 0, data),
    );
  }
  const header = [id >> 8, id & 0xff, updateOpcode << 3, 0, 0, 1, 0, 0, updates.length >> 8, updates.length & 0xff, 0, 0];
  return Uint8Array.from([...header, ...encodeName(zone), 0, recordType.soa, 0, recordClass.in, ...updates.flat()]);
}

/** A question of class IN, recursion desired. @param id random */
export function encodeQuery(id: number, name: string, type: number): Uint8Array {
  return Uint8Array.from([
    id >> 8,
    id & 0xff,
    1,
    0,
    0,
    1,
    0,
    0,
    0,
    0,
    0,
    0,
    ...encodeName(name),
    type >> 8,
    type & 0xff,
    0,
    recordClass.in,
  ]);
}

export interface DecodedRecord {
  readonly section: 'answer' | 'authority' | 'additional';
  readonly name: string;
  readonly type: number;
  readonly class: number;
  readonly ttl: number;
  /** Where the record begins, and where its data does. */
  readonly start: number;
  readonly data: number;
  readonly dataLength: number;
}

export interface DecodedMessage {
  readonly id: number;
  readonly rcode: number;
  readonly records: readonly DecodedRecord[];
}

/** Header and records of an answer; undefined when it does not hold together or is none. */
export function decodeAnswer(message: Uint8Array): DecodedMessage | undefined {
  if (message.length < headerLength || (message[2]! & 0x80) === 0) return undefined;
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  let at = headerLength;
  for (let i = view.getUint16(4); i > 0; i--) {
    const name = decodeName(message, at);
    if (!name || name.end + 4 > message.length) return undefined;
    at = name.end + 4;
  }
  const records: DecodedRecord[] = [];
  for (const [section, place] of [
    ['answer', 6],
    ['authority', 8],
    ['additional', 10],
  ] as const) {
    for (let i = view.getUint16(place); i > 0; i--) {
      const name = decodeName(message, at);
      if (!name || name.end + 10 > message.length) return undefined;
      const dataLength = view.getUint16(name.end + 8);
      const data = name.end + 10;
      if (data + dataLength > message.length) return undefined;
      records.push({
        section,
        name: name.name,
        type: view.getUint16(name.end),
        class: view.getUint16(name.end + 2),
        ttl: view.getUint32(name.end + 4),
        start: at,
        data,
        dataLength,
      });
      at = data + dataLength;
    }
  }
  return { id: view.getUint16(0), rcode: message[3]! & 0x0f, records };
}

export function codeName(rcode: number): string {
  return responseCodes[rcode] ?? `RCODE ${rcode}`;
}

function record(owner: Uint8Array, type: number, klass: number, ttl: number, data: Uint8Array): number[] {
  return [
    ...owner,
    type >> 8,
    type & 0xff,
    klass >> 8,
    klass & 0xff,
    ttl >>> 24,
    (ttl >> 16) & 0xff,
    (ttl >> 8) & 0xff,
    ttl & 0xff,
    data.length >> 8,
    data.length & 0xff,
    ...data,
  ];
}
