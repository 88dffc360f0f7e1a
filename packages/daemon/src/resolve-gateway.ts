import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { addressFromBytes, formatAddress, parseAddress, type IpAddress } from '@aovpn/bytes';
import type { UpstreamAsker } from '@aovpn/host';

export interface ResolveOptions {
  /** The machine's own DNS servers, never ours. */
  readonly servers: readonly IpAddress[];
  /** `SO_MARK` of the queries, so that no tunnel carries them. */
  readonly mark: number;
  readonly asker: UpstreamAsker;
  readonly hostsFile?: string;
}

export interface ResolveAnswer {
  readonly addresses: readonly IpAddress[];
  /** Why there is none. */
  readonly why?: string;
}

/** RFC 1035 §3.2.2, RFC 3596 §2.1 */
const recordType = { A: 1, AAAA: 28 } as const;
const headerLength = 12;
/** Milliseconds for one server; the second round is for a lost datagram. */
const patience = [1500, 3000] as const;

/**
 * The addresses of a gateway: a literal, /etc/hosts, then the machine's own DNS servers, asked directly and outside every tunnel.
 * The system's resolver is passed by: it may be ours, and a name of the tunnel must not need the tunnel.
 */
export async function resolveGateway(name: string, options: ResolveOptions): Promise<ResolveAnswer> {
  const literal = parseAddress(name.replaceAll(/^\[|\]$/g, ''));
  if (literal) return { addresses: [literal] };
  const local = await lookUpHosts(name, options.hostsFile ?? '/etc/hosts');
  if (local.length > 0) return { addresses: local };
  const labels = encodeName(name);
  if (!labels) return { addresses: [], why: 'not a DNS name' };
  if (options.servers.length === 0) return { addresses: [], why: 'this network names no DNS server' };
  const answers = await Promise.all([ask(labels, recordType.AAAA, options), ask(labels, recordType.A, options)]);
  const addresses = answers.flatMap((answer) => answer.addresses);
  if (addresses.length > 0) return { addresses };
  return { addresses: [], why: answers.find(({ why }) => why !== undefined)?.why ?? 'the name has no address' };
}

async function lookUpHosts(name: string, file: string): Promise<readonly IpAddress[]> {
  const wanted = name.toLowerCase().replace(/\.$/, '');
  try {
    const found: IpAddress[] = [];
    for (const line of (await readFile(file, 'latin1')).split('\n')) {
      const [text, ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
      const address = parseAddress(text ?? '');
      if (address && names.some((other) => other.toLowerCase() === wanted)) found.push(address);
    }
    return found;
  } catch {
    return [];
  }
}

async function ask(labels: Uint8Array, type: number, options: ResolveOptions): Promise<ResolveAnswer> {
  const query = buildQuery(labels, type);
  let why: string | undefined;
  for (const timeout of patience) {
    for (const server of options.servers.slice(0, 4)) {
      const result = await askServer(server, query, false, timeout, options);
      if (!result.ok) {
        why = `${formatAddress(server)}: ${result.why}`;
        continue;
      }
      let message = result.answer;
      if ((message[2]! & 0x02) !== 0) {
        const byTcp = await askServer(server, query, true, timeout, options);
        if (byTcp.ok) message = byTcp.answer;
      }
      const code = message[3]! & 0x0f;
      if (code === 3) return { addresses: [], why: 'there is no such name (NXDOMAIN)' };
      if (code !== 0) {
        why = `${formatAddress(server)}: DNS error ${code}`;
        continue;
      }
      return { addresses: readAddresses(message, query.length, type) };
    }
  }
  return { addresses: [], why: why ?? 'no DNS server answers' };
}

function askServer(server: IpAddress, query: Uint8Array, overTcp: boolean, timeout: number, { asker, mark }: ResolveOptions) {
  const { promise, resolve } = Promise.withResolvers<Parameters<Parameters<UpstreamAsker['ask']>[5]>[0]>();
  asker.ask({ address: server, mark }, query, query.length, overTcp, timeout, resolve);
  return promise;
}

function buildQuery(labels: Uint8Array, type: number): Uint8Array {
  const query = new Uint8Array(headerLength + labels.length + 4);
  query.set(randomBytes(2), 0);
  // Recursion desired; one question.
  query[2] = 0x01;
  query[5] = 1;
  query.set(labels, headerLength);
  query.set([0, type, 0, 1], headerLength + labels.length);
  return query;
}

/** RFC 1035 §3.1; undefined for what cannot be a host name. */
function encodeName(name: string): Uint8Array | undefined {
  const labels = name.replace(/\.$/, '').split('.');
  if (!labels.every((label) => /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i.test(label))) return undefined;
  const octets = labels.flatMap((label) => [label.length, ...Buffer.from(label, 'latin1')]);
  return octets.length <= 254 ? Uint8Array.from([...octets, 0]) : undefined;
}

/** Every address record of the answer section, whatever alias led there: the gateway proves itself by its certificate, not by DNS. */
function readAddresses(message: Uint8Array, questionEnd: number, type: number): readonly IpAddress[] {
  const found: IpAddress[] = [];
  const count = (message[6]! << 8) | message[7]!;
  let at = questionEnd;
  for (let i = 0; i < count && found.length < 32; i++) {
    const end = skipName(message, at);
    if (end === undefined || end + 10 > message.length) break;
    const length = (message[end + 8]! << 8) | message[end + 9]!;
    const data = message.subarray(end + 10, end + 10 + length);
    if (data.length < length) break;
    const isAddress = message[end] === 0 && message[end + 1] === type && message[end + 2] === 0 && message[end + 3] === 1;
    if (isAddress && data.length === (type === recordType.A ? 4 : 16)) found.push(addressFromBytes(data));
    at = end + 10 + length;
  }
  return found;
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
