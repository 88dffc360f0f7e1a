// Seeded mutation fuzzer for everything that reads IKE messages: `node fuzz/ike-message.ts [iterations] [seed]`.
// Whatever a peer sends, even one that has the keys, must come out as one of the closed outcomes; a throw is a failure, and its input
// is kept in the corpus until it is fixed.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { concat, equal, fromHex, toHex, Writer } from '@aovpn/bytes';
import { createIkeCrypto } from '@aovpn/host';
import {
  acceptChildProposal,
  acceptIkeProposal,
  buildChildProposals,
  buildIkeProposals,
  checkExchange,
  createChildTopic,
  decodeConfigurationReply,
  decodeHeader,
  decodeSignatureAuth,
  emptyReassembly,
  encodeMessage,
  exchangeRules,
  openDatagram,
  selectChildProposal,
  selectIkeProposal,
  spkiKindOf,
  type ChildProposalConfig,
  type DirectionKeys,
  type IkeProposalConfig,
  type IkeSuite,
  type Message,
  type OpenOutcome,
  type Reassembly,
} from '@aovpn/ike';
import { generator, splice } from './mutation.ts';

const corpusFolder = join(import.meta.dirname, 'corpus', 'ike-message');
const crypto = createIkeCrypto();
const suite: IkeSuite = { encr: 20, keyBits: 128, prf: 5, integ: 0, ke: 31 };
const keys: DirectionKeys = { encryptionKey: new Uint8Array(20).fill(0x42), integrityKey: new Uint8Array(0) };

const ikeConfigs: readonly IkeProposalConfig[] = [
  {
    encr: [
      { id: 20, keyBits: 256 },
      { id: 28, keyBits: 256 },
    ],
    integ: [],
    prf: [5, 2],
    ke: [31, 19, 14],
  },
  {
    encr: [
      { id: 12, keyBits: 256 },
      { id: 3, keyBits: 192 },
    ],
    integ: [12, 2],
    prf: [5, 2],
    ke: [14, 2],
  },
];
const childConfigs: readonly ChildProposalConfig[] = [
  {
    encr: [
      { id: 20, keyBits: 256 },
      { id: 28, keyBits: 256 },
    ],
    integ: [],
    ke: 'ike',
  },
  { encr: [{ id: 12, keyBits: 256 }], integ: [12, 2], ke: [] },
];
const ikeOffer = buildIkeProposals(ikeConfigs);
const childOffer = buildChildProposals(childConfigs, 0xc0ffee01, true, 31);
const topics = [...new Set(exchangeRules.map(({ topic }) => topic))];

const headerLength = 28;

/** Messages without protection, any exchange: what the fuzzer seals by itself when it plays a peer that has the keys. */
export function readCorpus(): { readonly name: string; readonly message: Uint8Array }[] {
  return readdirSync(corpusFolder)
    .filter((name) => name.endsWith('.hex'))
    .sort()
    .map((name) => {
      const lines = readFileSync(join(corpusFolder, name), 'utf8').split('\n');
      return { name, message: fromHex(lines.filter((line) => !line.startsWith('#')).join('')) };
    });
}

/** Counts of outcomes over all three ways in. @throws whatever the code under test throws, or an AssertionError-like Error of ours */
export function exercise(message: Uint8Array, random: () => number, counts: Map<string, number>): void {
  const count = (what: string): void => void counts.set(what, (counts.get(what) ?? 0) + 1);
  decodeHeader(message);
  // 1. From anybody: as it is.
  take(openDatagram(crypto, message, { suite, keys, reassembly: emptyReassembly }), count);
  if (message.length < headerLength) return;
  // 2. From a peer that has the keys: as one encrypted payload.
  take(
    openDatagram(crypto, seal(message, message.subarray(headerLength), undefined), { suite, keys, reassembly: emptyReassembly }),
    count,
  );
  // 3. From the same, as fragments with numbers that are mostly right, in an order that is not.
  let reassembly: Reassembly = emptyReassembly;
  const payloads = message.subarray(headerLength);
  const total = 1 + Math.floor(random() * 4);
  const size = Math.ceil(payloads.length / total);
  const numbers = Array.from({ length: total }, (_, i) => i + 1).sort(() => random() - 0.5);
  if (random() < 0.3) numbers.push(Math.floor(random() * 8));
  for (const number of numbers) {
    const part = payloads.subarray((number - 1) * size, number * size);
    const said = random() < 0.95 ? total : Math.floor(random() * 0x10000);
    const outcome = openDatagram(crypto, seal(message, part, { number, total: said }), { suite, keys, reassembly });
    take(outcome, count);
    if ('reassembly' in outcome) ({ reassembly } = outcome);
  }
}

