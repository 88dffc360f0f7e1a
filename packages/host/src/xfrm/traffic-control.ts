import { littleEndian } from '../sys/index.ts';
import { viewOf } from '../network/rtnetlink.ts';

// <linux/rtnetlink.h>
export const RTM_NEWQDISC = 36;
export const TCA_KIND = 1;
export const TCA_OPTIONS = 2;

/** `struct tcmsg` */
export function tcMessage(index: number, handle: number, parent: number, information: number): Uint8Array {
  const fixed = new Uint8Array(20);
  const view = viewOf(fixed);
  view.setInt32(4, index, littleEndian);
  view.setUint32(8, handle, littleEndian);
  view.setUint32(12, parent, littleEndian);
  view.setUint32(16, information, littleEndian);
  return fixed;
}

/** The name of a queue discipline, filter or action. */
export function tcKind(name: string): Uint8Array {
  return new TextEncoder().encode(`${name}\0`);
}
