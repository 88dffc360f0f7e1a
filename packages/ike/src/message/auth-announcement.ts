import { Reader, TruncatedError, Writer } from '@aovpn/bytes';

/** One announcement of N(SUPPORTED_AUTH_METHODS) (RFC 9593 §3.2). */
export interface AuthAnnouncement {
  readonly method: number;
  /** Number of the CA in CERTREQ that it belongs to, from 1; 0: any. */
  readonly certificateLink: number;
  /** DER AlgorithmIdentifier of a signature. */
  readonly algorithm?: Uint8Array;
}

/** Our own bound on a list from the network. */
const maxAnnouncements = 64;

/** Data of the notification; what makes no sense ends the list, since lengths cannot be trusted any more. */
export function decodeAuthAnnouncements(data: Uint8Array): AuthAnnouncement[] {
  const reader = new Reader(data, 'SUPPORTED_AUTH_METHODS');
  const announcements: AuthAnnouncement[] = [];
  try {
    while (reader.remaining > 0 && announcements.length < maxAnnouncements) {
      const length = reader.u8();
      if (length < 2) break;
      const method = reader.u8();
      const certificateLink = length > 2 ? reader.u8() : 0;
      const rest = length > 3 ? Uint8Array.from(reader.bytes(length - 3)) : undefined;
      announcements.push({ method, certificateLink, ...(rest && { algorithm: rest }) });
    }
  } catch (error) {
    if (!(error instanceof TruncatedError)) throw error;
  }
  return announcements;
}

/** @throws {RangeError} for an algorithm that does not fit its length octet */
export function encodeAuthAnnouncements(announcements: readonly AuthAnnouncement[]): Uint8Array {
  const writer = new Writer();
  for (const { method, certificateLink, algorithm } of announcements) {
    const length = algorithm ? 3 + algorithm.length : certificateLink > 0 ? 3 : 2;
    if (length > 255) throw new RangeError('announcement too long');
    writer.u8(length).u8(method);
    if (length > 2) writer.u8(certificateLink);
    if (algorithm) writer.bytes(algorithm);
  }
  return writer.finish();
}
