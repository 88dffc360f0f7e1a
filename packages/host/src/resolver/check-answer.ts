import { headerLength } from './dns-message.ts';

const recordType = { ns: 2, cname: 5, ptr: 12, mx: 15, srv: 33, dname: 39 } as const;
/** Where the name in the data of a record begins, for types whose data is or ends with one name. */
const nameInData: ReadonlyMap<number, number> = new Map([
  [recordType.ns, 0],
  [recordType.cname, 0],
  [recordType.ptr, 0],
  [recordType.dname, 0],
  [recordType.mx, 2],
  [recordType.srv, 6],
]);
/** Type, class, time to live, length of the data (RFC 1035 §4.1.3). */
const fixedRecordLength = 10;
/** Aliases of aliases; resolvers give up at about as many. */
const maxAliases = 16;

/**
 * What is wrong with an answer whose header and question have been checked; undefined when it can be handed on. Programs parse what we
 * hand them, so it has to hold together: as many records as the header says, each within the message; names of at most 255 octets whose
 * compression pointers lead backwards only (RFC 1035 §4.1.4, so no loop of pointers gets through); and no alias that comes back to a name
 * that was left before (RFC 1034 §3.6.2, §5.2.2).
 */
export function faultOfAnswer(answer: Uint8Array, questionEnd: number): string | undefined {
  const answers = readCount(answer, 6);
  const records = answers + readCount(answer, 8) + readCount(answer, 10);
  if (records * (fixedRecordLength + 1) > answer.length - questionEnd) return 'fewer octets than its records need';
  let at = questionEnd;
  let aliases: Map<string, string> | undefined;
  for (let i = 0; i < records; i++) {
    const owner = at;
    at = nameEnd(answer, at);
    if (at < 0 || at + fixedRecordLength > answer.length) return 'a record with a bad name';
    const type = readCount(answer, at);
    const data = at + fixedRecordLength;
    at = data + readCount(answer, at + 8);
    if (at > answer.length) return 'a record that is longer than the answer';
    const name = nameInData.get(type);
    if (name === undefined) continue;
    if (nameEnd(answer, data + name) !== at) return 'a record with a bad name in it';
    if (type === recordType.cname && i < answers) (aliases ??= new Map()).set(nameText(answer, owner), nameText(answer, data));
  }
  return aliases && faultOfAliases(aliases, nameText(answer, headerLength));
}

function faultOfAliases(aliases: ReadonlyMap<string, string>, question: string): string | undefined {
  const seen = new Set<string>();
  for (let name: string | undefined = question; name !== undefined; name = aliases.get(name)) {
    if (seen.has(name)) return 'an alias of itself';
    if (seen.size > maxAliases) return 'too long a chain of aliases';
    seen.add(name);
  }
  return undefined;
}

function readCount(message: Uint8Array, at: number): number {
  return (message[at]! << 8) | message[at + 1]!;
}

/** Where a name that begins at `at` ends, after the whole of it has been checked; -1 when it is no name. */
function nameEnd(message: Uint8Array, at: number): number {
  let end = -1;
  let length = 0;
  /** A pointer must lead to before where we came from. */
  let before = at;
  for (;;) {
    const octet = message[at];
    if (octet === undefined) return -1;
    if (octet === 0) return end < 0 ? at + 1 : end;
    if (octet >= 0xc0) {
      const low = message[at + 1];
      if (low === undefined) return -1;
      if (end < 0) end = at + 2;
      const target = ((octet & 0x3f) << 8) | low;
      if (target >= before || target < headerLength) return -1;
      before = target;
      at = target;
      continue;
    }
    if (octet > 63) return -1;
    length += octet + 1;
    // With the octet of the root 255 (RFC 1035 §2.3.4).
    if (length > 254) return -1;
    at += octet + 1;
  }
}

/** A checked name, in lower case; octets that are no letters as Latin-1, boundaries as their lengths, so that no two names look the same. */
function nameText(message: Uint8Array, at: number): string {
  let text = '';
  for (;;) {
    const octet = message[at]!;
    if (octet === 0) return text;
    if (octet >= 0xc0) {
      at = ((octet & 0x3f) << 8) | message[at + 1]!;
      continue;
    }
    text += String.fromCharCode(octet);
    for (const end = at + 1 + octet; ++at < end;) {
      const letter = message[at]!;
      text += String.fromCharCode(letter >= 0x41 && letter <= 0x5a ? letter + 32 : letter);
    }
  }
}
