import { createIkeCrypto } from '@aovpn/host';
import { concat, parseAddress, Writer, type IpAddress } from '@aovpn/bytes';
import { encrRows, integRows, type DirectionKeys, type IkeHeader, type IkeSuite, type Payload } from '@aovpn/ike';

export const crypto = createIkeCrypto();

export const header: IkeHeader = {
  spiI: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
  spiR: Uint8Array.of(9, 10, 11, 12, 13, 14, 15, 16),
  exchange: 35,
  fromInitiator: false,
  response: true,
  messageId: 1,
};

export const gcm: IkeSuite = { encr: 20, keyBits: 256, prf: 5, integ: 0, ke: 31 };
export const cbc: IkeSuite = { encr: 12, keyBits: 256, prf: 5, integ: 12, ke: 14 };

/** Every cipher with every key length, and with every integrity algorithm where it needs one. */
export const allSuites: readonly IkeSuite[] = encrRows.flatMap((row) =>
  row.keyBits.flatMap((keyBits) =>
    (row.aead ? [0] : integRows.map(({ id }) => id)).map((integ) => ({ encr: row.id, keyBits, prf: 5, integ, ke: 31 })),
  ),
);

export function keysFor(suite: IkeSuite): DirectionKeys {
  const encr = encrRows.find(({ id }) => id === suite.encr)!;
  const integ = integRows.find(({ id }) => id === suite.integ);
  return {
    encryptionKey: crypto.random(suite.keyBits / 8 + encr.saltLength),
    integrityKey: crypto.random(integ?.keyLength ?? 0),
  };
}

export function address(text: string): IpAddress {
  return parseAddress(text)!;
}

/** A payload of `length` octets in all. */
export function vendorId(length: number, octet = 0): Payload {
  return { kind: 'V', data: new Uint8Array(length - 4).fill(octet) };
}

/** A generic header by hand, for what the encoder refuses to write. */
export function rawPayload(next: number, body: Uint8Array, flags = 0, length = body.length + 4): Uint8Array {
  return concat(new Writer().u8(next).u8(flags).u16(length).finish(), body);
}

/** A fixed header by hand. */
export function rawMessage(
  firstType: number,
  payloads: Uint8Array,
  options: { exchange?: number; flags?: number; version?: number } = {},
): Uint8Array {
  const { exchange = 34, flags = 0x20, version = 0x20 } = options;
  const start = concat(header.spiI, header.spiR);
  return new Writer()
    .bytes(start)
    .u8(firstType)
    .u8(version)
    .u8(exchange)
    .u8(flags)
    .u32(0)
    .u32(28 + payloads.length)
    .bytes(payloads)
    .finish();
}
