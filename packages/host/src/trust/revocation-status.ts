/** What one source says about one certificate. `until`: how long the answer may be used again. */
export type RevocationStatus =
  | { readonly kind: 'good'; readonly until: Date }
  | { readonly kind: 'revoked'; readonly since: Date | undefined; readonly until: Date }
  | { readonly kind: 'unknown'; readonly why: string };

/** How far another clock may be ahead of ours, milliseconds. */
export const clockSkew = 5 * 60_000;

export function unknown(why: string): Extract<RevocationStatus, { kind: 'unknown' }> {
  return { kind: 'unknown', why };
}
