import { concat } from '@aovpn/bytes';
import { littleEndian } from '../sys/index.ts';
import { viewOf, type Attribute } from './rtnetlink.ts';

/** Attributes as the value of another one (netlink(7)). */
export function nested(attributes: readonly Attribute[]): Uint8Array {
  return concat(
    ...attributes.map(([type, value]) => {
      const octets = new Uint8Array((4 + value.length + 3) & ~3);
      viewOf(octets).setUint16(0, 4 + value.length, littleEndian);
      viewOf(octets).setUint16(2, type, littleEndian);
      octets.set(value, 4);
      return octets;
    }),
  );
}
