import { createHash, createHmac, randomBytes } from 'node:crypto';

/** RADIUS packets (RFC 2865), written apart from any product code: enough to stand between a gateway and a server, or to play a server. */
export interface RadiusPacket {
  readonly code: number;
  readonly identifier: number;
  readonly authenticator: Buffer;
  readonly attributes: readonly RadiusAttribute[];
}

export interface RadiusAttribute {
  readonly type: number;
  readonly value: Buffer;
}

export const radiusCode = { request: 1, accept: 2, reject: 3, challenge: 11 } as const;
export const radiusType = { userName: 1, state: 24, vendor: 26, eapMessage: 79, messageAuthenticator: 80 } as const;
const microsoft = 311;
const mppeKeys = { send: 16, receive: 17 } as const;

export function parseRadius(datagram: Buffer): RadiusPacket {
  const end = Math.min(datagram.length, datagram.readUInt16BE(2));
  const attributes: RadiusAttribute[] = [];
  for (let at = 20; at + 2 <= end && datagram[at + 1]! >= 2; at += datagram[at + 1]!) {
    attributes.push({ type: datagram[at]!, value: datagram.subarray(at + 2, at + datagram[at + 1]!) });
  }
  return { code: datagram[0]!, identifier: datagram[1]!, authenticator: datagram.subarray(4, 20), attributes };
}

export function attributeOf(packet: RadiusPacket, type: number): Buffer | undefined {
  return packet.attributes.find((attribute) => attribute.type === type)?.value;
}

/** The EAP packet inside, of however many attributes (RFC 3579 §3.1). */
export function eapOf(packet: RadiusPacket): Buffer {
  return Buffer.concat(packet.attributes.filter(({ type }) => type === radiusType.eapMessage).map(({ value }) => value));
}

export function eapAttributes(eap: Buffer): RadiusAttribute[] {
  const attributes: RadiusAttribute[] = [];
  for (let at = 0; at < eap.length; at += 253) {
    attributes.push({ type: radiusType.eapMessage, value: eap.subarray(at, at + 253) });
  }
  return attributes;
}

/** An answer to a request, with both authenticators (RFC 2865 §3, RFC 3579 §3.2). Keys for the gateway go in as `msk`. */
export function writeAnswer(
  request: RadiusPacket,
  secret: string,
  answer: { readonly code: number; readonly attributes: readonly RadiusAttribute[]; readonly msk?: Buffer },
): Buffer {
  const attributes = answer.attributes.filter(({ type }) => type !== radiusType.messageAuthenticator);
  if (answer.msk) {
    attributes.push(
      mppeKey(mppeKeys.receive, answer.msk.subarray(0, 32), request, secret),
      mppeKey(mppeKeys.send, answer.msk.subarray(32, 64), request, secret),
    );
  }
  const zeros = { type: radiusType.messageAuthenticator, value: Buffer.alloc(16) };
  const body = Buffer.concat([zeros, ...attributes].map(({ type, value }) => Buffer.from([type, value.length + 2, ...value])));
  const packet = Buffer.alloc(20 + body.length);
  packet[0] = answer.code;
  packet[1] = request.identifier;
  packet.writeUInt16BE(packet.length, 2);
  request.authenticator.copy(packet, 4);
  body.copy(packet, 20);
  createHmac('md5', secret).update(packet).digest().copy(packet, 22);
  createHash('md5').update(packet).update(secret).digest().copy(packet, 4);
  return packet;
}

/** The keys of an Access-Accept, deciphered with the authenticator of the request that it answers. */
export function mskOf(packet: RadiusPacket, request: RadiusPacket, secret: string): Buffer | undefined {
  const key = (kind: number): Buffer | undefined => {
    const found = packet.attributes.find(
      ({ type, value }) => type === radiusType.vendor && value.readUInt32BE(0) === microsoft && value[4] === kind,
    );
    if (!found) return undefined;
    const salt = found.value.subarray(6, 8);
    const plain = chain(found.value.subarray(8), Buffer.concat([request.authenticator, salt]), secret, 'open');
    return plain.subarray(1, 1 + plain[0]!);
  };
  const [receive, send] = [key(mppeKeys.receive), key(mppeKeys.send)];
  return receive && send && Buffer.concat([receive, send]);
}

/** Without Microsoft's key attributes, which only their own request can open. */
export function withoutKeys(attributes: readonly RadiusAttribute[]): RadiusAttribute[] {
  return attributes.filter(
    ({ type, value }) =>
      type !== radiusType.vendor ||
      value.readUInt32BE(0) !== microsoft ||
      (value[4] !== mppeKeys.send && value[4] !== mppeKeys.receive),
  );
}

/** RFC 2548 §2.4.2. */
function mppeKey(kind: number, key: Buffer, request: RadiusPacket, secret: string): RadiusAttribute {
  const salt = randomBytes(2);
  salt[0]! |= 0x80;
  const plain = Buffer.alloc(Math.ceil((1 + key.length) / 16) * 16);
  plain[0] = key.length;
  key.copy(plain, 1);
  const sealed = Buffer.concat([salt, chain(plain, Buffer.concat([request.authenticator, salt]), secret, 'seal')]);
  const head = Buffer.alloc(6);
  head.writeUInt32BE(microsoft, 0);
  head[4] = kind;
  head[5] = sealed.length + 2;
  return { type: radiusType.vendor, value: Buffer.concat([head, sealed]) };
}

function chain(input: Buffer, first: Buffer, secret: string, way: 'seal' | 'open'): Buffer {
  const output = Buffer.alloc(input.length);
  let last = first;
  for (let at = 0; at < input.length; at += 16) {
    const mask = createHash('md5').update(secret).update(last).digest();
    for (let index = 0; index < 16; index++) output[at + index] = input[at + index]! ^ mask[index]!;
    last = (way === 'seal' ? output : input).subarray(at, at + 16);
  }
  return output;
}
