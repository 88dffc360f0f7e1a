import type { TraceMessage } from '@aovpn/api';
import { formatAddress } from '@aovpn/bytes';
import type { OuterPath } from '@aovpn/esp';
import { outlinePayloads, type MessageRecord } from '@aovpn/ike';
import type { Log } from './log.ts';

/** Messages that are kept for each connection, and octets of their JSON: what a peer sends cannot fill the memory. */
const keptMessages = 500;
const keptOctets = 512 * 1024;
/** Connections that are kept; the one that has been silent for longest goes first. */
const keptConnections = 64;
/** Requests whose answer is awaited, for one line an exchange. */
const keptRequests = 32;

interface Ring {
  readonly messages: { readonly message: TraceMessage; readonly octets: number }[];
  octets: number;
  readonly requests: Map<string, { readonly message: TraceMessage; again: number }>;
}

export interface MessageTraceOptions {
  readonly log: Log;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
}

/** The last IKE messages of every connection, for `aovpn trace`, and a line of the log for every exchange. */
export class MessageTrace {
  readonly #options: MessageTraceOptions;
  readonly #rings = new Map<string, Ring>();
  readonly #followers = new Set<(message: TraceMessage) => void>();

  constructor(options: MessageTraceOptions) {
    this.#options = options;
  }

  record(connection: string, record: MessageRecord, path: OuterPath | undefined): void {
    const { log, clock } = this.#options;
    const now = clock();
    log.inOrder(() => this.#take(connection, record, path, now));
  }

  #take(connection: string, record: MessageRecord, path: OuterPath | undefined, now: number): void {
    const { header, ...rest } = record;
    const message: TraceMessage = {
      kind: 'message',
      at: new Date(now).toISOString(),
      connection,
      ...(path && {
        local: place(path.local, path.localPort),
        remote: place(path.remote, path.remotePort),
      }),
      ...rest,
      ...header,
    };
    const ring = this.#ring(connection);
    this.#keep(ring, message);
    for (const follower of this.#followers) follower(message);
    this.#logExchange(ring, message, now);
  }

  /** What is still known, oldest first. */
  recent(connection?: string): readonly TraceMessage[] {
    this.#options.log.flush();
    const rings = connection === undefined ? [...this.#rings.values()] : [this.#rings.get(connection)];
    const messages = rings.flatMap((ring) => ring?.messages.map(({ message }) => message) ?? []);
    return messages.toSorted((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
  }

  follow(follower: (message: TraceMessage) => void): () => void {
    this.#followers.add(follower);
    return () => this.#followers.delete(follower);
  }

  #ring(connection: string): Ring {
    const ring = this.#rings.get(connection) ?? { messages: [], octets: 0, requests: new Map() };
    this.#rings.delete(connection);
    this.#rings.set(connection, ring);
    if (this.#rings.size > keptConnections) this.#rings.delete(this.#rings.keys().next().value!);
    return ring;
  }

  /** A flood of what is dropped for one reason is one message, so that it does not push out what matters. */
  #keep(ring: Ring, message: TraceMessage): void {
    const last = ring.messages.at(-1);
    let kept = message;
    if (last && message.outcome === 'dropped' && isAlike(last.message, message)) {
      ring.messages.pop();
      ring.octets -= last.octets;
      kept = { ...message, times: (last.message.times ?? 1) + 1 };
    }
    const octets = JSON.stringify(kept).length;
    ring.messages.push({ message: kept, octets });
    ring.octets += octets;
    while (ring.messages.length > keptMessages || (ring.octets > keptOctets && ring.messages.length > 1))
      ring.octets -= ring.messages.shift()!.octets;
  }

  #logExchange(ring: Ring, message: TraceMessage, now: number): void {
    const { exchange, response, outcome, direction } = message;
    if (exchange === undefined || outcome === 'dropped' || outcome === 'fragment') return;
    const asker = (direction === 'out') === !response ? 'ours' : 'theirs';
    const key = `${message.spiI} ${exchange === 'IKE_SA_INIT' ? '' : message.spiR} ${asker} ${message.messageId}`;
    const asked = ring.requests.get(key);
    if (outcome === 'again') {
      if (asked) asked.again++;
      return;
    }
    if (outcome === 'repeated') return;
    if (!response) {
      ring.requests.set(key, { message, again: 0 });
      if (ring.requests.size > keptRequests) ring.requests.delete(ring.requests.keys().next().value!);
      return;
    }
    ring.requests.delete(key);
    if (!asked) return;
    const text = exchangeLine(asked.message, message, asked.again);
    // A probe and its answer say nothing but that both are there.
    const isProbe = asked.message.payloads.length === 0 && message.payloads.length === 0;
    this.#options.log.write(isProbe ? 'debug' : 'info', text, message.connection, now);
  }
}

function exchangeLine(request: TraceMessage, response: TraceMessage, again: number): string {
  const arrow = request.direction === 'out' ? ['-->', '<--'] : ['<--', '-->'];
  const took = response.tookMs === undefined ? [] : [`${Math.round(response.tookMs)} ms`];
  const repeated = again === 0 ? [] : [`sent ${again + 1} times`];
  const unproven = response.outcome === 'unproven' ? ['not proven yet'] : [];
  const facts = [...took, ...repeated, ...unproven];
  return [
    `${request.exchange} ${request.messageId}`,
    arrow[0],
    outlinePayloads(request.payloads) || '(empty)',
    arrow[1],
    outlinePayloads(response.payloads) || '(empty)',
    ...(facts.length > 0 ? [`(${facts.join(', ')})`] : []),
  ].join(' ');
}

function isAlike(a: TraceMessage, b: TraceMessage): boolean {
  return a.outcome === b.outcome && a.why === b.why && a.exchange === b.exchange && a.direction === b.direction;
}

function place(address: OuterPath['local'], port: number): string {
  return address.family === 4 ? `${formatAddress(address)}:${port}` : `[${formatAddress(address)}]:${port}`;
}
