import { addressFromBytes, concat, encodeUtf8, equal } from '@aovpn/bytes';
import type { GatewayPlace } from '../machine/contract.ts';
import { domainName, unicast } from './configuration.ts';

/** IANA "IKEv2 Gateway Identity Types" (RFC 5685 §9.2). */
const identityType = { IPV4: 1, IPV6: 2, FQDN: 3 } as const;

/** The data of REDIRECT and REDIRECTED_FROM (RFC 5685 §9.2, §9.3): type, length, the gateway, and in an IKE_SA_INIT answer our nonce. */
export function encodeGatewayPlace(place: GatewayPlace, nonce: Uint8Array = new Uint8Array(0)): Uint8Array {
  if (place.kind === 'address') {
    const { bytes, family } = place.address;
    return concat(Uint8Array.of(family === 4 ? identityType.IPV4 : identityType.IPV6, bytes.length), bytes, nonce);
  }
  const name = encodeUtf8(place.name);
  return concat(Uint8Array.of(identityType.FQDN, name.length), name, nonce);
}

/**
 * Where a REDIRECT leads; undefined for what leads nowhere: another type, an address that no gateway has, a text that is no name, or
 * a nonce that is not ours.
 * @param nonce ours, where it must come back (RFC 5685 §3); undefined where there must be none
 */
export function decodeRedirect(data: Uint8Array, nonce: Uint8Array | undefined): GatewayPlace | undefined {
  const [type, length] = data;
  if (type === undefined || length === undefined || data.length < 2 + length) return undefined;
  const identity = data.subarray(2, 2 + length);
  if (!equal(data.subarray(2 + length), nonce ?? new Uint8Array(0))) return undefined;
  if (type === identityType.FQDN) {
    const name = domainName(identity);
    return name === undefined ? undefined : { kind: 'name', name };
  }
  if ((type === identityType.IPV4 && length === 4) || (type === identityType.IPV6 && length === 16)) {
    const address = unicast(identity);
    return address && { kind: 'address', address: addressFromBytes(address.bytes) };
  }
  return undefined;
}
