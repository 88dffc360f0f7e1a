import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import type { LinkSuffix } from '@aovpn/policy';
import type { Link } from './kernel-network.ts';

/** What is known of suffixes beside the files that are read here. */
export interface SuffixHints {
  /** Search list of resolv.conf as it is without us: nobody says which link it came with. */
  readonly search: readonly string[];
  /** The link that a list without a link is taken to have come with: that of the default route. */
  readonly defaultDevice?: string;
  /** Domains that systemd-resolved has for links, ours excepted; routing-only ones are no suffixes. */
  readonly resolved: readonly { readonly index: number; readonly domain: string; readonly routingOnly: boolean }[];
  /** Domains that NetworkManager has for links. */
  readonly networkManager: readonly { readonly device: string; readonly domain: string }[];
}

/** Kinds of links that lead through others: what their far end says is no word about the network that this machine stands in. */
const tunnelKinds: ReadonlySet<string> = new Set(
  'tun wireguard xfrm vti vti6 ipip ip6tnl sit gre gretap ip6gre ip6gretap erspan vxlan geneve ppp dummy ovpn ifb'.split(' '),
);
/** No lease file is longer, octets. */
const maxLease = 1 << 20;
const maxSuffixes = 64;

/**
 * The DNS suffixes that networks gave to the machine's physical links, whoever of the usual programs took them: systemd-networkd, dhclient,
 * resolvconf and openresolv by their files, systemd-resolved and NetworkManager by their word, resolv.conf for all others. Links without cable
 * have none.
 * @param root where `/run` and `/var/lib` are; not `/` only in tests
 */
export function readLinkSuffixes(links: readonly Link[], hints: SuffixHints, root = '/'): readonly LinkSuffix[] {
  const found = new Map<string, LinkSuffix>();
  const physical = links.filter(({ loopback, kind, running }) => !loopback && running && !tunnelKinds.has(kind));
  const add = (device: string | undefined, domain: string, source: string): void => {
    const suffix = domain.toLowerCase().replace(/^[~.]+|\.+$/g, '');
    if (found.size >= maxSuffixes || !isSuffix(suffix) || !physical.some(({ name }) => name === device)) return;
    const key = `${device} ${suffix}`;
    if (!found.has(key)) found.set(key, { device: device!, suffix, source });
  };
  for (const { index, domain, routingOnly } of hints.resolved)
    if (!routingOnly) add(links.find((link) => link.index === index)?.name, domain, 'systemd-resolved');
  for (const { device, domain } of hints.networkManager) add(device, domain, 'NetworkManager');
  for (const { name, index } of physical) {
    for (const file of [`run/systemd/netif/leases/${index}`, `run/systemd/netif/links/${index}`])
      for (const domain of parseNetworkdState(read(root, file))) add(name, domain, 'systemd-networkd');
  }
  for (const directory of ['var/lib/dhcp', 'var/lib/dhclient', 'var/lib/NetworkManager'])
    for (const file of list(root, directory, /^dhclient.*\.leases?$/))
      for (const { device, domain } of parseDhclientLeases(read(root, file))) add(device, domain, 'dhclient');
  for (const directory of ['run/resolvconf/interface', 'run/resolvconf/interfaces', 'run/openresolv/keys']) {
    for (const file of list(root, directory, /^[\w.@-]+$/)) {
      const device = path.basename(file).split('.')[0]!;
      for (const domain of parseSearch(read(root, file))) add(device, domain, 'resolvconf');
    }
  }
  if (found.size === 0) for (const domain of hints.search) add(hints.defaultDevice, domain, 'resolv.conf');
  return [...found.values()];
}

/** State files of systemd-networkd: `KEY=value` a line, quoted in newer versions. */
export function parseNetworkdState(text: string): readonly string[] {
  const domains: string[] = [];
  for (const line of text.split('\n')) {
    const [, value] = /^(?:DOMAINNAME|DOMAIN_SEARCH_LIST|DOMAINS)="?([^"]*)"?$/.exec(line) ?? [];
    if (value !== undefined) domains.push(...value.split(' '));
  }
  return domains.filter((domain) => domain !== '');
}

/** dhclient.leases(5): the last lease of each interface counts. */
export function parseDhclientLeases(text: string): readonly { readonly device: string; readonly domain: string }[] {
  const last = new Map<string, readonly string[]>();
  for (const [, body] of text.matchAll(/^lease6? \{\n([^]*?)^\}/gm)) {
    const device = /^\s*interface "([^"\n]+)";/m.exec(body!)?.[1];
    if (device === undefined) continue;
    const domains: string[] = [];
    for (const [, option] of body!.matchAll(/^\s*option (?:dhcp6\.)?domain-(?:name|search) ([^\n]*);/gm))
      for (const [, quoted] of option!.matchAll(/"([^"]*)"/g)) domains.push(...quoted!.split(' '));
    last.set(device, domains);
  }
  return [...last].flatMap(([device, domains]) => domains.map((domain) => ({ device, domain })));
}

/** `domain` and `search` lines of resolv.conf(5). */
function parseSearch(text: string): readonly string[] {
  return text
    .split('\n')
    .filter((line) => /^(?:domain|search)\s/.test(line))
    .flatMap((line) => line.split(/\s+/).slice(1))
    .filter((domain) => domain !== '');
}

function isSuffix(text: string): boolean {
  return text.length > 0 && text.length <= 253 && /^[^\s./\\"]{1,63}(?:\.[^\s./\\"]{1,63})*$/u.test(text);
}

function list(root: string, directory: string, name: RegExp): readonly string[] {
  try {
    return readdirSync(path.join(root, directory))
      .filter((entry) => name.test(entry))
      .sort()
      .slice(0, 100)
      .map((entry) => path.join(directory, entry));
  } catch {
    return [];
  }
}

function read(root: string, file: string): string {
  try {
    const where = path.join(root, file);
    return statSync(where).size <= maxLease ? readFileSync(where, 'utf8') : '';
  } catch {
    return '';
  }
}
