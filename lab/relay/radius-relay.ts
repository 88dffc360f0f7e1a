// Program: stands between a gateway and a RADIUS server, and holds back or swallows answers. A second factor, as far as anybody else can see, is
// an answer that comes late: in silence, or with EAP notifications meanwhile. Argument: JSON of RadiusRelayPlace. Standard input: NDJSON of
// RadiusRelaySettings; each line replaces the last.
import { createSocket, type RemoteInfo } from 'node:dgram';
import process from 'node:process';
import { createInterface } from 'node:readline';
import {
  attributeOf,
  eapAttributes,
  eapOf,
  mskOf,
  parseRadius,
  radiusCode,
  type RadiusPacket,
  radiusType,
  withoutKeys,
  writeAnswer,
} from './radius-packet.ts';

export interface RadiusRelayPlace {
  readonly port: number;
  readonly server: { readonly address: string; readonly port: number; readonly secret: string };
}

export interface RadiusRelaySettings {
  /** No answer reaches the gateway. */
  readonly silent?: boolean;
  /** Which answer of each conversation waits: the last one, or the one of this number (1: the answer to the identity). */
  readonly hold?: { readonly answer: 'accept' | number; readonly ms: number };
  /** While it waits the peer hears this every so often, in EAP-Request/Notification (RFC 3748 §5.2). */
  readonly notify?: { readonly text: string; readonly everyMs: number };
}

/** A request that the gateway has sent, and how to answer it. */
interface Asked {
  readonly packet: RadiusPacket;
  readonly from: RemoteInfo;
}

/** An answer that waits. */
interface Held {
  readonly answer: RadiusPacket;
  readonly request: RadiusPacket;
  readonly until: number;
  /** As the settings were when it began to wait. */
  readonly notify: NonNullable<RadiusRelaySettings['notify']>;
  notified: number;
}

const { port, server } = JSON.parse(process.argv[2]!) as RadiusRelayPlace;
let settings: RadiusRelaySettings = {};
const front = createSocket('udp4');
/** What the gateway repeats is known by this key, while it waits and afterwards. */
const underWay = new Set<string>();
const answered = new Map<string, Buffer>();
/** By the State that we gave out with a notification. */
const held = new Map<string, Held>();
let answers = 0;

front.on('message', (datagram, from) => {
  const packet = parseRadius(datagram);
  const key = keyOf({ packet, from });
  const before = answered.get(key);
  if (before) return front.send(before, from.port, from.address);
  if (underWay.has(key)) return;
  const asked = { packet, from };
  underWay.add(key);
  if (!attributeOf(packet, radiusType.state)) answers = 0;
  const state = attributeOf(packet, radiusType.state)?.toString('latin1') ?? '';
  const waiting = held.get(state);
  if (waiting) {
    held.delete(state);
    return void setTimeout(
      () => keepWaiting(asked, waiting),
      Math.max(0, Math.min(waiting.notify.everyMs, waiting.until - Date.now())),
    );
  }
  const back = createSocket('udp4');
  back.on('message', (answer) => {
    back.close();
    if (!settings.silent) pass(asked, parseRadius(answer), answer);
  });
  back.send(datagram, server.port, server.address);
});

function pass(asked: Asked, answer: RadiusPacket, datagram: Buffer): void {
  const { hold, notify } = settings;
  answers++;
  const waits = hold && (hold.answer === 'accept' ? answer.code === radiusCode.accept : answers === hold.answer);
  if (!waits) return reply(asked, datagram);
  process.stdout.write('holding\n');
  if (!notify) return void setTimeout(() => reply(asked, datagram), hold.ms);
  keepWaiting(asked, { answer, request: asked.packet, until: Date.now() + hold.ms, notify, notified: 0 });
}

/** Answers with one more notification, or at last with what was held. */
function keepWaiting(asked: Asked, waiting: Held): void {
  const { answer, request, until } = waiting;
  const last = eapOf(asked.packet)[1]!;
  if (Date.now() >= until) {
    const eap = Buffer.from(eapOf(answer));
    // A Success or Failure bears the number of the response before it (RFC 3748 §4.2).
    if (answer.code !== radiusCode.challenge) eap[1] = last;
    const msk = mskOf(answer, request, server.secret);
    const attributes = [
      ...withoutKeys(answer.attributes).filter(({ type }) => type !== radiusType.eapMessage),
      ...eapAttributes(eap),
    ];
    return reply(asked, writeAnswer(asked.packet, server.secret, { code: answer.code, attributes, ...(msk && { msk }) }));
  }
  const text = Buffer.from(waiting.notify.text, 'utf8');
  // Far from the numbers that the server counts up.
  const eap = Buffer.concat([Buffer.from([1, (last + 101) & 0xff, 0, 0, 2]), text]);
  eap.writeUInt16BE(eap.length, 2);
  const state = `relay ${++waiting.notified} ${until}`;
  held.set(state, waiting);
  const attributes = [{ type: radiusType.state, value: Buffer.from(state, 'latin1') }, ...eapAttributes(eap)];
  reply(asked, writeAnswer(asked.packet, server.secret, { code: radiusCode.challenge, attributes }));
}

function reply(asked: Asked, datagram: Buffer): void {
  const key = keyOf(asked);
  front.send(datagram, asked.from.port, asked.from.address);
  underWay.delete(key);
  answered.set(key, datagram);
}

function keyOf({ packet, from }: Asked): string {
  return `${from.port} ${packet.identifier} ${packet.authenticator.toString('hex')}`;
}

createInterface({ input: process.stdin })
  .on('line', (line) => {
    settings = JSON.parse(line) as RadiusRelaySettings;
    process.stdout.write('set\n');
  })
  .on('close', () => process.exit(0));
front.bind(port, '127.0.0.1', () => process.stdout.write('ready\n'));
