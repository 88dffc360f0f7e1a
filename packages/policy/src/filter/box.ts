import type { NumberRange } from '@aovpn/profile';

/** An address or a number in one dimension of a packet: IPv6 needs more than 53 bits. */
export type Edge = number | bigint;
export interface Interval {
  readonly from: Edge;
  readonly to: Edge;
}

/** All packets whose fields lie in these intervals, one for each field. All boxes of one set have the same fields. */
export type Box = readonly Interval[];

/** Comparisons that may be spent on one set, for each box in it. */
const effort = 400;

export function intervalOf({ from, to }: NumberRange): Interval {
  return { from, to };
}

/** Boxes that together are the same packets, fewer where neighbours differ in one field only. Time is n log n. */
export function mergeBoxes(boxes: readonly Box[]): readonly Box[] {
  const fields = boxes[0]?.length ?? 0;
  let merged = boxes;
  for (let field = 0; field < fields; field++) merged = mergeField(merged, field);
  return merged;
}

function mergeField(boxes: readonly Box[], field: number): readonly Box[] {
  const groups = new Map<string, Box[]>();
  for (const box of boxes) {
    let key = '';
    for (const [i, { from, to }] of box.entries()) if (i !== field) key += `${from}-${to} `;
    const group = groups.get(key);
    if (group) group.push(box);
    else groups.set(key, [box]);
  }
  const merged: Box[] = [];
  for (const group of groups.values()) {
    if (group.length === 1) {
      merged.push(group[0]!);
      continue;
    }
    for (const interval of mergeIntervals(group.map((box) => box[field]!))) merged.push(group[0]!.with(field, interval));
  }
  return merged;
}

/** The same values in order, without overlap or touch. */
export function mergeIntervals(intervals: readonly Interval[]): readonly Interval[] {
  const merged: Interval[] = [];
  for (const interval of intervals.toSorted((a, b) => compareEdges(a.from, b.from))) {
    const last = merged.at(-1);
    if (last && interval.from <= next(last.to)) {
      if (interval.to > last.to) merged[merged.length - 1] = { from: last.from, to: interval.to };
    } else merged.push(interval);
  }
  return merged;
}

/**
 * Boxes in layers, none overlapping another of its layer: nftables refuses overlapping elements in one set. What lies in another
 * box is dropped. Sane filters need one or two layers.
 * @returns `rest`: boxes that were left over when the effort was spent; they may overlap anything
 */
export function layerBoxes(boxes: readonly Box[]): {
  readonly layers: readonly (readonly Box[])[];
  readonly rest: readonly Box[];
} {
  const fields = boxes[0]?.length ?? 0;
  const sweep = widestField(boxes, fields);
  const sorted = boxes.toSorted(
    (a, b) => compareEdges(a[sweep]!.from, b[sweep]!.from) || -compareEdges(a[sweep]!.to, b[sweep]!.to),
  );
  const layers: { all: Box[]; active: Box[] }[] = [];
  const rest: Box[] = [];
  let budget = 100_000 + effort * boxes.length;
  for (const box of sorted) {
    if (budget <= 0) {
      rest.push(box);
      continue;
    }
    let placed = false;
    for (const layer of layers) {
      const { from } = box[sweep]!;
      let overlaps = false;
      let kept = 0;
      for (const other of layer.active) {
        budget--;
        if (other[sweep]!.to < from) continue;
        layer.active[kept++] = other;
        if (!overlaps && boxesOverlap(other, box)) {
          overlaps = true;
          if (boxContains(other, box)) placed = true;
        }
      }
      layer.active.length = kept;
      if (placed) break;
      if (overlaps) continue;
      layer.all.push(box);
      layer.active.push(box);
      placed = true;
      break;
    }
    if (!placed) layers.push({ all: [box], active: [box] });
  }
  return { layers: layers.map(({ all }) => all), rest };
}

/** The field in which most boxes begin at a place of their own: there the fewest are open at once. */
function widestField(boxes: readonly Box[], fields: number): number {
  let best = 0;
  let most = 0;
  for (let field = 0; field < fields; field++) {
    const distinct = new Set(boxes.map((box) => box[field]!.from)).size;
    if (distinct > most) {
      most = distinct;
      best = field;
    }
  }
  return best;
}

function boxesOverlap(a: Box, b: Box): boolean {
  for (let i = 0; i < a.length; i++) if (a[i]!.to < b[i]!.from || b[i]!.to < a[i]!.from) return false;
  return true;
}

function boxContains(outer: Box, inner: Box): boolean {
  return outer.every(({ from, to }, i) => from <= inner[i]!.from && inner[i]!.to <= to);
}

function compareEdges(a: Edge, b: Edge): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function next(edge: Edge): Edge {
  return typeof edge === 'bigint' ? edge + 1n : edge + 1;
}
