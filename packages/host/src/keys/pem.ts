/** One block of a PEM file (RFC 7468), decoded. */
export interface PemBlock {
  readonly label: string;
  readonly der: Uint8Array;
  /** Has header lines, as encrypted keys in OpenSSL's old format do; then `der` is empty. */
  readonly hasHeaders: boolean;
}

/** Blocks in the order of the file. Text between blocks is ignored, as everybody does. */
export function readPemBlocks(text: string): PemBlock[] {
  const blocks: PemBlock[] = [];
  let label: string | undefined;
  let body: string[] = [];
  for (const line of text.split(/\r?\n/)) {
    const [, edge, name] = /^-----(BEGIN|END) ([A-Z0-9 ]{1,40})-----\s*$/.exec(line) ?? [];
    if (edge === 'BEGIN') {
      label = name;
      body = [];
    } else if (edge === 'END') {
      if (label !== undefined && label === name) blocks.push(decode(label, body));
      label = undefined;
    } else if (label !== undefined) {
      body.push(line);
    }
  }
  return blocks;
}

function decode(label: string, body: readonly string[]): PemBlock {
  const hasHeaders = body.some((line) => line.includes(':'));
  if (hasHeaders) return { label, der: new Uint8Array(), hasHeaders };
  // Buffer.from takes memory that others will get; a private key must not stay there.
  const pooled = Buffer.from(body.join(''), 'base64');
  const der = new Uint8Array(pooled);
  pooled.fill(0);
  return { label, der, hasHeaders };
}
