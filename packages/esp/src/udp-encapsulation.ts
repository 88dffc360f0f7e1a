/** Four zero octets before an IKE message on the port that it shares with ESP (RFC 3948 §2.2). */
export const nonEspMarkerLength = 4;

/** The one octet of a NAT keepalive (RFC 3948 §2.3). */
export const natKeepalive = 0xff;

/** What a datagram on the shared port is (RFC 3948 §2); nothing of it is authentic yet. */
export function classifyDatagram(octets: Uint8Array, at: number, length: number): 'keepalive' | 'ike' | 'esp' | 'malformed' {
  if (length === 1 && octets[at] === natKeepalive) return 'keepalive';
  if (length <= nonEspMarkerLength) return 'malformed';
  const marker = octets[at]! | octets[at + 1]! | octets[at + 2]! | octets[at + 3]!;
  return marker === 0 ? 'ike' : 'esp';
}
