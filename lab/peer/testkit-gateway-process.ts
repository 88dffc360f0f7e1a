// Program: the testkit's IKEv2 responder on UDP ports 500 and 4500 and TCP port 4500, with userspace ESP that echoes what it can answer by itself.
// Standard input: a line of GatewayProcessSettings, then lines of GatewayCommand, all JSON. Standard output: what happened, a line each.
import { Buffer } from 'node:buffer';
import { execFileSync } from 'node:child_process';
import { createHash, createPrivateKey, type KeyObject, sign, X509Certificate } from 'node:crypto';
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import process from 'node:process';
import { createServer, type Socket as TcpSocket } from 'node:net';
import { createInterface } from 'node:readline';
import { readStream, streamFrame, streamPrefix } from '@aovpn/esp';
import { decodeHeader, encodeMessage, type DecodedHeader } from '@aovpn/ike';
import { openTunDevice } from '../../packages/host/src/data-plane/tun-device.ts';
import { libc, watchReadable } from '../../packages/host/src/sys/index.ts';
import { describe } from '../../packages/ike/testkit/assertion.ts';
import { Responder } from '../../packages/ike/testkit/responder.ts';
import type { ResponderOptions } from '../../packages/ike/testkit/responder-options.ts';
import type { ResponderCredentials } from '../../packages/ike/testkit/responder-auth.ts';
import { crashAnswer, TicketStore } from '../../packages/ike/testkit/responder-memory.ts';
import { createTestCrypto } from '../../packages/ike/testkit/test-crypto.ts';
import { EchoEsp } from './echo-esp.ts';

/** Options of the responder as far as JSON can hold them; octets are `{ "hex": "…" }`. */
export type JsonResponderOptions = Omit<
  ResponderOptions,
  'impair' | 'eapServer' | 'credentials' | 'tickets' | 'changeIntAuth'
> & {
  /** Grants tickets that are good for so long, seconds; `forget` does not forget them. */
  readonly ticketLifetime?: number;
};

export interface GatewayProcessSettings {
  readonly addresses: readonly string[];
  readonly name: string;
  /** PEM, leaf first. */
  readonly certificates: readonly string[];
  readonly key: string;
  /** PEM: who may issue the certificates of clients. */
  readonly authorities: readonly string[];
  readonly user: string;
  readonly password: string;
  readonly options: JsonResponderOptions;
  /** Packets of the tunnel are routed on by this machine, instead of answered: to and from these inner addresses, a prefix as text. */
  readonly route?: string;
}

export type GatewayCommand =
  /** For every IKE SA that is made from now on. */
  | { readonly op: 'options'; readonly options: JsonResponderOptions }
  /** Every SA is gone, as after a crash. */
  | { readonly op: 'forget' }
  /** Every TCP connection is gone. */
  | { readonly op: 'cut' }
  | { readonly op: 'rekey-ike' | 'rekey-child' | 'delete-ike' }
  /** Nothing that comes in is heard. */
  | { readonly op: 'deaf'; readonly deaf: boolean }
  /** Where its own ESP goes: always to the peer's address; or for good to where a CHILD_SA, or the IKE SA, was first heard from. */
  | { readonly op: 'esp-stays'; readonly with: EspStays };

export type EspStays = 'nothing' | 'child' | 'ike';

/** A UDP socket, or a TCP connection that looks like one. */
type Outlet = Pick<Socket, 'send'>;

/** An IKE SA with where its client was heard last. */
interface Conversation {
  readonly responder: Responder;
  socket: Outlet;
  client: RemoteInfo;
  marked: boolean;
  heard: number;
  /** Where its first ESP came from. */
  firstEsp?: RemoteInfo;
}

const nonEspMarker = Buffer.alloc(4);
const lines = createInterface({ input: process.stdin });
const settings = parse(await new Promise<string>((resolve) => lines.once('line', resolve))) as GatewayProcessSettings;
const crypto = createTestCrypto();
const esp = new EchoEsp();
const credentials = readCredentials(settings);
const conversations = new Map<string, Conversation>();
let { options } = settings;
let tickets = new TicketStore(options.ticketLifetime ?? 0);
let deaf = false;
let espStays: EspStays = 'nothing';
/** By `spiOut` of a CHILD_SA. */
const firstHeard = new Map<number, RemoteInfo>();
const routed = settings.route === undefined ? undefined : openRoute(settings.route);

