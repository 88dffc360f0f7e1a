// Program: RADIUS and EAP-TLS (RFC 3579, RFC 5216) in front of `openssl s_server`, whose TLS records it carries. Argument: JSON of OpensslFront. It never
// lets anybody in: what it is for is the alert by which TLS says why not.
import { createSocket } from 'node:dgram';
import { connect, type Socket } from 'node:net';
import process from 'node:process';
import { eapAttributes, eapOf, parseRadius, radiusCode, radiusType, writeAnswer } from '../relay/radius-packet.ts';

export interface OpensslFront {
  readonly address: string;
  readonly port: number;
  readonly secret: string;
  /** Where s_server listens on the loopback. */
  readonly tlsPort: number;
}

const { address, port, secret, tlsPort } = JSON.parse(process.argv[2]!) as OpensslFront;
const code = { request: 1, failure: 4 } as const;
const type = { identity: 1, nak: 3, tls: 13 } as const;
const flag = { length: 0x80, more: 0x40, start: 0x20 } as const;
const pieceSize = 1000;
/** s_server has said all it has to say when nothing came for so long. */
const quietMs = 60;

/** One peer after the other is enough. */
let conversation: { readonly line: Socket; heard: Buffer[]; said: Buffer; ended: boolean } | undefined;
const answered = new Map<string, Promise<Buffer>>();
const socket = createSocket('udp4');

socket.on('message', (datagram, from) => {
  const request = parseRadius(datagram);
  const key = request.authenticator.toString('hex');
  const answer = answered.get(key) ?? respond(eapOf(request)).then((eap) => seal(request, eap));
  answered.set(key, answer);
  void answer.then((packet) => socket.send(packet, from.port, from.address));
});
socket.bind(port, address, () => process.stdout.write('ready\n'));

function seal(request: ReturnType<typeof parseRadius>, eap: Buffer): Buffer {
  const isEnd = eap[0] === code.failure;
  const attributes = [...eapAttributes(eap), ...(isEnd ? [] : [{ type: radiusType.state, value: Buffer.from('openssl') }])];
  return writeAnswer(request, secret, { code: isEnd ? radiusCode.reject : radiusCode.challenge, attributes });
}

async function respond(heard: Buffer): Promise<Buffer> {
  const next = (heard[1]! + 1) & 0xff;
  if (heard[4] === type.identity) {
    conversation?.line.destroy();
    conversation = begin();
    return tlsRequest(next, flag.start, Buffer.alloc(0));
  }
  if (!conversation || heard[4] !== type.tls) return Buffer.from([code.failure, heard[1]!, 0, 4]);
  const flags = heard[5] ?? 0;
  const data = heard.subarray((flags & flag.length) === 0 ? 6 : 10);
  conversation.heard.push(data);
  if ((flags & flag.more) !== 0) return tlsRequest(next, 0, Buffer.alloc(0));
  const records = Buffer.concat(conversation.heard.splice(0));
  if (records.length > 0) await ask(records);
  const piece = conversation.said.subarray(0, pieceSize);
  conversation.said = conversation.said.subarray(piece.length);
  if (piece.length === 0 && conversation.ended) return Buffer.from([code.failure, heard[1]!, 0, 4]);
  return tlsRequest(next, conversation.said.length > 0 ? flag.more : 0, piece);
}

function begin(): NonNullable<typeof conversation> {
  const line = connect(tlsPort, '127.0.0.1');
  const begun = { line, heard: [] as Buffer[], said: Buffer.alloc(0), ended: false };
  line.on('data', (data) => (begun.said = Buffer.concat([begun.said, data])));
  line.on('close', () => (begun.ended = true)).on('error', () => undefined);
  return begun;
}

/** Hands records to s_server and waits until it has answered. */
async function ask(records: Buffer): Promise<void> {
  const { line } = conversation!;
  line.write(records);
  for (let quiet = 0, length = 0; quiet < quietMs; quiet += 10) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    if (conversation!.said.length !== length) quiet = 0;
    length = conversation!.said.length;
  }
}

function tlsRequest(identifier: number, flags: number, data: Buffer): Buffer {
  const eap = Buffer.concat([Buffer.from([code.request, identifier, 0, 0, type.tls, flags]), data]);
  eap.writeUInt16BE(eap.length, 2);
  return eap;
}
