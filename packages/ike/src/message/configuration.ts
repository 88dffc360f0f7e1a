import { addressFromBytes, concat, decodeUtf8, type IpAddress, type IpPrefix } from '@aovpn/bytes';
import type { DnssecAnchor, EncryptedDns, KeyDigest, TunnelConfiguration } from '../machine/contract.ts';
import { ConfigAttributeType } from '../registry/config-attribute.ts';
import { decodeDigest, decodeEncryptedDns, encodeDigestRequest } from './encrypted-dns.ts';
import { mostResolvers } from './limit.ts';
import type { ConfigAttribute } from './payload.ts';

const none = new Uint8Array(0);

/** What may be asked for. */
export interface ConfigurationRequest {
  readonly v4: boolean;
  readonly v6: boolean;
  readonly dnssecAnchors?: readonly string[];
}

/**
 * The attributes of a CFG_REQUEST for what we can use (RFC 7296 §3.15.1, RFC 8598 §3.1, RFC 9464 §4).
 * @param wanted addresses that we had and would like to keep
 */
export function encodeConfigurationRequest(
  { v4, v6, dnssecAnchors = [] }: ConfigurationRequest,
  wanted: readonly IpPrefix[] = [],
): ConfigAttribute[] {
  const types: number[] = [];
  if (v4) {
    types.push(
      ConfigAttributeType.INTERNAL_IP4_ADDRESS,
      ConfigAttributeType.INTERNAL_IP4_NETMASK,
      ConfigAttributeType.INTERNAL_IP4_DNS,
      ConfigAttributeType.INTERNAL_IP4_SUBNET,
      ConfigAttributeType.ENCDNS_IP4,
    );
  }
  if (v6) {
    types.push(
      ConfigAttributeType.INTERNAL_IP6_ADDRESS,
      ConfigAttributeType.INTERNAL_IP6_DNS,
      ConfigAttributeType.INTERNAL_IP6_SUBNET,
      ConfigAttributeType.ENCDNS_IP6,
    );
  }
  if (types.length > 0) types.push(ConfigAttributeType.ENCDNS_DIGEST_INFO, ConfigAttributeType.INTERNAL_DNS_DOMAIN);
  // RFC 8598 §3.1: asked for only by who would use what comes.
  if (types.length > 0 && dnssecAnchors.length > 0) types.push(ConfigAttributeType.INTERNAL_DNSSEC_TA);
  const [wanted4, wanted6] = [4, 6].map((family) => wanted.find(({ address }) => address.family === family));
  return types.map((type) => {
    if (type === ConfigAttributeType.INTERNAL_IP4_ADDRESS && wanted4) return { type, value: wanted4.address.bytes };
    if (type === ConfigAttributeType.INTERNAL_IP6_ADDRESS && wanted6)
      return { type, value: concat(wanted6.address.bytes, Uint8Array.of(wanted6.length)) };
    if (type === ConfigAttributeType.ENCDNS_DIGEST_INFO) return { type, value: encodeDigestRequest() };
    return { type, value: none };
  });
}

/**
 * What a CFG_REPLY gives. An attribute without value gives nothing. Values that make no sense (a mask with holes, a text that is no
 * domain name) are kept among `other` and not acted upon; an address that makes no sense is a problem.
 * An IPv4 address has the length of the netmask, or 32 without one.
 * @param request what was asked for: trust anchors count for the names in it alone
 */
