import { concat, encodeUtf8, Writer } from '@aovpn/bytes';

/** Packets as an authenticator sends them. */

export function request(identifier: number, type: number, data: Uint8Array = new Uint8Array()): Uint8Array {
  return new Writer()
    .u8(1)
    .u8(identifier)
    .u16(5 + data.length)
    .u8(type)
    .bytes(data)
    .finish();
}

export function success(identifier: number): Uint8Array {
  return Uint8Array.of(3, identifier, 0, 4);
}

export function failure(identifier: number): Uint8Array {
  return Uint8Array.of(4, identifier, 0, 4);
}

export function mschapChallenge(identifier: number, challenge: Uint8Array, id = identifier): Uint8Array {
  return mschap(identifier, 1, id, concat(Uint8Array.of(16), challenge, encodeUtf8('gateway')));
}

export function mschapText(identifier: number, opCode: 3 | 4, text: string): Uint8Array {
  return mschap(identifier, opCode, identifier, encodeUtf8(text));
}

export function mschap(identifier: number, opCode: number, id: number, data: Uint8Array): Uint8Array {
  return request(
    identifier,
    26,
    new Writer()
      .u8(opCode)
      .u8(id)
      .u16(4 + data.length)
      .bytes(data)
      .finish(),
  );
}

/** An EAP-TLS Request with these flags; the length field only when its flag is set. */
export function tls(identifier: number, flags: number, data: Uint8Array = new Uint8Array(), total = data.length): Uint8Array {
  const writer = new Writer().u8(flags);
  if ((flags & 0x80) !== 0) writer.u32(total);
  return request(identifier, 13, writer.bytes(data).finish());
}
