import { networkOf, type IpAddress, type IpPrefix } from '@aovpn/bytes';

/** The classful network of an IPv4 address (RFC 791 §2.3): class A /8, B /16, C /24; undefined for class D, E and IPv6. */
export function classBasedRoute(
  address: IpAddress,
): { readonly prefix: IpPrefix; readonly className: 'A' | 'B' | 'C' } | undefined {
  if (address.family !== 4) return undefined;
  const first = address.bytes[0]!;
  if (first === 0 || first >= 224) return undefined;
  const className = first < 128 ? 'A' : first < 192 ? 'B' : 'C';
  const length = { A: 8, B: 16, C: 24 }[className];
  return { prefix: networkOf({ address, length }), className };
}
