/** What is one user's, by user; what is nobody's is left out. Order is kept. */
export function groupByUser<T>(all: readonly T[], userOf: (one: T) => number | undefined): ReadonlyMap<number, readonly T[]> {
  const groups = new Map<number, T[]>();
  for (const one of all) {
    const user = userOf(one);
    if (user === undefined) continue;
    const group = groups.get(user);
    if (group) group.push(one);
    else groups.set(user, [one]);
  }
  return groups;
}
