import { parseAddress, type IpAddress } from '@aovpn/bytes';
import { protocolNumber } from './filter/describe-rule.ts';

export interface Endpoint {
  readonly address: IpAddress;
  readonly port?: number;
}

/** A connection as somebody pasted it; what is not there was not said. */
export interface Flow {
  readonly protocol?: number;
  readonly source?: Endpoint;
  readonly destination: Endpoint;
  /** From the output of `ss -p`. */
  readonly pid?: number;
}

const longest = 1000;

/** tcpdump writes names of services unless it is given -n. */
const services: ReadonlyMap<string, number> = new Map([
  ['ssh', 22],
  ['domain', 53],
  ['http', 80],
  ['kerberos', 88],
  ['ntp', 123],
  ['ldap', 389],
  ['https', 443],
  ['microsoft-ds', 445],
  ['ldaps', 636],
  ['ms-wbt-server', 3389],
]);

/**
 * Reads one connection in any of the usual forms: `10.1.2.3:443`, `10.1.2.3:443/tcp`, `tcp 10.0.0.5:4455 > 10.1.2.3:443`, or a line of
 * ss(8), conntrack(8) or tcpdump(8). Undefined when it is none; a bare address is none either.
 */
export function parseFlow(text: string): Flow | undefined {
  if (text.length > longest) return undefined;
  const line = text.trim();
  const flow = readConntrack(line) ?? readTcpdump(line) ?? readWords(line);
  if (!flow || (flow.source && flow.source.address.family !== flow.destination.address.family)) return undefined;
  return flow;
}

/** `tcp 6 431999 ESTABLISHED src=… dst=… sport=… dport=… …`: the first four are the original direction. */
function readConntrack(line: string): Flow | undefined {
  const field = (name: string): string | undefined => new RegExp(`(?:^|\\s)${name}=(\\S+)`).exec(line)?.[1];
  const from = parseAddress(field('src') ?? '');
  const to = parseAddress(field('dst') ?? '');
  if (!from || !to) return undefined;
  const words = line.split(/\s+/);
  const protocol = words
    .map((word) => (/^\d/.test(word) ? undefined : protocolNumber(word)))
    .find((number) => number !== undefined);
  return flowOf(protocol, endpoint(from, field('sport')), endpoint(to, field('dport')));
}

/** `12:00:00.1 IP 10.0.0.5.4455 > 10.1.2.3.443: Flags [S]`, with or without time and device. */
function readTcpdump(line: string): Flow | undefined {
  const match = /(?:^|\s)IP6?\s+(?:\([^)]*\)\s*)?(\S+)\s+>\s+(\S+?):(?:\s+(.*))?$/.exec(line);
  if (!match) return undefined;
  const source = readDotted(match[1]!);
  const destination = readDotted(match[2]!);
  if (!source || !destination) return undefined;
  const protocol = tcpdumpForms.find(([form]) => form.test(match[3] ?? ''))?.[1];
  return flowOf(protocol, source, destination);
}

/** How tcpdump begins what it says behind the addresses; the first that fits counts. */
const tcpdumpForms: readonly (readonly [RegExp, number])[] = [
  [/^Flags \[/, 6],
  [/^ICMP6/, 58],
  [/^ICMP/, 1],
  [/^(?:UDP|NTP|isakmp|\d+[+*%|$-]*\s)/, 17],
];

/** tcpdump puts the port behind a last dot. */
function readDotted(text: string): Endpoint | undefined {
  const whole = parseAddress(text);
  if (whole) return { address: whole };
  const dot = text.lastIndexOf('.');
  const address = parseAddress(text.slice(0, dot));
  return address && endpoint(address, text.slice(dot + 1));
}

/** Words in which addresses stand in order, as ss prints them and people write them. */
function readWords(line: string): Flow | undefined {
  const pid = /\bpid=(\d{1,9})\b/.exec(line)?.[1];
  const words = line
    .replace(/users:\(.*$/, '')
    .split(/[\s>]+|->|\u2192/)
    .filter((word) => word !== '');
  if (words.length > 12) return undefined;
  let protocol: number | undefined;
  const endpoints: { endpoint: Endpoint; hasPort: boolean }[] = [];
  for (const [i, word] of words.entries()) {
    const slash = /^(.*?)[/](tcp|udp|icmp|icmpv6|sctp|\d{1,3})$/i.exec(word);
    const body = slash && readEndpoint(slash[1]!) ? slash[1]! : word;
    const found = readEndpoint(body);
    if (found) {
      endpoints.push(found);
      if (body !== word) protocol ??= protocolNumber(slash![2]!);
    } else if (i === 0 || !/^\d/.test(word)) protocol ??= protocolNumber(word);
  }
  const [first, second] = endpoints;
  if (!first || endpoints.length > 2) return undefined;
  // A bare address is a question about routes.
  if (!second && !first.hasPort && protocol === undefined) return undefined;
  const flow = second ? flowOf(protocol, first.endpoint, second.endpoint) : flowOf(protocol, undefined, first.endpoint);
  return flow && pid !== undefined ? { ...flow, pid: Number(pid) } : flow;
}

/** `10.1.2.3`, `10.1.2.3:443`, `2001:db8::1`, `[2001:db8::1]:443`; a `%device` behind the address does not count. */
function readEndpoint(text: string): { endpoint: Endpoint; hasPort: boolean } | undefined {
  const bracketed = /^\[([^\]]+)\](?::(\d{1,5}|\*))?$/.exec(text);
  const plain = bracketed ? undefined : /^([\d.]+(?:%[\w.-]+)?)(?::(\d{1,5}|\*))?$/.exec(text);
  const address = parseAddress((bracketed?.[1] ?? plain?.[1] ?? text).replace(/%[\w.-]+$/, ''));
  if (!address) return undefined;
  const port = bracketed?.[2] ?? plain?.[2];
  const read = endpoint(address, port);
  return read && { endpoint: read, hasPort: port !== undefined };
}

function endpoint(address: IpAddress, port: string | undefined): Endpoint | undefined {
  if (port === undefined || port === '*') return { address };
  const number = /^\d{1,5}$/.test(port) ? Number(port) : (services.get(port) ?? Number.NaN);
  return number <= 65535 ? { address, port: number } : undefined;
}

function flowOf(protocol: number | undefined, source: Endpoint | undefined, destination: Endpoint | undefined): Flow | undefined {
  if (!destination) return undefined;
  return { ...(protocol === undefined ? {} : { protocol }), ...(source ? { source } : {}), destination };
}