/** Runs until done; returns what came out how often. @throws {Error} with the input in hexadecimal */
export function fuzz(iterations: number, seed: number): Map<string, number> {
  const random = generator(seed);
  const corpus = readCorpus();
  const counts = new Map<string, number>();
  for (let i = 0; i < iterations; i++) {
    const input = mutate(
      corpus[Math.floor(random() * corpus.length)]!.message,
      corpus[Math.floor(random() * corpus.length)]!.message,
      random,
    );
    try {
      exercise(input, random, counts);
    } catch (problem) {
      throw new FuzzFailure(input, problem);
    }
  }
  return counts;
}

export class FuzzFailure extends Error {
  override readonly name = 'FuzzFailure';
  readonly input: Uint8Array;

  constructor(input: Uint8Array, cause: unknown) {
    super(`${cause instanceof Error ? cause.message : String(cause)}: ${toHex(input)}`, { cause });
    this.input = input;
  }
}

function take(outcome: OpenOutcome, count: (what: string) => void): void {
  switch (outcome.kind) {
    case 'message':
      count(outcome.protected ? 'message, protected' : 'message, unprotected');
      consume(outcome.message);
      return;
    case 'refuse':
      count(`refuse, ${outcome.error.kind}`);
      return;
    case 'partial':
    case 'ignore':
      count(outcome.kind);
      return;
  }
}

/** Everything else in the room that looks at what a peer sent. */
function consume(message: Message): void {
  // Some topics have an answer only.
  const ruled = topics.filter((topic) =>
    exchangeRules.some((row) => row.topic === topic && row.response === message.header.response),
  );
  for (const topic of ruled) checkExchange(message, topic);
  createChildTopic(message);
  for (const payload of message.payloads) {
    switch (payload.kind) {
      case 'SA':
        acceptIkeProposal(ikeOffer, payload.proposals);
        acceptChildProposal(childOffer, payload.proposals);
        selectIkeProposal(ikeConfigs, payload.proposals, 14);
        selectChildProposal(childConfigs, payload.proposals, { ikeGroup: 31 });
        break;
      case 'KE':
        if (payload.group === 31) crypto.sharedSecret(crypto.generateKeyPair(31), payload.data);
        break;
      case 'CP':
        decodeConfigurationReply(payload.attributes);
        break;
      case 'AUTH': {
        const auth = decodeSignatureAuth(payload.method, payload.data);
        if ('scheme' in auth) crypto.verify(payload.data, auth.scheme, payload.data, auth.signature);
        break;
      }
      case 'CERT':
        spkiKindOf(payload.data);
        break;
      case 'IDi':
      case 'IDr':
      case 'CERTREQ':
      case 'NONCE':
      case 'N':
      case 'D':
      case 'V':
      case 'TSi':
      case 'TSr':
      case 'EAP':
      case 'PS':
      case 'unknown':
        break;
    }
  }
  checkRoundTrip(message);
}

/** What was read can be written, and reads the same again. What is left out on receipt (unknown selectors and attributes) is the exception. */
function checkRoundTrip(message: Message): void {
  const lossy = message.payloads.some(
    (payload) =>
      ((payload.kind === 'TSi' || payload.kind === 'TSr') && payload.selectors.length === 0) ||
      (payload.kind === 'SA' &&
        payload.proposals.some(({ transforms }) => transforms.some(({ foreignAttribute }) => foreignAttribute))),
  );
  if (lossy) return;
  const init = { ...message, header: { ...message.header, exchange: 34 } };
  const written = encodeMessage(init);
  const again = openDatagram(crypto, written, { reassembly: emptyReassembly });
  if (again.kind !== 'message' || !equal(encodeMessage(again.message), written))
    throw new Error('does not read as it was written');
}

/** An SK or SKF payload with the octets in place of payloads, whatever they are. */
function seal(
  message: Uint8Array,
  payloads: Uint8Array,
  fragment: { readonly number: number; readonly total: number } | undefined,
): Uint8Array {
  const payloadLength = 4 + (fragment ? 4 : 0) + 8 + payloads.length + 1 + 16;
  const writer = new Writer()
    .bytes(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8))
    .bytes(message.subarray(8, 16))
    .u8(fragment ? 53 : 46)
    .u8(0x20)
    .u8(message[18] === 34 ? 35 : message[18]!)
    .bytes(message.subarray(19, 24))
    .u32(headerLength + payloadLength)
    .u8(fragment && fragment.number !== 1 ? 0 : message[16]!)
    .u8(0)
    .u16(payloadLength);
  if (fragment) writer.u16(fragment.number).u16(fragment.total);
  const prefix = writer.finish();
  const iv = crypto.random(8);
  return concat(prefix, iv, crypto.encrypt(suite.encr, keys.encryptionKey, iv, concat(payloads, Uint8Array.of(0)), prefix));
}

