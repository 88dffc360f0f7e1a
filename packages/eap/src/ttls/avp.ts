import { Reader, TruncatedError } from '@aovpn/bytes';

/** Attribute-value pairs inside the tunnel of EAP-TTLS (RFC 5281 §10): the layout of Diameter's, the numbers of RADIUS. */
export interface Avp {
  readonly code: number;
  /** 0: none. Microsoft's attributes (RFC 2548) have 311. */
  readonly vendor: number;
  /** The receiver must understand it or fail. */
  readonly mandatory: boolean;
  readonly data: Uint8Array;
}

/** The attributes spoken here, by code and vendor (RFC 2865, RFC 3579, RFC 2548). */
export const avpType = {
  userName: { code: 1, vendor: 0 },
  userPassword: { code: 2, vendor: 0 },
  chapPassword: { code: 3, vendor: 0 },
  replyMessage: { code: 18, vendor: 0 },
  state: { code: 24, vendor: 0 },
  chapChallenge: { code: 60, vendor: 0 },
  eapMessage: { code: 79, vendor: 0 },
  msChapResponse: { code: 1, vendor: 311 },
  msChapError: { code: 2, vendor: 311 },
  msChapNtEncPw: { code: 6, vendor: 311 },
  /** What the server takes the user's domain for; it may come beside MS-CHAP2-Success (RFC 5281 §11.2.4). */
  msChapDomain: { code: 10, vendor: 311 },
  msChapChallenge: { code: 11, vendor: 311 },
  msChap2Response: { code: 25, vendor: 311 },
  msChap2Success: { code: 26, vendor: 311 },
  msChap2Cpw: { code: 27, vendor: 311 },
} as const;

export type AvpType = (typeof avpType)[keyof typeof avpType];

const avpFlag = { vendor: 0x80, mandatory: 0x40 } as const;
/** AVPs in one message of a server; real ones have a handful. */
const avpLimit = 256;

/** Reads everything that the server said in one message. A text comes back when it cannot be read: why. The data are views. */
export function readAvps(octets: Uint8Array): readonly Avp[] | string {
  try {
    const reader = new Reader(octets, 'AVP');
    const avps: Avp[] = [];
    while (reader.remaining > 0) {
      if (avps.length === avpLimit) return `more than ${avpLimit} AVPs`;
      avps.push(readAvp(reader));
    }
    return avps;
  } catch (error) {
    if (error instanceof TruncatedError) return error.message;
    throw error;
  }
}

/** One AVP after the other, each filled up to a multiple of four octets. All are mandatory (RFC 5281 §10.1). Nothing else keeps the data. */
export function writeAvps(...avps: readonly (readonly [AvpType, Uint8Array])[]): Uint8Array {
  const written = new Uint8Array(
    avps.reduce((size, [type, data]) => size + headerLength(type) + data.length + padding(data.length), 0),
  );
  const view = new DataView(written.buffer);
  let at = 0;
  for (const [type, data] of avps) {
    const header = headerLength(type);
    const flags = avpFlag.mandatory | (type.vendor === 0 ? 0 : avpFlag.vendor);
    view.setUint32(at, type.code);
    view.setUint32(at + 4, flags * 0x1000000 + header + data.length);
    if (type.vendor !== 0) view.setUint32(at + 8, type.vendor);
    written.set(data, at + header);
    at += header + data.length + padding(data.length);
  }
  return written;
}

export function isAvp(avp: Avp, type: AvpType): boolean {
  return avp.code === type.code && avp.vendor === type.vendor;
}

function readAvp(reader: Reader): Avp {
  const start = reader.offset;
  const code = reader.u32();
  const flags = reader.u8();
  const length = reader.u24();
  const header = (flags & avpFlag.vendor) === 0 ? 8 : 12;
  // The length counts the header (CVE-2026-25075: less than that made an unsigned difference of gigabytes).
  if (length < header) throw new TruncatedError('AVP', start, `a length of ${length} with a header of ${header} octets`);
  const vendor = header === 8 ? 0 : reader.u32();
  const data = reader.bytes(length - header);
  // RFC 5281 §10.1 wants the last one filled up as well; hostapd leaves that out.
  reader.bytes(reader.remaining === 0 ? 0 : padding(data.length));
  return { code, vendor, mandatory: (flags & avpFlag.mandatory) !== 0, data };
}

function headerLength({ vendor }: AvpType): number {
  return vendor === 0 ? 8 : 12;
}

function padding(length: number): number {
  return -length & 3;
}
