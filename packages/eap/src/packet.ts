import { Reader, TruncatedError, Writer } from '@aovpn/bytes';

/** EAP codes (RFC 3748 §4). */
const eapCode = { request: 1, response: 2, success: 3, failure: 4 } as const;

/** EAP method types (RFC 3748 §5 and the IANA registry). `extensions`: EAP TLV Extensions of [MS-PEAP], inside PEAP only. */
export const eapType = {
  identity: 1,
  notification: 2,
  nak: 3,
  tls: 13,
  peap: 25,
  mschapv2: 26,
  extensions: 33,
  expanded: 254,
} as const;

/** A Request as received. `expanded`: the type came in its long form (RFC 3748 §5.7) and the answer goes in the same form. */
export interface EapRequest {
  readonly kind: 'request';
  readonly identifier: number;
  readonly vendor: number;
  readonly type: number;
  readonly expanded: boolean;
  /** Type-Data, a view. */
  readonly data: Uint8Array;
}

export type EapPacket =
  | EapRequest
  | { readonly kind: 'success' | 'failure'; readonly identifier: number }
  | { readonly kind: 'malformed'; readonly problem: string };

/**
 * Reads a packet that an authenticator may send. The Length field counts every octet: IKEv2 carries an EAP packet exactly
 * (RFC 7296 §3.16), so padding as well as truncation is an error here.
 */
export function readPacket(bytes: Uint8Array): EapPacket {
  try {
    const reader = new Reader(bytes, 'EAP packet');
    const code = reader.u8();
    const identifier = reader.u8();
    const length = reader.u16();
    if (length !== bytes.length) return malformed(`length field says ${length}, the packet has ${bytes.length} octets`);
    switch (code) {
      case eapCode.request:
        return readRequest(reader, identifier);
      case eapCode.success:
      case eapCode.failure:
        if (reader.remaining > 0) return malformed('EAP-Success or EAP-Failure with data');
        return { kind: code === eapCode.success ? 'success' : 'failure', identifier };
      case eapCode.response:
        return malformed('a Response, which only a peer sends');
      default:
        return malformed(`code ${code}`);
    }
  } catch (error) {
    if (error instanceof TruncatedError) return malformed(error.message);
    throw error;
  }
}

/** A Response with type and Type-Data, in the form of the Request that it answers. */
export function writeResponse(request: Pick<EapRequest, 'identifier' | 'expanded'>, type: number, data: Uint8Array): Uint8Array {
  const writer = new Writer(data.length + 16).u8(eapCode.response).u8(request.identifier).u16(0);
  if (request.expanded) writer.u8(eapType.expanded).u24(0).u32(type);
  else writer.u8(type);
  return writer.bytes(data).patchU16(2, writer.length).finish();
}

/**
 * A Nak naming the one method that is wanted: legacy (RFC 3748 §5.3.1), or expanded (§5.3.2) in answer to an expanded type. A peer
 * without `expandedNak` answers like one that does not know expanded types.
 */
export function writeNak(request: EapRequest, wanted: number, expandedNak: boolean): Uint8Array {
  if (!request.expanded || !expandedNak)
    return writeResponse({ ...request, expanded: false }, eapType.nak, Uint8Array.of(wanted));
  return writeResponse(request, eapType.nak, new Writer(8).u8(eapType.expanded).u24(0).u32(wanted).finish());
}

function readRequest(reader: Reader, identifier: number): EapPacket {
  const first = reader.u8();
  if (first !== eapType.expanded) {
    return { kind: 'request', identifier, vendor: 0, type: first, expanded: false, data: reader.rest() };
  }
  const vendor = reader.u24();
  const type = reader.u32();
  return { kind: 'request', identifier, vendor, type, expanded: true, data: reader.rest() };
}

function malformed(problem: string): EapPacket {
  return { kind: 'malformed', problem };
}
