/** One block of a PEM file (RFC 7468), decoded. */
export interface PemBlock {
  readonly label: string;
  readonly der: Uint8Array;
  /** Has header lines, as encrypted keys in OpenSSL's old format do. */
  readonly hasHeaders: boolean;
}

/** Blocks in the order of the file. Text between blocks is ignored, as everybody does. */
export function readPemBlocks(text: string): PemBlock[] {
  const blocks: PemBlock[] = [];
  const pattern = /-----BEGIN ([A-Z0-9 ]{1,40})-----\r?\n([^-]*)-----END \1-----/g;
  for (const [, label, body] of text.matchAll(pattern)) {
    const hasHeaders = body!.includes(':');
    const base64 = body!.replaceAll(/\s/g, '');
    if (!hasHeaders && !/^[A-Za-z0-9+/]*={0,2}$/.test(base64)) continue;
    blocks.push({
      label: label!,
      der: hasHeaders ? new Uint8Array() : new Uint8Array(Buffer.from(base64, 'base64')),
      hasHeaders,
    });
  }
  return blocks;
}
