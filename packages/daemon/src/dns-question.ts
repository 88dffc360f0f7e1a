import { randomBytes } from 'node:crypto';
import { addressFromBytes, formatAddress, type IpAddress, type IpFamily } from '@aovpn/bytes';
import { upstreamsOf, type Upstream, type UpstreamAsker } from '@aovpn/host';
import type { DnsRule } from '@aovpn/policy';

export interface QuestionOptions extends Pick<DnsRule, 'servers' | 'encrypted' | 'clear'> {
  /** `SO_MARK` of the queries: with ours no tunnel carries them. */
  readonly mark: number;
  readonly asker: UpstreamAsker;
}

export interface QuestionAnswer {
  readonly addresses: readonly IpAddress[];
  /** Seconds for which they may be believed; the shortest of all records. */
  readonly ttl?: number;
  /** Why there is none. */
  readonly why?: string;
}

/** RFC 1035 §3.2.2, RFC 3596 §2.1 */
const recordType = { 4: 1, 6: 28 } as const;
const headerLength = 12;
/** Milliseconds for one server; the second round is for a lost datagram. */
const patience = [1500, 3000] as const;
const mostServers = 4;
const mostAddresses = 32;

/**
 * Address records of one family for a name, from the first server that answers, by TCP when the answer does not fit. Servers are asked
 * directly: the system's resolver may be ours.
 */
export async function askAddresses(name: string, family: IpFamily, options: QuestionOptions): Promise<QuestionAnswer> {
  const labels = encodeName(name);
  if (!labels) return { addresses: [], why: 'not a DNS name' };
  const type = recordType[family];
  const query = buildQuery(labels, type);
  let why: string | undefined;
  const { first, otherwise } = upstreamsOf(options, options.mark);
  for (const timeout of patience) {
    for (const server of [...first, ...otherwise].slice(0, mostServers)) {
      const result = await askServer(server, query, false, timeout, options.asker);
      if (!result.ok) {
        why = `${formatAddress(server.address)}: ${result.why}`;
        continue;
      }
      let message = result.answer;
      if ((message[2]! & 0x02) !== 0) {
        const byTcp = await askServer(server, query, true, timeout, options.asker);
        if (byTcp.ok) message = byTcp.answer;
      }
      const code = message[3]! & 0x0f;
      if (code === 3) return { addresses: [], why: 'there is no such name (NXDOMAIN)' };
      if (code !== 0) {
        why = `${formatAddress(server.address)}: DNS error ${code}`;
        continue;
      }
      return readAddresses(message, query.length, type);
    }
  }
  return { addresses: [], why: why ?? 'no DNS server answers' };
}

/** Both families of one name: an error of one counts only where the other has nothing either. */
export function joinAnswers(answers: readonly QuestionAnswer[]): QuestionAnswer {
  const addresses = answers.flatMap((answer) => answer.addresses);
  const lives = answers.flatMap(({ addresses: own, ttl }) => (own.length > 0 && ttl !== undefined ? [ttl] : []));
  const why = answers.find((answer) => answer.why !== undefined)?.why;
  return {
    addresses,
    ...(lives.length > 0 && { ttl: Math.min(...lives) }),
    ...(addresses.length === 0 && { why: why ?? 'the name has no address' }),
  };
}

/** RFC 1035 §3.1; undefined for what cannot be a host name. */
export function encodeName(name: string): Uint8Array | undefined {
  const labels = name.replace(/\.$/, '').split('.');
  if (!labels.every((label) => /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i.test(label))) return undefined;
  const octets = labels.flatMap((label) => [label.length, ...Buffer.from(label, 'latin1')]);
  return octets.length <= 254 ? Uint8Array.from([...octets, 0]) : undefined;
}

function askServer(server: Upstream, query: Uint8Array, overTcp: boolean, timeout: number, asker: UpstreamAsker) {
  const { promise, resolve } = Promise.withResolvers<Parameters<Parameters<UpstreamAsker['ask']>[5]>[0]>();
  asker.ask(server, query, query.length, overTcp, timeout, resolve);
  return promise;
}

/** A question for records of this type. @param labels from {@link encodeName} */
export function buildQuery(labels: Uint8Array, type: number): Uint8Array {
  const query = new Uint8Array(headerLength + labels.length + 4);
  query.set(randomBytes(2), 0);
  // Recursion desired; one question.
  query[2] = 0x01;
  query[5] = 1;
  query.set(labels, headerLength);
  query.set([0, type, 0, 1], headerLength + labels.length);
  return query;
}

/** Every address record of the answer section, whatever alias led there. */
function readAddresses(message: Uint8Array, questionEnd: number, type: number): QuestionAnswer {
  const found: IpAddress[] = [];
  let senseless: IpAddress | undefined;
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  const count = view.getUint16(6);
  let ttl: number | undefined;
  let at = questionEnd;
  for (let i = 0; i < count && found.length < mostAddresses; i++) {
    const end = skipName(message, at);
    if (end === undefined || end + 10 > message.length) break;
    const length = view.getUint16(end + 8);
    const data = message.subarray(end + 10, end + 10 + length);
    if (data.length < length) break;
    // RFC 2181 §8: with the highest bit set it counts as none.
    const own = view.getUint32(end + 4) > 0x7fff_ffff ? 0 : view.getUint32(end + 4);
    ttl = Math.min(ttl ?? own, own);
    const isAddress = view.getUint16(end) === type && view.getUint16(end + 2) === 1;
    if (isAddress && data.length === (type === recordType[4] ? 4 : 16)) {
      const address = addressFromBytes(data);
      if (canBeElsewhere(data)) found.push(address);
      else senseless = address;
    }
    at = end + 10 + length;
  }
  const why = found.length === 0 && senseless ? `no host elsewhere has the address ${formatAddress(senseless)}` : undefined;
  return { addresses: found, ...(ttl === undefined ? {} : { ttl }), ...(why !== undefined && { why }) };
}

/**
 * Whether another host can have this address at all: a resolver that lies, or that blocks names, says 0.0.0.0 or 127.0.0.1, and a gateway is not
 * to be looked for among this machine's own services, nor by broadcast.
 */
function canBeElsewhere(octets: Uint8Array): boolean {
  const [first = 0, second = 0] = octets;
  if (octets.length === 4) return first !== 0 && first !== 127 && first < 224;
  const mapped = octets.subarray(0, 10).every((octet) => octet === 0);
  // ::/80 holds the unspecified, the loopback and the mapped addresses; fe80::/10 means nothing without a link.
  return !mapped && first !== 0xff && !(first === 0xfe && (second & 0xc0) === 0x80);
}

function skipName(message: Uint8Array, from: number): number | undefined {
  let at = from;
  for (;;) {
    const length = message[at];
    if (length === undefined) return undefined;
    if (length === 0) return at + 1;
    if ((length & 0xc0) === 0xc0) return at + 2;
    if (length > 63) return undefined;
    at += length + 1;
  }
}
