/**
 * The name that was probably meant: the one that differs in case only, else the nearest one at most two edits away. Names are
 * compared up to 64 characters, so that the time spent on one name has a bound.
 */
export function suggestName(written: string, names: Iterable<string>): string | undefined {
  const lower = written.slice(0, 64).toLowerCase();
  const allowed = lower.length < 5 ? 1 : 2;
  let best: string | undefined;
  let bestDistance = allowed + 1;
  for (const name of names) {
    const distance = editDistance(lower, name.toLowerCase(), bestDistance);
    if (distance < bestDistance) {
      best = name;
      bestDistance = distance;
    }
  }
  return best;
}

/** Levenshtein distance; `limit` or more is told as `limit`. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let k = 1; k <= b.length; k++) {
      const substitution = previous[k - 1]! + (a[i - 1] === b[k - 1] ? 0 : 1);
      row.push(Math.min(substitution, previous[k]! + 1, row[k - 1]! + 1));
    }
    previous = row;
  }
  return Math.min(previous[b.length]!, limit);
}
