/** A type without its positions. */
export type WithoutPositions<T> = T extends readonly (infer U)[]
  ? readonly WithoutPositions<U>[]
  : T extends object
    ? { readonly [K in Exclude<keyof T, 'at'>]: WithoutPositions<T[K]> }
    : T;

/** The same value with every `at` left out: what two profiles are compared by. */
export function withoutPositions<T>(value: T): WithoutPositions<T> {
  return strip(value) as WithoutPositions<T>;
}

function strip(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(strip);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => key !== 'at')
      .map(([key, inner]) => [key, strip(inner)]),
  );
}
