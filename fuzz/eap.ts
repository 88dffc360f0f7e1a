// Seeded mutation fuzzer of the EAP peer: `node fuzz/eap.ts [iterations] [seed]`. It plays whole conversations of every method from the
// corpus and changes what the server says: octets on the wire, octets inside a good tunnel, fragments, order. Whatever comes, the peer
// must not throw, must keep the rules of eap-peer.ts, and must never succeed with a server that could not prove itself. An exchange that
// breaks a rule is kept in the corpus until it is mended.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { concat, toHex, Writer } from '@aovpn/bytes';
import { createIkeCrypto } from '@aovpn/host';
import { formatExchange, needsProof, readExchanges, seal, type Exchange, type Step } from './eap-exchange.ts';
import { mendEap, mutateAnywhere, mutateContent, mutateOrder, withoutProof } from './eap-mutation.ts';
import { FuzzedPeer, outerRequest, rightAnswer } from './eap-peer.ts';
import { generator } from './mutation.ts';

type Below = (limit: number) => number;
/** Called for every packet on its way to the peer. */
type Wire = (packet: Uint8Array) => Uint8Array;

/** Fragments of our own flights that are waited for. */
const flightLimit = 100;

/** A server and the peer that it talks to. */
export class Conversation {
  readonly peer: FuzzedPeer;
  readonly #exchange: Exchange;
  readonly #wire: Wire;
  #identifier = 0;

  constructor(exchange: Exchange, peer = new FuzzedPeer(exchange), wire: Wire = (packet) => packet) {
    this.#exchange = exchange;
    this.peer = peer;
    this.#wire = wire;
  }

  /** `size`: octets of TLS in one packet. */
  play(step: Step, size = 100_000): void {
    switch (step.kind) {
      case 'eap':
        this.#identifier = step.octets[1] ?? this.#identifier;
        this.peer.receive(this.#wire(step.octets));
        return;
      case 'start':
        return this.#send(Uint8Array.of(0x20));
      case 'handshake':
      case 'ticket':
      case 'data': {
        const records = seal('outer', step.kind, step.octets);
        for (const fragment of fragments(records, size)) this.#send(fragment);
        return;
      }
      case 'success':
      case 'failure':
        this.peer.receive(this.#wire(Uint8Array.of(step.kind === 'success' ? 3 : 4, this.#identifier, 0, 4)));
        return;
    }
  }

  /** A Request with this Type-Data; and acknowledgements for as long as the answer has more fragments. */
  #send(typeData: Uint8Array): void {
    let reply = this.#request(typeData);
    for (let i = 0; reply && reply.length > 5 && (reply[5]! & 0x40) !== 0; i++) {
      if (i === flightLimit) throw new Error('a flight without an end');
      reply = this.#request(Uint8Array.of(0));
    }
  }

  #request(typeData: Uint8Array): Uint8Array | undefined {
    this.#identifier = (this.#identifier + 1) & 0xff;
    return this.peer.receive(this.#wire(outerRequest(this.#exchange, this.#identifier, typeData)));
  }
}

/** Runs until done; returns how the conversations ended, and how often. @throws {FuzzFailure} */
export function fuzz(iterations: number, seed: number): Map<string, number> {
  const random = generator(seed);
  const below: Below = (limit) => Math.floor(random() * limit);
  const corpus = readExchanges().flatMap(withWrongServer);
  const everyStep = readExchanges().flatMap((exchange) => withoutProof(exchange, 'all').steps);
  const counts = new Map<string, number>();
  for (let i = 0; i < iterations; i++) {
    const original = corpus[below(corpus.length)]!;
    const exchange = { ...original, steps: mutateSteps(original, everyStep, below) };
    const packets: Uint8Array[] = [];
    try {
      const end = run(exchange, below, packets);
      counts.set(end, (counts.get(end) ?? 0) + 1);
    } catch (problem) {
      throw new FuzzFailure(exchange, packets, problem);
    }
  }
  return counts;
}

export class FuzzFailure extends Error {
  override readonly name = 'FuzzFailure';
  readonly exchange: Exchange;
  /** What went to the peer, packet by packet. */
  readonly packets: readonly Uint8Array[];

