/** RFC 1035 §4.1 as far as a forwarder needs it: header and question are read, everything else stays as it is. */

export const headerLength = 12;
/** RFC 1035 §4.1.1 */
export const rcode = { formatError: 1, serverFailure: 2, notImplemented: 4, refused: 5 } as const;

/** The TC bit (RFC 1035 §4.1.1). */
const truncated = 0x02;
/** RFC 6891 §6.1.2 */
export const optType = 41;
/** RFC 1035 §4.2.1: without EDNS. */
export const plainPayload = 512;
/** What we say that we take; no fragments on any link that IPv6 allows. */
export const ourPayload = 1232;

/** What a client asks for. */
export interface Query {
  readonly id: number;
  /** Lower case, without a dot at the end; empty for the root. Octets that are no letters come as Latin-1. */
  readonly name: string;
  /** Where the question section ends. */
  readonly questionEnd: number;
}

export type QueryReading =
  | { readonly kind: 'query'; readonly query: Query }
  /** Deserves an answer with this code. */
  | { readonly kind: 'refuse'; readonly rcode: number }
  /** Not a query at all: answering it could feed a loop. */
  | { readonly kind: 'ignore' };

/** Reads a message that came from a client. */
export function readQuery(message: Uint8Array): QueryReading {
  if (message.length < headerLength) return { kind: 'ignore' };
  if ((message[2]! & 0x80) !== 0) return { kind: 'ignore' };
  if ((message[2]! & 0x78) !== 0) return { kind: 'refuse', rcode: rcode.notImplemented };
  if (message[4] !== 0 || message[5] !== 1) return { kind: 'refuse', rcode: rcode.formatError };
  const question = readQuestion(message);
  if (!question) return { kind: 'refuse', rcode: rcode.formatError };
  return { kind: 'query', query: { id: readId(message), ...question } };
}

/**
 * Whether `answer` is an answer to `question`, a message of ours: id, opcode and the question section octet by octet, upper and lower case
 * included (RFC 5452 §9.1; the kernel has checked address and port).
 */
export function isAnswerTo(answer: Uint8Array, question: Uint8Array, questionEnd: number): boolean {
  if (answer.length < questionEnd || (answer[2]! & 0xf8) !== 0x80) return false;
  if (answer[0] !== question[0] || answer[1] !== question[1]) return false;
  if (answer[4] !== 0 || answer[5] !== 1) return false;
  for (let i = headerLength; i < questionEnd; i++) if (answer[i] !== question[i]) return false;
  return true;
}

export function readId(message: Uint8Array): number {
  return (message[0]! << 8) | message[1]!;
}

export function writeId(message: Uint8Array, id: number): void {
  message[0] = id >> 8;
  message[1] = id & 0xff;
}

export function readRcode(message: Uint8Array): number {
  return message[3]! & 0x0f;
}

/** An answer without records: the query's header and, where it could be read, its question. */
export function emptyAnswer(query: Uint8Array, code: number, questionEnd = headerLength): Uint8Array {
  const answer = Uint8Array.from(query.subarray(0, questionEnd));
  answer[2] = 0x80 | (query[2]! & 0x79);
  // "Recursion available", as every resolver says.
  answer[3] = 0x80 | code;
  answer.fill(0, 4, headerLength);
  if (questionEnd > headerLength) answer[5] = 1;
  return answer;
}

/** What a client takes by UDP (RFC 1035 §4.2.1, RFC 6891 §6.2.3), and whether it said so in an OPT record. */
export function readPayloadLimit(query: Uint8Array, questionEnd: number): { readonly octets: number; readonly edns: boolean } {
  const records = (query[10]! << 8) | query[11]!;
  // Queries carry no answers; who sends some is told no more than the least.
  if (query[7] === 0 && query[9] === 0) {
    let at = questionEnd;
    for (let i = 0; i < records && at + 11 <= query.length; i++) {
      // OPT belongs to the root; other names (TSIG) are skipped label by label.
      const type = (query[at + 1]! << 8) | query[at + 2]!;
      if (query[at] === 0 && type === optType)
        return { octets: Math.max(plainPayload, (query[at + 3]! << 8) | query[at + 4]!), edns: true };
      while (query[at] !== undefined && query[at] !== 0 && query[at]! < 64) at += query[at]! + 1;
      if (query[at] !== 0) break;
      at += 11 + ((query[at + 9]! << 8) | query[at + 10]!);
    }
  }
  return { octets: plainPayload, edns: false };
}

/** "Ask again by TCP": the answer's header, the question, an OPT record if there was one in the query. */
export function truncatedAnswer(answer: Uint8Array, questionEnd: number, edns: boolean): Uint8Array {
  const opt = edns ? [0, optType >> 8, optType & 0xff, ourPayload >> 8, ourPayload & 0xff, 0, 0, 0, 0, 0, 0] : [];
  const short = Uint8Array.from([...answer.subarray(0, questionEnd), ...opt]);
  short[2] = short[2]! | truncated;
  short.fill(0, 6, headerLength);
  if (edns) short[11] = 1;
  return short;
}

export function isTruncated(message: Uint8Array): boolean {
  return (message[2]! & truncated) !== 0;
}

function readQuestion(message: Uint8Array): { readonly name: string; readonly questionEnd: number } | undefined {
  let name = '';
  let at = headerLength;
  for (;;) {
    const length = message[at];
    // A question of a query has nothing to point back to: compression is an error here.
    if (length === undefined || length > 63) return undefined;
    at++;
    if (length === 0) break;
    if (at + length > message.length || at + length - headerLength > 254) return undefined;
    if (name !== '') name += '.';
    for (const end = at + length; at < end; at++) {
      const octet = message[at]!;
      // A dot inside a label must not look like a boundary.
      name += octet === 0x2e ? '\\.' : String.fromCharCode(octet >= 0x41 && octet <= 0x5a ? octet + 32 : octet);
    }
  }
  return at + 4 <= message.length ? { name, questionEnd: at + 4 } : undefined;
}
