export interface PlainRequest {
  readonly url: string;
  /** Sent by POST, as this type. */
  readonly body?: { readonly octets: Uint8Array; readonly type: string };
  /** Largest answer, octets. */
  readonly sizeLimit: number;
  readonly redirectLimit: number;
  readonly signal: AbortSignal;
}

/**
 * One answer by plain http, with limits on size, time and redirects, no credentials, no cookies; for what proves itself by a signature or a digest. The connection is
 * an ordinary one of this machine: it goes where routes lead, and LockDown lets it out nowhere else. Rejects on any failure.
 */
export async function fetchPlain({ url, body, sizeLimit, redirectLimit, signal }: PlainRequest): Promise<Uint8Array> {
  let next = new URL(url);
  for (let redirects = 0; ; redirects++) {
    if (next.protocol !== 'http:') throw new Error(`${next.protocol} is not fetched`);
    const response = await fetch(next, {
      signal,
      redirect: 'manual',
      // On a connection of its own: one from before may be closing at the other end.
      headers: { connection: 'close', ...(body && { 'content-type': body.type }) },
      ...(body && { method: 'POST', body: body.octets.slice() }),
    });
    const location = response.headers.get('location');
    if (response.status >= 300 && response.status < 400 && location !== null) {
      await response.body?.cancel();
      if (redirects === redirectLimit) throw new Error(`more than ${redirectLimit} redirects`);
      next = new URL(location, next);
      continue;
    }
    if (response.status !== 200) {
      await response.body?.cancel();
      throw new Error(`HTTP status ${response.status}`);
    }
    return await readLimited(response, sizeLimit);
  }
}

/** Why it came to nothing, with what is behind Node's "fetch failed". */
export function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? ` (${error.cause.message})` : '';
  return `${error instanceof Error ? error.message : String(error)}${cause}`;
}

async function readLimited(response: Response, sizeLimit: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of response.body ?? []) {
    size += part.length;
    if (size > sizeLimit) throw new Error(`more than ${sizeLimit} octets`);
    parts.push(part);
  }
  return new Uint8Array(Buffer.concat(parts));
}