  constructor(exchange: Exchange, packets: readonly Uint8Array[], cause: unknown) {
    const sent = packets.map((packet) => toHex(packet)).join(' ');
    super(`${cause instanceof Error ? cause.message : String(cause)}; ${exchange.config} ${exchange.version}: ${sent}`, {
      cause,
    });
    this.exchange = exchange;
    this.packets = packets;
  }
}

/** Where the server has to prove something, it cannot; in PEAP it may know the password and still not have been inside. */
function withWrongServer(exchange: Exchange): Exchange[] {
  if (!needsProof(exchange.config)) return [exchange];
  const wrong = [withoutProof(exchange, 'all')];
  return exchange.config.startsWith('peap-unbound') || !exchange.config.startsWith('peap')
    ? wrong
    : [...wrong, withoutProof(exchange, 'binding')];
}

/** The beginning as it was, so that every state is reached; then something else. */
function mutateSteps(exchange: Exchange, others: readonly Step[], below: Below): Step[] {
  const { steps } = exchange;
  const from = below(steps.length);
  let rest = steps.slice(from);
  if (below(3) === 0) rest = mutateOrder(rest, others, below);
  const other = (): Uint8Array => {
    const step = others[below(others.length)]!;
    return 'octets' in step ? step.octets : new Uint8Array();
  };
  return [
    ...steps.slice(0, from),
    ...rest.map((step, index): Step => {
      if (!('octets' in step) || below(index === 0 ? 10 : 3) === 1) return step;
      const octets = mutateContent(exchange, step.octets, other(), below);
      return { ...step, octets: step.kind === 'eap' ? mendEap(octets, below) : octets };
    }),
    // The peer stays what it is, whatever comes after the end.
    ...steps.slice(-1 - below(3)),
  ];
}

function run(exchange: Exchange, below: Below, packets: Uint8Array[]): string {
  const wireFrom = below(4) === 0 ? below(exchange.steps.length * 2) : Infinity;
  const wire: Wire = (packet) => {
    const sent = packets.length >= wireFrom && below(2) === 0 ? mendEap(mutateAnywhere(packet, packet, below), below) : packet;
    packets.push(sent);
    return sent;
  };
  const peer = new FuzzedPeer(exchange, below(5) === 0 ? oddAnswer(below) : rightAnswer, below(4) === 0 ? below(5000) : 0);
  const conversation = new Conversation(exchange, peer, wire);
  for (const step of exchange.steps) {
    conversation.play(step, below(3) === 0 ? 1 + below(200) : 100_000);
    if (peer.claimed && needsProof(exchange.config)) throw new Error('succeeded with a server that proved nothing');
  }
  return peer.end ?? (peer.claimed ? 'complete' : 'open');
}

/** What a person or a broken store may answer. */
function oddAnswer(below: Below): (what: string) => Uint8Array | undefined {
  return (what) => {
    switch (below(5)) {
      case 0:
        return undefined;
      case 1:
        return new Uint8Array(0);
      case 2:
        return Uint8Array.from({ length: [1, 128, 129, 256, 1024, 1025, 70_000][below(7)]! }, () => below(256));
      default:
        return rightAnswer(what);
    }
  };
}

/** Type-Data of the packets that carry records; the first of several has the whole length. */
function fragments(records: Uint8Array, size: number): Uint8Array[] {
  if (records.length <= size) return [concat(Uint8Array.of(0), records)];
  const parts: Uint8Array[] = [];
  for (let at = 0; at < records.length; at += size) {
    const more = at + size < records.length;
    const writer = new Writer().u8((more ? 0x40 : 0) | (at === 0 ? 0x80 : 0));
    if (at === 0) writer.u32(records.length);
    parts.push(writer.bytes(records.subarray(at, at + size)).finish());
  }
  return parts;
}

if (import.meta.main) {
  const [iterations = 100_000, seed = process.pid] = process.argv.slice(2).map(Number);
  process.stdout.write(`${iterations} iterations, seed ${seed}\n`);
  try {
    const counts = [...fuzz(iterations, seed)].sort(([, a], [, b]) => b - a);
    for (const [what, times] of counts) process.stdout.write(`${String(times).padStart(10)} ${what}\n`);
  } catch (problem) {
    if (!(problem instanceof FuzzFailure)) throw problem;
    // Packet by packet: whatever happened on the wire is in it.
    const steps = problem.packets.map((octets) => ({ kind: 'eap', octets }) as const);
    const text = formatExchange({ ...problem.exchange, steps, ends: 'crash' }, toHex);
    const folder = join(import.meta.dirname, 'corpus', `eap-${problem.exchange.config.split('-')[0]!}`);
    const name = `crash-${toHex(createIkeCrypto().hash('sha256', concat(...problem.packets))).slice(0, 12)}.txt`;
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, name), `# seed ${seed}: ${String(problem.cause)}\n${text}`);
    process.stderr.write(`${String(problem.cause instanceof Error ? problem.cause.stack : problem.cause)}\nkept as ${name}\n`);
    process.exitCode = 1;
  }
}
