import { readUri } from './announcement.ts';

/** RFC 4861 §4.1: a router solicitation without options, as a machine sends it that says nothing of itself. Checksum: zero, for the sender. */
export const routerSolicitation: readonly number[] = [133, 0, 0, 0, 0, 0, 0, 0];

const advertisement = 134;
const captivePortal = 37;
const optionsAt = 16;

/**
 * The portal's URI of a router advertisement (RFC 8910 §2.3); undefined when this is none or says nothing of a portal.
 * @param body ICMPv6, from the type on
 */
export function readAdvertisedPortal(body: Uint8Array): string | undefined {
  if (body.length < optionsAt || body[0] !== advertisement) return undefined;
  for (let at = optionsAt; at + 2 <= body.length;) {
    const length = body[at + 1]! * 8;
    // RFC 4861 §4.6: a length of zero makes the whole packet invalid.
    if (length === 0 || at + length > body.length) return undefined;
    if (body[at] === captivePortal) return readUri(body.subarray(at + 2, at + length));
    at += length;
  }
  return undefined;
}