export function decodeConfigurationReply(
  attributes: readonly ConfigAttribute[],
  { dnssecAnchors: wanted = [] }: Pick<ConfigurationRequest, 'dnssecAnchors'> = {},
): TunnelConfiguration | { readonly problem: string } {
  const addresses: IpPrefix[] = [];
  const dns: IpAddress[] = [];
  const dnsDomains: string[] = [];
  const dnssecAnchors: DnssecAnchor[] = [];
  const encryptedDns: EncryptedDns[] = [];
  const digests: { readonly name?: string; readonly digest: KeyDigest }[] = [];
  const subnets: IpPrefix[] = [];
  const other: ConfigAttribute[] = [];
  const masks = attributes.filter(({ type, value }) => type === ConfigAttributeType.INTERNAL_IP4_NETMASK && value.length === 4);
  const netmask = masks[0] ? maskLength(masks[0].value) : 32;
  if (netmask === undefined || masks.length > 1) return { problem: 'unusable netmask' };

  // RFC 8598 §4.2: an anchor belongs to the name right before it.
  let domain: string | undefined;
  for (const attribute of attributes) {
    const { type, value } = attribute;
    if (type !== ConfigAttributeType.INTERNAL_DNSSEC_TA) domain = undefined;
    if (value.length === 0) continue;
    switch (type) {
      case ConfigAttributeType.INTERNAL_IP4_NETMASK:
        break;
      case ConfigAttributeType.INTERNAL_IP4_ADDRESS: {
        const address = unicast(value);
        if (!address) return { problem: 'unusable inner IPv4 address' };
        addresses.push({ address, length: netmask });
        break;
      }
      case ConfigAttributeType.INTERNAL_IP6_ADDRESS: {
        const address = unicast(value.subarray(0, 16));
        if (!address || value[16]! > 128) return { problem: 'unusable inner IPv6 address' };
        addresses.push({ address, length: value[16]! });
        break;
      }
      case ConfigAttributeType.INTERNAL_IP4_DNS:
      case ConfigAttributeType.INTERNAL_IP6_DNS: {
        const address = unicast(value.subarray(0, 16));
        if (address) dns.push(address);
        else other.push(attribute);
        break;
      }
      case ConfigAttributeType.INTERNAL_IP4_SUBNET: {
        const length = maskLength(value.subarray(4));
        if (length === undefined) other.push(attribute);
        else subnets.push({ address: addressFromBytes(value.subarray(0, 4)), length });
        break;
      }
      case ConfigAttributeType.INTERNAL_IP6_SUBNET:
        if (value[16]! > 128) other.push(attribute);
        else subnets.push({ address: addressFromBytes(value.subarray(0, 16)), length: value[16]! });
        break;
      case ConfigAttributeType.INTERNAL_DNS_DOMAIN: {
        domain = domainName(value);
        if (domain) dnsDomains.push(domain);
        else other.push(attribute);
        break;
      }
      case ConfigAttributeType.INTERNAL_DNSSEC_TA: {
        const anchor =
          domain !== undefined && wanted.some((name) => isAtOrBelow(domain!, name)) ? dnssecAnchor(domain, value) : undefined;
        if (anchor && dnssecAnchors.length < mostResolvers) dnssecAnchors.push(anchor);
        else other.push(attribute);
        break;
      }
      case ConfigAttributeType.ENCDNS_IP4:
      case ConfigAttributeType.ENCDNS_IP6: {
        const resolver = decodeEncryptedDns(value, type === ConfigAttributeType.ENCDNS_IP4 ? 4 : 16);
        if (resolver && encryptedDns.length < mostResolvers) encryptedDns.push(resolver);
        else other.push(attribute);
        break;
      }
      case ConfigAttributeType.ENCDNS_DIGEST_INFO: {
        const digest = decodeDigest(value);
        if (digest && digests.length < mostResolvers) digests.push(digest);
        else other.push(attribute);
        break;
      }
      default:
        other.push(attribute);
    }
  }
  const resolvers = encryptedDns
    .toSorted((a, b) => a.priority - b.priority)
    .map((resolver) => {
      const own = digests.filter(({ name }) => name === undefined || name === resolver.name).map(({ digest }) => digest);
      return own.length > 0 ? { ...resolver, digests: own } : resolver;
    });
  return { addresses, dns, dnsDomains, dnssecAnchors, encryptedDns: resolvers, subnets, other };
}

/** RFC 8598 §4.2: key tag, algorithm, digest type, digest. */
function dnssecAnchor(domain: string, value: Uint8Array): DnssecAnchor | undefined {
  if (value.length < 5 || value.length > 4 + 64) return undefined;
  const keyTag = (value[0]! << 8) | value[1]!;
  return { domain, keyTag, algorithm: value[2]!, digestType: value[3]!, digest: value.slice(4) };
}

function isAtOrBelow(domain: string, name: string): boolean {
  const above = name.toLowerCase();
  return domain === above || domain.endsWith(`.${above}`);
}

/** An address that a host can have: not unspecified, loopback, multicast, broadcast. */
export function unicast(octets: Uint8Array): IpAddress | undefined {
  if (octets.length !== 4 && octets.length !== 16) return undefined;
  const first = octets[0]!;
  const refused =
    octets.length === 4
      ? first === 0 || first === 127 || first >= 224
      : first === 0xff || octets.subarray(0, 15).every((octet) => octet === 0);
  return refused ? undefined : addressFromBytes(octets);
}

function maskLength(mask: Uint8Array): number | undefined {
  const bits = [...mask].map((octet) => octet.toString(2).padStart(8, '0')).join('');
  return bits.length === 32 && /^1*0*$/.test(bits) ? bits.lastIndexOf('1') + 1 : undefined;
}

/** RFC 8598 §4.1: a name in presentation form, without a final zero. Lower case, without a final dot; it goes into resolver settings. */
export function domainName(octets: Uint8Array): string | undefined {
  if (octets.length > 254) return undefined;
  const text = decodeUtf8(octets).toLowerCase().replace(/\.$/, '');
  const isName = text.length <= 253 && text.split('.').every((label) => /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label));
  return isName ? text : undefined;
}
