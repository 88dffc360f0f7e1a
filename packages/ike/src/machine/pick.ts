import { compareOctets } from '@aovpn/bytes';
import type { NotifyPayload, Payload } from '../message/payload.ts';
import { isErrorNotify } from '../registry/notify.ts';

type PayloadOf<K extends Payload['kind'], P extends Payload = Payload> = P extends Payload
  ? K extends P['kind']
    ? P
    : never
  : never;

/** The first payload of a kind. */
export function pick<K extends Payload['kind']>(payloads: readonly Payload[], kind: K): PayloadOf<K> | undefined {
  return payloads.find((payload): payload is PayloadOf<K> => payload.kind === kind);
}

export function pickAll<K extends Payload['kind']>(payloads: readonly Payload[], kind: K): PayloadOf<K>[] {
  return payloads.filter((payload): payload is PayloadOf<K> => payload.kind === kind);
}

export function pickNotify(payloads: readonly Payload[], type: number): NotifyPayload | undefined {
  return payloads.find((payload): payload is NotifyPayload => payload.kind === 'N' && payload.type === type);
}

/** The first Notify that is an error (RFC 7296 §3.10.1). */
export function pickError(payloads: readonly Payload[]): NotifyPayload | undefined {
  return payloads.find((payload): payload is NotifyPayload => payload.kind === 'N' && isErrorNotify(payload.type));
}

/** A nonce of an allowed length (RFC 7296 §2.10). */
export function pickNonce(payloads: readonly Payload[]): Uint8Array | undefined {
  const nonce = pick(payloads, 'NONCE')?.data;
  return nonce && nonce.length >= 16 && nonce.length <= 256 ? nonce : undefined;
}

/** A Notify of ours that is not about an SPI. */
export function notify(type: number, data: Uint8Array = new Uint8Array(0)): NotifyPayload {
  return { kind: 'N', protocol: 0, spi: new Uint8Array(0), type, data };
}

/** For collisions (RFC 7296 §2.8.1). */
export function lowerNonce(a: Uint8Array, b: Uint8Array): Uint8Array {
  return compareOctets(a, b) <= 0 ? a : b;
}

/** An ESP SPI as the 4 octets of a payload. */
export function spiOctets(spi: number): Uint8Array {
  return Uint8Array.of(spi >>> 24, (spi >>> 16) & 0xff, (spi >>> 8) & 0xff, spi & 0xff);
}

/** An ESP SPI from its 4 octets; undefined for any other length and for 0. */
export function spiNumber(octets: Uint8Array): number | undefined {
  if (octets.length !== 4) return undefined;
  const spi = octets[0]! * 0x100_0000 + ((octets[1]! << 16) | (octets[2]! << 8) | octets[3]!);
  return spi === 0 ? undefined : spi;
}
