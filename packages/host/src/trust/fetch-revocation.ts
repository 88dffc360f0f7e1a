/** Fetches a revocation list (no body) or asks an OCSP responder (body). Rejects on any failure. */
export type RevocationFetch = (url: string, body?: Uint8Array) => Promise<Uint8Array>;

/** Largest answer, octets: lists of large public authorities have a few megabytes. */
const sizeLimit = 10 << 20;
/** For the whole fetch with its redirects, milliseconds. */
const timeLimit = 5000;
const redirectLimit = 3;

/**
 * The network behind revocation: plain http only (what is fetched is signed, and https would need the very check that it
 * serves), limits on size, time and redirects, no credentials, no cookies.
 */
export async function fetchRevocation(url: string, body?: Uint8Array): Promise<Uint8Array> {
  const signal = AbortSignal.timeout(timeLimit);
  let next = new URL(url);
  for (let redirects = 0; redirects <= redirectLimit; redirects++) {
    if (next.protocol !== 'http:') throw new Error(`${next.protocol} is not fetched`);
    const response = await fetch(next, {
      signal,
      redirect: 'manual',
      ...(body && { method: 'POST', body: body.slice(), headers: { 'content-type': 'application/ocsp-request' } }),
    });
    const location = response.headers.get('location');
    if (response.status >= 300 && response.status < 400 && location !== null) {
      await response.body?.cancel();
      next = new URL(location, next);
      continue;
    }
    if (response.status !== 200) {
      await response.body?.cancel();
      throw new Error(`HTTP status ${response.status}`);
    }
    return readLimited(response);
  }
  throw new Error(`more than ${redirectLimit} redirects`);
}

async function readLimited(response: Response): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of response.body ?? []) {
    size += part.length;
    if (size > sizeLimit) throw new Error(`more than ${sizeLimit} octets`);
    parts.push(part);
  }
  return new Uint8Array(Buffer.concat(parts));
}