const listening: Promise<unknown>[] = [];
for (const address of settings.addresses) {
  for (const port of [500, 4500]) {
    // ESP waits here while keys are made, which this process does itself.
    const socket = createSocket({ type: address.includes(':') ? 'udp6' : 'udp4', reuseAddr: true, recvBufferSize: 1 << 20 });
    socket.on('message', (datagram, from) => {
      if (!deaf) receive(socket, datagram, from, port === 4500);
    });
    listening.push(new Promise<void>((resolve) => socket.bind({ port, address }, resolve)));
  }
}
const streams = new Set<TcpSocket>();
for (const address of settings.addresses) {
  const server = createServer((stream) => listenTo(stream));
  listening.push(new Promise<void>((resolve) => server.listen(4500, address, resolve)));
}
await Promise.all(listening);
setInterval(() => {
  for (const conversation of conversations.values()) {
    conversation.responder.retransmit();
    flush(conversation);
  }
}, 1000);
lines.on('line', (line) => command(parse(line) as GatewayCommand)).on('close', () => process.exit(0));
say('ready');

/** RFC 9329: the prefix, then frames. */
function listenTo(stream: TcpSocket): void {
  streams.add(stream);
  const from = { address: stream.remoteAddress!, port: stream.remotePort!, family: 'IPv4', size: 0 } as const;
  const outlet = { send: (octets: Uint8Array) => stream.write(streamFrame(octets)) } as unknown as Outlet;
  let buffered: Uint8Array = new Uint8Array(0);
  let begun = false;
  stream.on('error', () => undefined).on('close', () => streams.delete(stream));
  stream.on('data', (octets) => {
    buffered = Buffer.concat([buffered, octets]);
    if (!begun) {
      if (buffered.length < streamPrefix.length) return;
      if (Buffer.compare(buffered.subarray(0, streamPrefix.length), streamPrefix) !== 0) return void stream.destroy();
      begun = true;
      say(`stream from ${from.address}`);
      buffered = buffered.subarray(streamPrefix.length);
    }
    const { messages, rest, problem } = readStream(buffered);
    buffered = rest;
    for (const message of messages) if (!deaf) receive(outlet, Buffer.from(message), from, true);
    if (problem !== undefined) stream.destroy();
  });
}

