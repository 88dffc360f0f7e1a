/**
 * Text of a server as it may be shown: no control characters, no invisible ones that turn the direction of writing, no line breaks,
 * and no more than `limit` characters.
 */
export function printable(text: string, limit = 512): string {
  const clean = text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ').trim();
  return clean.length > limit ? `${clean.slice(0, limit - 1)}…` : clean;
}
