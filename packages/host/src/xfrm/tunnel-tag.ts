import { littleEndian } from '../sys/index.ts';
import { readU32, u32, viewOf, type Attribute } from '../network/rtnetlink.ts';
import { isOurNumber, XFRMA_IF_ID, XFRMA_MARK } from './xfrm-number.ts';

/**
 * By what the kernel finds states and policies of one tunnel, and we find ours again: the interface id of an XFRM interface, or where the kernel has
 * none the mark that a VTI device gives to whatever passes it.
 */
export interface TunnelTag {
  readonly by: 'interface' | 'mark';
  readonly id: number;
}

/** All bits of a mark count. */
const wholeMark = 0xffff_ffff;

/** For new states and policies, and for questions about policies. */
export function tagAttribute({ by, id }: TunnelTag): Attribute {
  if (by === 'interface') return [XFRMA_IF_ID, u32(id)];
  // struct xfrm_mark: value, mask
  const mark = new Uint8Array(8);
  viewOf(mark).setUint32(0, id, littleEndian);
  viewOf(mark).setUint32(4, wholeMark, littleEndian);
  return [XFRMA_MARK, mark];
}

/** For questions about states: they are found by mark, address and SPI, whatever their interface id is. */
export function stateTagAttributes(tag: TunnelTag | undefined): readonly Attribute[] {
  return tag?.by === 'mark' ? [tagAttribute(tag)] : [];
}

/** What a state or policy carries; a mark with less than all bits is nobody's of ours. */
export function readTag(attributes: ReadonlyMap<number, Uint8Array>): TunnelTag | undefined {
  const id = readU32(attributes.get(XFRMA_IF_ID));
  if (id) return { by: 'interface', id };
  const mark = attributes.get(XFRMA_MARK);
  if (!mark || mark.length < 8 || viewOf(mark).getUint32(4, littleEndian) !== wholeMark) return undefined;
  return { by: 'mark', id: viewOf(mark).getUint32(0, littleEndian) };
}

export function sameTag(a: TunnelTag | undefined, b: TunnelTag): boolean {
  return a?.by === b.by && a.id === b.id;
}

export function isOurTag(tag: TunnelTag | undefined): boolean {
  return tag !== undefined && isOurNumber(tag.id);
}
