import type { NumberRange } from '@aovpn/profile';

/** The same numbers in order, without overlap or touch. */
export function mergeNumberRanges(ranges: readonly NumberRange[]): readonly NumberRange[] {
  const merged: NumberRange[] = [];
  for (const range of ranges.toSorted((a, b) => a.from - b.from)) {
    const last = merged.at(-1);
    if (last && range.from <= last.to + 1) merged[merged.length - 1] = { from: last.from, to: Math.max(last.to, range.to) };
    else merged.push(range);
  }
  return merged;
}

/** What is in `from` and not in `without`; both and the result are merged. */
export function subtractNumberRanges(from: readonly NumberRange[], without: readonly NumberRange[]): readonly NumberRange[] {
  const left: NumberRange[] = [];
  let i = 0;
  for (const range of from) {
    let next = range.from;
    while (i < without.length && without[i]!.to < next) i++;
    for (let k = i; k < without.length && without[k]!.from <= range.to; k++) {
      const hole = without[k]!;
      if (hole.from > next) left.push({ from: next, to: hole.from - 1 });
      next = Math.max(next, hole.to + 1);
    }
    if (next <= range.to) left.push({ from: next, to: range.to });
  }
  return left;
}

export function hasNumber(ranges: readonly NumberRange[], value: number): boolean {
  return ranges.some(({ from, to }) => from <= value && value <= to);
}

export function formatNumberRanges(ranges: readonly NumberRange[]): string {
  return ranges.map(({ from, to }) => (from === to ? String(from) : `${from}-${to}`)).join(',');
}
