import { concat } from '@aovpn/bytes';

/** Data of N(TICKET_LT_OPAQUE) (RFC 5723 §7.1): how long it is good for, and the ticket. */
export interface GrantedTicket {
  readonly lifetimeSeconds: number;
  readonly ticket: Uint8Array;
}

/** A ticket longer than this, octets, would not fit into one datagram of ours: it travels in the clear and unfragmented. */
const maxTicketLength = 1024;

/** undefined for what is no ticket, or one that could not be presented. */
export function decodeGrantedTicket(data: Uint8Array): GrantedTicket | undefined {
  if (data.length < 5 || data.length > 4 + maxTicketLength) return undefined;
  return { lifetimeSeconds: readSeconds(data.subarray(0, 4))!, ticket: data.slice(4) };
}

export function encodeGrantedTicket({ lifetimeSeconds, ticket }: GrantedTicket): Uint8Array {
  return concat(writeSeconds(lifetimeSeconds), ticket);
}

/** Four octets of seconds, as in N(AUTH_LIFETIME) (RFC 4478 §3); undefined for any other length. */
export function readSeconds(data: Uint8Array): number | undefined {
  if (data.length !== 4) return undefined;
  return data[0]! * 0x100_0000 + ((data[1]! << 16) | (data[2]! << 8) | data[3]!);
}

export function writeSeconds(seconds: number): Uint8Array {
  return Uint8Array.of(seconds >>> 24, (seconds >>> 16) & 0xff, (seconds >>> 8) & 0xff, seconds & 0xff);
}
