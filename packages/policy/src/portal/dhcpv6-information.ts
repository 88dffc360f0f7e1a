import { readUri } from './announcement.ts';

/** RFC 8415 §7.3, §21 and RFC 8910 §2.2. */
const messageType = { reply: 7, informationRequest: 11 } as const;
const option = { clientId: 1, requestList: 6, elapsedTime: 8, captivePortal: 103 } as const;

/** Information-request (RFC 8415 §18.2.6). @param transaction 24 bits @param hardware of the link, for the identifier of §11.4 */
export function encodeInformationRequest(transaction: number, hardware: Uint8Array): Uint8Array {
  const identifier = [0, 3, 0, 1, ...hardware];
  return Uint8Array.from([
    messageType.informationRequest,
    (transaction >> 16) & 0xff,
    (transaction >> 8) & 0xff,
    transaction & 0xff,
    ...encodeOption(option.clientId, identifier),
    ...encodeOption(option.elapsedTime, [0, 0]),
    ...encodeOption(option.requestList, [0, option.captivePortal]),
  ]);
}

/** The portal's URI in the answer to our transaction; undefined when this is not that, or says nothing of a portal. */
export function readDhcpv6Portal(message: Uint8Array, transaction: number): string | undefined {
  if (message.length < 4 || message[0] !== messageType.reply) return undefined;
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  if ((view.getUint32(0) & 0xff_ffff) !== transaction) return undefined;
  for (let at = 4; at + 4 <= message.length;) {
    const length = view.getUint16(at + 2);
    if (at + 4 + length > message.length) return undefined;
    if (view.getUint16(at) === option.captivePortal) return readUri(message.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return undefined;
}

function encodeOption(code: number, value: readonly number[]): readonly number[] {
  return [0, code, 0, value.length, ...value];
}
