import { readFile } from 'node:fs/promises';
import { parseAddress, type IpAddress } from '@aovpn/bytes';
import { asciiName } from './ascii-name.ts';
import { askAddresses, encodeName, type QuestionOptions } from './dns-question.ts';
import { discoverNat64, embedInNat64 } from './nat64.ts';

export interface ResolveOptions extends QuestionOptions {
  readonly hostsFile?: string;
  /** Whether this machine has a way out by IPv4 now; true unless told otherwise. */
  readonly v4?: boolean;
}

export interface ResolveAnswer {
  readonly addresses: readonly IpAddress[];
  /** Why there is none. */
  readonly why?: string;
}

/**
 * The addresses of a gateway: a literal, /etc/hosts, then the machine's own DNS servers, asked directly and outside every tunnel.
 * The system's resolver is passed by: it may be ours, and a name of the tunnel must not need the tunnel. On a network without IPv4 a gateway
 * that has nothing else is reached through the network's NAT64.
 */
export async function resolveGateway(written: string, options: ResolveOptions): Promise<ResolveAnswer> {
  const name = asciiName(written);
  const literal = parseAddress(name.replaceAll(/^\[|\]$/g, ''));
  if (literal) return await withNat64([literal], options);
  const local = await lookUpHosts(name, options.hostsFile ?? '/etc/hosts');
  if (local.length > 0) return await withNat64(local, options);
  if (!encodeName(name)) return { addresses: [], why: 'not a DNS name' };
  if (options.servers.length === 0) return { addresses: [], why: 'this network names no DNS server' };
  const answers = await Promise.all([askAddresses(name, 6, options), askAddresses(name, 4, options)]);
  // Every address, whatever alias led there: the gateway proves itself by its certificate, not by DNS.
  const addresses = answers.flatMap((answer) => answer.addresses);
  if (addresses.length > 0) return await withNat64(addresses, options);
  return { addresses: [], why: answers.find(({ why }) => why !== undefined)?.why ?? 'the name has no address' };
}

/** What only IPv4 reaches is not tried by IPv4 where there is none. */
async function withNat64(addresses: readonly IpAddress[], options: ResolveOptions): Promise<ResolveAnswer> {
  if (options.v4 !== false || addresses.some(({ family }) => family === 6)) return { addresses };
  const prefixes = options.servers.length === 0 ? [] : await discoverNat64(options);
  if (prefixes.length === 0) return { addresses };
  return {
    addresses: [...prefixes.flatMap((prefix) => addresses.map((address) => embedInNat64(prefix, address))), ...addresses],
  };
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
