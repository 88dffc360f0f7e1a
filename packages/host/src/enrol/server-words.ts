/** Of a server's own words that are read, octets, and shown, characters. */
const octetsRead = 4096;
const wordsShown = 200;

/**
 * A few of a server's own words, in quotes and fit for a line of a log. None of `secrets` is among them, however a page shows what it was sent: with other spaces,
 * escaped for HTML, or cut off where we stop to read.
 */
export function serverWords(body: Uint8Array, secrets: readonly string[] = []): string {
  const folded = secrets.map((secret) => fold(secret).trim()).filter((secret) => secret !== '');
  const hidden = [...new Set(folded.flatMap((secret) => [secret, escapeHtml(secret)]))].toSorted((a, b) => b.length - a.length);
  const read = fold(Buffer.from(body.subarray(0, octetsRead)).toString('utf8'));
  const cut = body.length > octetsRead ? (hidden[0]?.length ?? 0) : 0;
  const text = hidden.reduce((words, secret) => words.replaceAll(secret, '(secret)'), read.slice(0, read.length - cut));
  const plain = fold(text.replaceAll(/<[^<>]*>/g, ' ')).trim();
  return plain === '' ? '' : `: "${plain.slice(0, wordsShown)}"`;
}

/** On one line, and nothing in it that is not printed. */
export function fold(text: string): string {
  return text.replaceAll(/[\p{C}\s]+/gu, ' ');
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
