/** Content type `handshake` (RFC 5246 §6.2.1). */
const handshake = 22;
/** HandshakeType `certificate` (RFC 5246 §7.4). */
const certificate = 11;
/** Octets of the headers of record and handshake message. */
const headers = 9;
/** Octets of the length of an empty certificate_list. */
const emptyList = 3;

/**
 * Whether a flight of a TLS 1.2 client begins with a certificate of its own (RFC 5246 §7.4.6); a client without one sends an empty list. With
 * TLS 1.3 it is encrypted, and this says no.
 */
export function showsCertificate(flight: Uint8Array): boolean {
  if (flight.length <= headers + emptyList || flight[0] !== handshake || flight[5] !== certificate) return false;
  const length = (flight[6]! << 16) | (flight[7]! << 8) | flight[8]!;
  return length > emptyList;
}
