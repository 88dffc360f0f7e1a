import { optType, ourPayload } from './dns-message.ts';

/** Whose the OPT record of a question is that goes out by TLS. */
export type PaddedEdns = 'ours' | 'client' | 'untouched';

export interface PaddedQuery {
  readonly message: Uint8Array;
  readonly edns: PaddedEdns;
}

/** RFC 8467 §4.1: questions are as long as a multiple of this, octets. */
const queryBlock = 128;
/** RFC 7830 §3 */
const paddingOption = 12;
const optHeader = 11;
const optionHeader = 4;

/**
 * Makes a question as long as many others (RFC 7830, RFC 8467): its length tells what is asked for otherwise. An OPT record is added where there is none.
 * A question whose last record is another one (a signature covers the whole of it: RFC 8945, RFC 2931) stays as it is.
 * @param questionEnd of a question that was read: one question, no more of it
 */
export function padQuery(query: Uint8Array, questionEnd: number): PaddedQuery {
  const asIs = { message: query, edns: 'untouched' } as const;
  if (query[6] !== 0 || query[7] !== 0 || query[8] !== 0 || query[9] !== 0) return asIs;
  const records = readCount(query, 10);
  if (records === 0 && query.length === questionEnd) {
    const opt = Uint8Array.of(0, optType >> 8, optType & 0xff, ourPayload >> 8, ourPayload & 0xff, 0, 0, 0, 0, 0, 0);
    const message = withPadding(query, questionEnd, opt, new Uint8Array(0));
    message[11] = 1;
    return { message, edns: 'ours' };
  }
  const opt = records === 1 ? findOpt(query, questionEnd, 1) : undefined;
  if (!opt || opt.end !== query.length) return asIs;
  const options = query.subarray(opt.at + optHeader, opt.end);
  const others = withoutPadding(options);
  if (!others) return asIs;
  return { message: withPadding(query, opt.at, query.subarray(opt.at, opt.at + optHeader), others), edns: 'client' };
}

/**
 * Takes what {@link padQuery} has brought about out of an answer: the OPT record where the client had sent none (RFC 6891 §7), else the padding in it. Where
 * records follow it, they would move, and names point into them: then the answer stays as it is.
 * @param answer that holds together
 */
export function unpadAnswer(answer: Uint8Array, questionEnd: number, edns: PaddedEdns): Uint8Array {
  if (edns === 'untouched') return answer;
  const additional = readCount(answer, 10);
  const records = readCount(answer, 6) + readCount(answer, 8) + additional;
  const opt = additional === 0 ? undefined : findOpt(answer, questionEnd, records);
  if (!opt || opt.end !== answer.length) return answer;
  if (edns === 'ours') {
    const short = Uint8Array.from(answer.subarray(0, opt.at));
    short[10] = (additional - 1) >> 8;
    short[11] = (additional - 1) & 0xff;
    return short;
  }
  const others = withoutPadding(answer.subarray(opt.at + optHeader, opt.end));
  return others ? joined(answer.subarray(0, opt.at), answer.subarray(opt.at, opt.at + optHeader), others) : answer;
}

function withPadding(query: Uint8Array, end: number, opt: Uint8Array, options: Uint8Array): Uint8Array {
  const least = end + optHeader + options.length + optionHeader;
  const pad = (queryBlock - (least % queryBlock)) % queryBlock;
  const padded = new Uint8Array(options.length + optionHeader + pad);
  padded.set(options);
  padded.set([0, paddingOption, pad >> 8, pad & 0xff], options.length);
  return joined(query.subarray(0, end), opt, padded);
}

function joined(start: Uint8Array, opt: Uint8Array, options: Uint8Array): Uint8Array {
  const message = new Uint8Array(start.length + optHeader + options.length);
  message.set(start);
  message.set(opt, start.length);
  message[start.length + 9] = options.length >> 8;
  message[start.length + 10] = options.length & 0xff;
  message.set(options, start.length + optHeader);
  return message;
}

/** Options of an OPT record (RFC 6891 §6.1.2) but padding; undefined when they do not hold together. */
function withoutPadding(options: Uint8Array): Uint8Array | undefined {
  const kept: Uint8Array[] = [];
  let at = 0;
  while (at < options.length) {
    if (at + optionHeader > options.length) return undefined;
    const end = at + optionHeader + readCount(options, at + 2);
    if (end > options.length) return undefined;
    if (readCount(options, at) !== paddingOption) kept.push(options.subarray(at, end));
    at = end;
  }
  return Uint8Array.from(kept.flatMap((option) => [...option]));
}

/** The OPT record among `records` that begin at `from`. */
function findOpt(message: Uint8Array, from: number, records: number): { readonly at: number; readonly end: number } | undefined {
  let at = from;
  for (let i = 0; i < records; i++) {
    const owner = at;
    while (message[at] !== undefined && message[at] !== 0 && message[at]! < 64) at += message[at]! + 1;
    at += message[at] !== undefined && message[at]! >= 0xc0 ? 2 : 1;
    if (at + 10 > message.length) return undefined;
    const end = at + 10 + readCount(message, at + 8);
    if (end > message.length) return undefined;
    if (message[owner] === 0 && readCount(message, at) === optType) return { at: owner, end };
    at = end;
  }
  return undefined;
}

function readCount(message: Uint8Array, at: number): number {
  return ((message[at] ?? 0) << 8) | (message[at + 1] ?? 0);
}
