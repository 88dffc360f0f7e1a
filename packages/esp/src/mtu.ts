import type { IpFamily } from '@aovpn/bytes';
import { espHeaderLength, espTrailerLength } from './packet.ts';
import type { EspTransform } from './transform.ts';

const udpHeaderLength = 8;

/** The longest inner packet that travels in one outer packet of `outerMtu` octets, in UDP (RFC 3948) and tunnel mode. */
export function innerMtu(outerMtu: number, outerFamily: IpFamily, transform: EspTransform): number {
  const outside = (outerFamily === 4 ? 20 : 40) + udpHeaderLength + espHeaderLength + transform.ivLength + transform.icvLength;
  const sealed = Math.max(0, outerMtu - outside);
  return Math.max(0, sealed - (sealed % transform.alignment) - espTrailerLength);
}
