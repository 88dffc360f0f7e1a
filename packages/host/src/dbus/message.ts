import { marshal, unmarshal, type DbusValue, type DbusVariant } from './marshal.ts';

/** D-Bus specification, "Message Types". */
export const messageType = { methodCall: 1, methodReturn: 2, error: 3, signal: 4 } as const;

/** "Header Fields". */
const field = {
  path: 1,
  interface: 2,
  member: 3,
  errorName: 4,
  replySerial: 5,
  destination: 6,
  sender: 7,
  signature: 8,
} as const;

export interface MethodCall {
  readonly destination: string;
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly signature: string;
  readonly body: readonly DbusValue[];
}

export interface IncomingDbusMessage {
  readonly type: number;
  readonly path: string | undefined;
  readonly interface: string | undefined;
  readonly member: string | undefined;
  /** Written by the bus, never by who sent it. */
  readonly sender: string | undefined;
  readonly replySerial: number | undefined;
  readonly errorName: string | undefined;
  readonly signature: string;
  /** Little- or big-endian as the sender likes; a copy, to be overwritten when it holds a secret. */
  readonly body: Uint8Array;
  readonly littleEndian: boolean;
}

/** Larger than any message that is of use here. */
export const maxMessageBytes = 1 << 20;
/** D-Bus specification, "Message Format": of a whole message, and of its header fields. */
const longestMessage = 1 << 27;
const longestFields = 1 << 26;
const fixedHeader = 16;

export function encodeCall(serial: number, call: MethodCall): Uint8Array {
  const body = marshal(call.signature, call.body);
  const fields: [number, DbusVariant][] = [
    [field.path, { signature: 'o', value: call.path }],
    [field.interface, { signature: 's', value: call.interface }],
    [field.member, { signature: 's', value: call.member }],
    [field.destination, { signature: 's', value: call.destination }],
    ...(call.signature === '' ? [] : [[field.signature, { signature: 'g', value: call.signature }] as [number, DbusVariant]]),
  ];
  const header = marshal('yyyyuua(yv)', [0x6c, messageType.methodCall, 0, 1, body.length, serial, fields]);
  const padded = Math.ceil(header.length / 8) * 8;
  const message = new Uint8Array(padded + body.length);
  message.set(header);
  message.set(body, padded);
  body.fill(0);
  return message;
}

/** Octets of the message that begins here, once enough of it is there; it may be longer than {@link maxMessageBytes}. @throws {RangeError} */
export function messageLength(octets: Uint8Array): number | undefined {
  if (octets.length < fixedHeader) return undefined;
  const view = new DataView(octets.buffer, octets.byteOffset, octets.byteLength);
  const little = endianness(octets);
  if (octets[3] !== 1) throw new RangeError(`D-Bus version ${octets[3]}`);
  const fields = view.getUint32(12, little);
  const body = view.getUint32(4, little);
  const length = Math.ceil((fixedHeader + fields) / 8) * 8 + body;
  if (fields > longestFields || length > longestMessage) throw new RangeError('a message longer than D-Bus has');
  return length;
}

/** Whether the message that begins here answers nothing of ours: anybody on the bus may send such, of any length and any content. */
export function isUnasked(octets: Uint8Array): boolean {
  return octets[1] !== messageType.methodReturn && octets[1] !== messageType.error;
}

/** One whole message. @throws {RangeError} */
export function decodeMessage(octets: Uint8Array): IncomingDbusMessage {
  const littleEndian = endianness(octets);
  const view = new DataView(octets.buffer, octets.byteOffset, octets.byteLength);
  const end = fixedHeader + view.getUint32(12, littleEndian);
  const [, type, , , , , fields] = unmarshal('yyyyuua(yv)', octets.subarray(0, end), littleEndian);
  const of = (code: number): DbusValue | undefined => {
    const found = (fields as readonly (readonly [number, DbusVariant])[]).find(([which]) => which === code);
    return found?.[1].value;
  };
  const text = (code: number): string | undefined => {
    const value = of(code);
    return typeof value === 'string' ? value : undefined;
  };
  const replySerial = of(field.replySerial);
  return {
    type: type as number,
    path: text(field.path),
    interface: text(field.interface),
    member: text(field.member),
    sender: text(field.sender),
    replySerial: typeof replySerial === 'number' ? replySerial : undefined,
    errorName: text(field.errorName),
    signature: text(field.signature) ?? '',
    body: octets.slice(Math.ceil(end / 8) * 8),
    littleEndian,
  };
}

function endianness(octets: Uint8Array): boolean {
  if (octets[0] === 0x6c) return true;
  if (octets[0] === 0x42) return false;
  throw new RangeError('neither little- nor big-endian');
}