const interesting = [0, 1, 2, 3, 4, 7, 8, 16, 33, 40, 46, 48, 53, 127, 128, 254, 255] as const;

/** Half of the changes respect the chain of payloads, so that they reach what is behind it. */
function mutate(original: Uint8Array, other: Uint8Array, random: () => number): Uint8Array {
  const below = (limit: number): number => Math.floor(random() * limit);
  let octets = Uint8Array.from(original);
  for (let left = below(3); left >= 0; left--) {
    octets = random() < 0.5 ? mutateAnywhere(octets, other, below) : mutatePayload(octets, below);
  }
  octets = octets.slice(0, 20000);
  // Mostly with the right length, so that the header alone does not end it all.
  if (octets.length >= headerLength && random() < 0.9) new DataView(octets.buffer).setUint32(24, octets.length);
  return octets;
}

function mutateAnywhere(octets: Uint8Array, other: Uint8Array, below: (limit: number) => number): Uint8Array<ArrayBuffer> {
  const changed = Uint8Array.from(octets);
  const at = below(octets.length + 1);
  switch (below(6)) {
    case 0:
      if (at < changed.length) changed[at]! ^= 1 << below(8);
      return changed;
    case 1:
      if (at < changed.length) changed[at] = interesting[below(interesting.length)]!;
      return changed;
    case 2:
      return splice(octets, at, below(20), new Uint8Array(0));
    case 3:
      return splice(octets, at, 0, crypto.random(below(20)));
    case 4:
      return splice(octets, at, octets.length, other.subarray(below(other.length)));
    default: {
      const from = below(octets.length);
      return splice(octets, at, 0, octets.subarray(from, from + below(60)));
    }
  }
}

/** Changes one payload's type, critical bit, or body; the length stays right where the body's does not. */
function mutatePayload(octets: Uint8Array, below: (limit: number) => number): Uint8Array<ArrayBuffer> {
  const payloads = payloadsOf(octets);
  const chosen = payloads[below(payloads.length)];
  const changed = Uint8Array.from(octets);
  if (!chosen) return changed;
  const { typeAt, start, end } = chosen;
  const at = start + 4 + below(end - start - 3);
  switch (below(5)) {
    case 0:
      changed[typeAt] = 33 + below(22);
      return changed;
    case 1:
      changed[typeAt] = 54 + below(200);
      changed[start + 1]! ^= 0x80;
      return changed;
    case 2:
      if (at < end) changed[at]! ^= 1 << below(8);
      return changed;
    case 3:
      if (at < end) changed[at] = interesting[below(interesting.length)]!;
      return changed;
    default: {
      const removed = Math.min(below(9), end - at);
      const added = crypto.random(below(9));
      const length = end - start - removed + added.length;
      changed.set([(length >> 8) & 0xff, length & 0xff], start + 2);
      return splice(changed, at, removed, added);
    }
  }
}

function payloadsOf(octets: Uint8Array): { readonly typeAt: number; readonly start: number; readonly end: number }[] {
  const payloads = [];
  for (let start = headerLength, typeAt = 16; start + 4 <= octets.length;) {
    const end = start + Math.max(4, (octets[start + 2]! << 8) | octets[start + 3]!);
    if (end > octets.length) break;
    payloads.push({ typeAt, start, end });
    typeAt = start;
    start = end;
  }
  return payloads;
}

if (import.meta.main) {
  const [iterations = 100_000, seed = process.pid] = process.argv.slice(2).map(Number);
  process.stdout.write(`${iterations} iterations, seed ${seed}\n`);
  try {
    const counts = [...fuzz(iterations, seed)].sort(([, a], [, b]) => b - a);
    for (const [what, times] of counts) process.stdout.write(`${String(times).padStart(10)} ${what}\n`);
  } catch (problem) {
    if (!(problem instanceof FuzzFailure)) throw problem;
    const name = `crash-${toHex(crypto.hash('sha256', problem.input)).slice(0, 12)}.hex`;
    mkdirSync(corpusFolder, { recursive: true });
    writeFileSync(join(corpusFolder, name), `# seed ${seed}: ${String(problem.cause)}\n${toHex(problem.input)}\n`);
    process.stderr.write(`${String(problem.cause instanceof Error ? problem.cause.stack : problem.cause)}\nkept as ${name}\n`);
    process.exitCode = 1;
  }
}
