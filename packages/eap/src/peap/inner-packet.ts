import { concat, Writer } from '@aovpn/bytes';
import { eapType } from '../packet.ts';

/** Code, identifier and length, octets: what is left out of most inner packets. */
const headerLength = 4;
const code = { request: 1, response: 2 } as const;

/** An inner Request with its header. */
export interface InnerPacket {
  readonly packet: Uint8Array;
  readonly type: number;
  readonly identifier: number;
  /** It came with its header, and its answer goes with one. */
  readonly whole: boolean;
}

/**
 * Gives an inner Request its header back ([MS-PEAP] §3.1.5.6): the outer packet's identifier and the length. EAP-TLV and the
 * extension methods of Microsoft (expanded types) come with it; so does the Identity of FreeRADIUS. Undefined: no packet at all.
 */
export function expandInner(data: Uint8Array, identifier: number): InnerPacket | undefined {
  const [type] = data;
  if (type === undefined || data.length + headerLength > 0xffff) return undefined;
  if (hasHeader(data)) {
    const inner = data[headerLength]!;
    return { packet: data, type: inner, identifier: data[1]!, whole: inner !== eapType.identity };
  }
  const header = new Writer(headerLength)
    .u8(code.request)
    .u8(identifier)
    .u16(data.length + headerLength)
    .finish();
  return { packet: concat(header, data), type, identifier, whole: false };
}

/** A Response as it goes into the tunnel; always a copy. */
export function compressInner(response: Uint8Array, whole: boolean): Uint8Array {
  return response.slice(whole ? 0 : headerLength);
}

/** A Response of the EAP TLV Extensions Method, always with its header ([MS-PEAP] §2.2.8.1). */
export function writeExtensions(identifier: number, tlvs: Uint8Array): Uint8Array {
  return new Writer(tlvs.length + 5)
    .u8(code.response)
    .u8(identifier)
    .u16(tlvs.length + 5)
    .u8(eapType.extensions)
    .bytes(tlvs)
    .finish();
}

/** Without a header the first octet is a type, and 1 is Identity: its text would have to spell a header. */
function hasHeader(data: Uint8Array): boolean {
  if (data.length <= headerLength || data[0] !== code.request || ((data[2]! << 8) | data[3]!) !== data.length) return false;
  const type = data[headerLength];
  return type === eapType.extensions || type === eapType.expanded || (type === eapType.identity && data.length === 5);
}
