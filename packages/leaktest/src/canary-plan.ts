import { networkOf, parseAddress, type IpAddress, type IpPrefix } from '@aovpn/bytes';
import type { Canary, WatchedLinks } from '@aovpn/host';
import type { LeakPromise } from '@aovpn/policy';

/** Where canaries go unless told otherwise: documentation addresses, behind which nobody is (RFC 5737, RFC 3849). */
export const defaultDestinations: readonly IpAddress[] = ['198.51.100.199', '2001:db8:aaaa::199'].map((text) =>
  parseAddress(text)!,
);

const maxRoutes = 16;
const discardPort = 9;

export interface CanaryFacts {
  readonly promise: LeakPromise;
  readonly links: WatchedLinks;
  /** Only heeded where everything is held inside. */
  readonly destinations: readonly IpAddress[];
  /** In the payload and, as a label, in every name that is asked for. */
  readonly mark: string;
}

/**
 * Every packet that a program might send and that must not be seen, each once: both families, UDP, TCP, DNS and ICMP, as programs do by
 * default and as they do when they were told to use a device or an address.
 */
export function planCanaries({ promise, links, destinations, mark }: CanaryFacts): readonly Canary[] {
  const split = promise.kind === 'split';
  const targets = split ? promise.held.slice(0, maxRoutes).map(insideOf) : destinations;
  const payload = new TextEncoder().encode(mark);
  const base = targets.flatMap((destination): Canary[] => [
    { kind: 'udp', destination, port: discardPort, payload },
    { kind: 'tcp', destination, port: 443, payload },
    { kind: 'icmp', destination, port: 0, payload },
    { kind: 'udp', destination, port: 443, payload },
  ]);
  const resolvers = [...routersOf(links), ...destinations];
  const names = split
    ? promise.names.filter(({ inside }) => inside).map(({ name }) => `${mark}.${name.replace(/^\./, '')}`.replace(/\.$/, ''))
    : [`${mark}.invalid`];
  const questions = names
    .slice(0, maxRoutes)
    .flatMap((name) => resolvers.map((destination): Canary => ({ kind: 'udp', destination, port: 53, payload: dnsQuery(name) })));
  if (split) return [...base, ...questions];
  const plain = [...base, ...questions];
  const devices = [...links.links.values()].flatMap((device) => plain.map((canary) => ({ ...canary, device })));
  const sources = plain.flatMap((canary) => {
    const own = links.addresses.find(({ prefix }) => prefix.address.family === canary.destination.family)?.prefix.address;
    return own ? [{ ...canary, source: own }] : [];
  });
  // A neighbour on the link, which needs no router.
  const neighbours = links.addresses.flatMap(({ prefix }) => {
    const destination = neighbourOf(prefix);
    return destination ? [{ kind: 'udp' as const, destination, port: discardPort, payload }] : [];
  });
  return [...plain, ...devices, ...sources, ...(promise.attachedDirect ? [] : neighbours)];
}

/** Where a leak that is let out on purpose would go; undefined when the promise holds nothing inside. */
export function controlDestination(promise: LeakPromise, destinations: readonly IpAddress[]): IpAddress | undefined {
  if (promise.kind !== 'split') return destinations[0];
  return promise.held[0] && insideOf(promise.held[0]);
}

function routersOf(links: WatchedLinks): readonly IpAddress[] {
  return links.defaultRoutes.flatMap(({ gateway }) => (gateway && !isLinkLocal(gateway) ? [gateway] : []));
}

function isLinkLocal({ bytes }: IpAddress): boolean {
  return bytes[0] === 0xfe && (bytes[1]! & 0xc0) === 0x80;
}

/** An address that belongs to a host, where the network has room for any. */
function insideOf(prefix: IpPrefix): IpAddress {
  const { address } = networkOf(prefix);
  return prefix.length >= address.bytes.length * 8 - 1 ? prefix.address : withLast(address, (last) => last | 1);
}

/** Another host of a directly attached network; undefined where there is room for two at most. */
function neighbourOf(prefix: IpPrefix): IpAddress | undefined {
  if (prefix.length >= prefix.address.bytes.length * 8 - 2) return undefined;
  return withLast(prefix.address, (last) => last ^ 2);
}

function withLast(address: IpAddress, change: (last: number) => number): IpAddress {
  const bytes = Uint8Array.from(address.bytes);
  bytes[bytes.length - 1] = change(bytes[bytes.length - 1]!) & 0xff;
  return { ...address, bytes };
}

/** A query for the IPv4 address of a name, RFC 1035 §4. */
function dnsQuery(name: string): Uint8Array {
  const labels = name.split('.').map((label) => new TextEncoder().encode(label.slice(0, 63)));
  const length = labels.reduce((sum, label) => sum + 1 + label.length, 0);
  const message = new Uint8Array(12 + length + 5);
  message.set([0x5a, 0x5a, 1, 0, 0, 1]);
  let at = 12;
  for (const label of labels) {
    message[at] = label.length;
    message.set(label, at + 1);
    at += 1 + label.length;
  }
  message.set([0, 0, 1, 0, 1], at);
  return message;
}
