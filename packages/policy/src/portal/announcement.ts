/** Where the address of a captive portal's API came from: RFC 8910 §2. */
export type AnnouncementSource = 'dhcpv4' | 'dhcpv6' | 'ra';

/** What somebody on a link says is the API of its portal. Whoever is on the link can say so: nothing follows from it but a question. */
export interface Announcement {
  readonly source: AnnouncementSource;
  readonly device: string;
  /** As it was sent: printable ASCII, at most 1000 characters. */
  readonly uri: string;
}

const maxUri = 1000;
const pattern = /^[\u0021-\u007e]+$/;

/** The URI of an option; RFC 8910 §2 allows padding with NUL in a router advertisement only, and it hurts nowhere else. */
export function readUri(octets: Uint8Array): string | undefined {
  let end = octets.length;
  while (end > 0 && octets[end - 1] === 0) end--;
  if (end === 0 || end > maxUri) return undefined;
  const text = String.fromCharCode(...octets.subarray(0, end));
  return pattern.test(text) ? text : undefined;
}

/** RFC 8910 §2: the network says that it has no portal. */
export const unrestricted = 'urn:ietf:params:capport:unrestricted';
