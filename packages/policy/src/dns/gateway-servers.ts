import { formatAddress, sameAddress, type IpAddress } from '@aovpn/bytes';
import type { NamedResolver, TunnelFacts } from '../facts.ts';
import type { DnsRule, EncryptedServer } from '../plan.ts';

/** Whom the gateway gives for names inside. */
export type GatewayServers = Pick<DnsRule, 'servers' | 'encrypted' | 'clear'>;

type NamingFacts = Pick<TunnelFacts, 'addresses' | 'dns' | 'encryptedDns'>;

/** RFC 7858 §3.1 */
const dotPort = 853;
const mostServers = 16;

/**
 * Whom the gateway gives. Where it names resolvers that speak DNS over TLS, those are the ones: RFC 9464 §4 has a gateway that names such name no
 * others, and one that does all the same has its clear ones asked only where the settings permit. What it names was authenticated with
 * it, so that nobody on the way can take the encrypted ones out: where none of them can be used here, its clear ones are asked as ever.
 */
export function gatewayServers(facts: NamingFacts): GatewayServers {
  const { dns, encryptedDns } = facts;
  const usable = encryptedDns?.resolvers.filter((resolver) => whyNotAsked(resolver, facts) === undefined) ?? [];
  const encrypted = usable.flatMap((resolver) => serversOf(resolver, facts)).slice(0, mostServers);
  if (encrypted.length === 0) return { servers: distinct(dns) };
  const clear = encryptedDns!.use === 'fallback' ? distinct(dns) : [];
  const servers = distinct([...encrypted.map(({ address }) => address), ...clear]);
  return { servers, encrypted, ...(clear.length > 0 && { clear }) };
}

/** Why a resolver that the gateway names is not asked; undefined: it is. */
export function whyNotAsked(resolver: NamedResolver, { addresses, encryptedDns }: NamingFacts): string | undefined {
  const { protocols, addresses: own } = resolver;
  if (encryptedDns?.use === 'off') return 'encrypted-dns is off';
  if (protocols.length === 0) return 'the gateway does not say which protocol it speaks';
  if (!protocols.includes('dot')) return `it speaks ${protocols.join(', ')}; here is DNS over TLS (dot)`;
  if (!own.some(({ family }) => addresses.some(({ address }) => address.family === family)))
    return 'the tunnel has no address of its family';
  return undefined;
}

/** One as text: `10.20.0.53 (TLS, dns.corp.example)`. */
export function formatEncryptedServer({ address, port, name }: Pick<EncryptedServer, 'address' | 'port' | 'name'>): string {
  return `${formatAddress(address)}${port === dotPort ? '' : ` port ${port}`} (TLS, ${name})`;
}

/** What proves it, for people. */
export function describeProof({ name, proof }: EncryptedServer): string {
  if (proof.kind === 'digests') return 'the digest of its key, which the gateway gave';
  return `a certificate for ${name} from ${proof.pem === undefined ? 'an authority of the system' : 'an authority of dns-ca'}`;
}

function serversOf({ name, addresses, port = dotPort, digests }: NamedResolver, facts: NamingFacts): EncryptedServer[] {
  const pem = facts.encryptedDns?.authorities;
  const proof = digests
    ? ({ kind: 'digests', digests } as const)
    : ({ kind: 'authorities', ...(pem !== undefined && { pem }) } as const);
  return distinct(addresses)
    .filter(({ family }) => facts.addresses.some(({ address }) => address.family === family))
    .map((address) => ({ address, port, name, proof }));
}

function distinct(addresses: readonly IpAddress[]): IpAddress[] {
  return addresses.filter((address, i) => addresses.findIndex((other) => sameAddress(other, address)) === i);
}