function receive(socket: Outlet, datagram: Buffer, from: RemoteInfo, shared: boolean): void {
  if (shared && datagram.length === 1) return;
  const marked = shared && datagram.length > 4 && datagram.subarray(0, 4).equals(nonEspMarker);
  if (shared && !marked) return receiveEsp(socket, datagram, from);
  const message = Uint8Array.from(marked ? datagram.subarray(4) : datagram);
  const header = decodeHeader(message);
  if (!header) return;
  const conversation = conversationOf(header, socket, from, marked);
  if (!conversation) return answerStranger(socket, header, from, marked);
  Object.assign(conversation, { socket, client: from, marked });
  try {
    conversation.responder.receive(message);
  } catch (error) {
    say(`error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  }
  flush(conversation);
}

/** By either side's first SPI: an IKE SA that was rekeyed has others, and its responder knows them. */
function conversationOf(header: DecodedHeader, socket: Outlet, client: RemoteInfo, marked: boolean): Conversation | undefined {
  const known = [...conversations.values()].find(({ responder }) =>
    responder.ikes.some(({ spiI }) => Buffer.compare(spiI, header.spiI) === 0),
  );
  const key = hex(header.spiI);
  const first = known ?? conversations.get(key);
  if (first || header.response || header.messageId !== 0) return first;
  const { ticketLifetime, ...others } = options;
  const responder = new Responder(crypto, { ...others, credentials, ...(ticketLifetime && { tickets }) });
  const made: Conversation = { responder, socket, client, marked, heard: 0 };
  conversations.set(key, made);
  return made;
}

/** Of an IKE SA that this gateway knows nothing of (RFC 7296 §1.5, RFC 6290 §4.5). */
function answerStranger(socket: Outlet, header: DecodedHeader, from: RemoteInfo, marked: boolean): void {
  say(`no IKE SA ${hex(header.spiI)}`);
  if (header.response) return;
  const datagram = encodeMessage({
    header: { ...header, fromInitiator: false, response: true },
    payloads: crashAnswer(crypto, header, options.crashSecret),
  });
  socket.send(marked ? Buffer.concat([nonEspMarker, datagram]) : datagram, from.port, from.address);
}

function flush(conversation: Conversation): void {
  const { responder, socket, client, marked } = conversation;
  for (const message of responder.heard.slice(conversation.heard)) say(`heard ${describe(message)}`);
  conversation.heard = responder.heard.length;
  for (const datagram of responder.take()) {
    say(`sends ${datagram.length} octets to ${client.address}:${client.port}`);
    socket.send(marked ? Buffer.concat([nonEspMarker, datagram]) : datagram, client.port, client.address);
  }
}

function receiveEsp(socket: Outlet, datagram: Buffer, from: RemoteInfo): void {
  for (const conversation of conversations.values()) {
    const child = conversation.responder.children.get(datagram.readUInt32BE(0));
    if (!child) continue;
    conversation.firstEsp ??= from;
    if (!firstHeard.has(child.spiOut)) firstHeard.set(child.spiOut, from);
    if (routed) {
      const inner = esp.open(child, datagram);
      if (inner) routed.send(inner);
      return;
    }
    const answer = esp.answer(child, datagram);
    const to = { nothing: from, child: firstHeard.get(child.spiOut)!, ike: conversation.firstEsp }[espStays];
    if (answer) socket.send(answer, to.port, to.address);
    return;
  }
}

/** A TUN device that the packets of the newest tunnel come out of and go into. */
function openRoute(prefix: string): { send(packet: Buffer): void } {
  const { fd, name } = openTunDevice('inner0', 1400, false);
  execFileSync('ip', ['link', 'set', name, 'up']);
  execFileSync('ip', ['route', 'add', prefix, 'dev', name]);
  const packet = new Uint8Array(65_536);
  const place = libc.addressOf(packet);
  watchReadable(fd, () => {
    for (let length: number; (length = libc.read(fd, place, packet.length)) > 0;) {
      const newest = [...conversations.values()].findLast(({ responder }) => !responder.closed && responder.children.size > 0);
      const child = newest && [...newest.responder.children.values()].at(-1);
      if (!child) continue;
      const { socket, client } = newest;
      socket.send(esp.seal(child, Buffer.from(packet.subarray(0, length))), client.port, client.address);
    }
  });
  return {
    send: (inner) => {
      const copy = Uint8Array.from(inner);
      libc.write(fd, libc.addressOf(copy), copy.length);
    },
  };
}

function command(order: GatewayCommand): void {
  // A client that races servers asks strangers with an IKE_SA_INIT alone: such a conversation has no children.
  const newest = [...conversations.values()].findLast(({ responder }) => !responder.closed && responder.children.size > 0);
  switch (order.op) {
    case 'options':
      ({ options } = order);
      tickets = new TicketStore(options.ticketLifetime ?? 0);
      break;
    case 'forget':
      conversations.clear();
      break;
    case 'cut':
      for (const stream of streams) stream.destroy();
      break;
    case 'deaf':
      ({ deaf } = order);
      break;
    case 'esp-stays':
      espStays = order.with;
      break;
    case 'rekey-ike':
      newest?.responder.rekeyIke();
      break;
    case 'rekey-child':
      newest?.responder.rekeyChild([...newest.responder.children.values()].at(-1)!);
      break;
    case 'delete-ike':
      newest?.responder.deleteIke();
      break;
  }
  if (newest) flush(newest);
  say(`done ${JSON.stringify(order)}`);
}

function readCredentials({ name, certificates, key, authorities, user, password }: GatewayProcessSettings): ResponderCredentials {
  const privateKey = createPrivateKey(key);
  const issuers = authorities.map((pem) => new X509Certificate(pem));
  return {
    name,
    certificates: certificates.map((pem) => Uint8Array.from(new X509Certificate(pem).raw)),
    spki: spkiOf(new X509Certificate(certificates[0]!).publicKey),
    sign: (data) => new Uint8Array(sign('sha256', data, privateKey)),
    clientSpki(octets) {
      const certificate = new X509Certificate(octets);
      const issued = issuers.some((issuer) => certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey));
      return issued ? spkiOf(certificate.publicKey) : undefined;
    },
    authorities: Buffer.concat(issuers.map(({ publicKey }) => createHash('sha1').update(spkiOf(publicKey)).digest())),
    user,
    password,
  };
}

function spkiOf(key: KeyObject): Uint8Array {
  return Uint8Array.from(key.export({ type: 'spki', format: 'der' }));
}

function parse(text: string): unknown {
  return JSON.parse(text, (_, value: unknown) =>
    typeof value === 'object' && value !== null && 'hex' in value
      ? Uint8Array.from(Buffer.from(String(value.hex), 'hex'))
      : value,
  );
}

function hex(octets: Uint8Array): string {
  return Buffer.from(octets).toString('hex');
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
