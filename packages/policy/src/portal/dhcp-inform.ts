import type { IpAddress } from '@aovpn/bytes';
import { readUri } from './announcement.ts';

/** RFC 2132 and RFC 8910 §2.1: the options that we know. */
const option = { pad: 0, requestList: 55, messageType: 53, captivePortal: 114, end: 255 } as const;
const messageType = { ack: 5, inform: 8 } as const;
const magic = [99, 130, 83, 99] as const;
const optionsAt = 240;

/** DHCPINFORM (RFC 2131 §3.4): a machine that has an address asks for the captive portal only. */
export function encodeDhcpInform(transaction: number, address: IpAddress, hardware: Uint8Array): Uint8Array {
  const message = new Uint8Array(optionsAt + 64);
  const view = new DataView(message.buffer);
  message.set([1, 1, 6, 0]);
  view.setUint32(4, transaction);
  message.set(address.bytes, 12);
  message.set(hardware.subarray(0, 6), 28);
  message.set(magic, 236);
  message.set([option.messageType, 1, messageType.inform, option.requestList, 1, option.captivePortal, option.end], optionsAt);
  return message;
}

/** The portal's URI in the answer to our transaction; undefined when this is not that, or says nothing of a portal. */
export function readDhcpPortal(message: Uint8Array, transaction: number): string | undefined {
  if (message.length < optionsAt || message[0] !== 2) return undefined;
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  if (view.getUint32(4) !== transaction || magic.some((octet, i) => message[236 + i] !== octet)) return undefined;
  let type: number | undefined;
  // RFC 3396: an option that comes several times is one long one.
  const parts: number[] = [];
  for (let at = optionsAt; at < message.length && message[at] !== option.end;) {
    if (message[at] === option.pad) {
      at++;
      continue;
    }
    const length = message[at + 1];
    if (length === undefined || at + 2 + length > message.length) return undefined;
    const value = message.subarray(at + 2, at + 2 + length);
    if (message[at] === option.messageType) type = value[0];
    if (message[at] === option.captivePortal) parts.push(...value);
    at += 2 + length;
  }
  return type === messageType.ack ? readUri(Uint8Array.from(parts)) : undefined;
}
