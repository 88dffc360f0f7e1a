import { fetchPlain } from './fetch-plain.ts';

/** Fetches a revocation list (no body) or asks an OCSP responder (body). Rejects on any failure. */
export type RevocationFetch = (url: string, body?: Uint8Array) => Promise<Uint8Array>;

/** Largest answer, octets: lists of large public authorities have a few megabytes. */
const sizeLimit = 10 << 20;
/** For the whole fetch with its redirects, milliseconds. */
const timeLimit = 5000;
const redirectLimit = 3;

/** The network behind revocation: plain http only, since what is fetched is signed, and https would need the very check that it serves. */
export async function fetchRevocation(url: string, body?: Uint8Array): Promise<Uint8Array> {
  const signal = AbortSignal.timeout(timeLimit);
  const type = 'application/ocsp-request';
  return await fetchPlain({ url, sizeLimit, redirectLimit, signal, ...(body && { body: { octets: body, type } }) });
}
