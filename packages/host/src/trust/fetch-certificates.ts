import { createHash } from 'node:crypto';
import { equal } from '@aovpn/bytes';
import * as asn1js from 'asn1js';
import { decoding } from './certificate.ts';
import { isBelow } from './certificate-url.ts';
import { fetchPlain, reasonOf } from './fetch-plain.ts';

/** A certificate, or a bundle of them, that a gateway says is elsewhere (RFC 7296 §3.6). */
export interface CertificateReference {
  /** Before which of the certificates that came along it stands. */
  readonly before: number;
  readonly bundle: boolean;
  /** SHA-1 of what is there. */
  readonly hash: Uint8Array;
  readonly url: string;
}

export interface CertificateFetchLimits {
  /** Octets of one answer. */
  readonly size: number;
  /** For all of them together, milliseconds. */
  readonly time: number;
}

const defaultLimits: CertificateFetchLimits = { size: 1 << 16, time: 5000 };
/** As many as RFC 7296 §3.6 wants borne; whatever else is said is passed over. */
const mostReferences = 4;
const mostInBundle = 8;

/**
 * Certificates in the order in which the gateway meant them. Nothing is fetched but from below `prefixes`, and nothing that was fetched is taken but what has the digest that
 * the gateway said; whether it is believed is decided afterwards, as of any other certificate. What is not had is left out and said why.
 * @param sent those that came along, DER
 */
export async function collectCertificates(
  sent: readonly Uint8Array[],
  references: readonly CertificateReference[],
  prefixes: readonly URL[],
  limits: CertificateFetchLimits = defaultLimits,
): Promise<{ readonly certificates: readonly Uint8Array[]; readonly trace: readonly string[]; readonly firstMissing?: string }> {
  const signal = AbortSignal.timeout(limits.time);
  const wanted = references.slice(0, mostReferences);
  const fetched = await Promise.all(
    wanted.map(async (reference) => {
      try {
        return await obtain(reference, prefixes, limits, signal);
      } catch (error) {
        return signal.aborted ? `no answer within ${limits.time} ms` : reasonOf(error);
      }
    }),
  );
  const trace = wanted.map(({ url }, i) => {
    const got = fetched[i]!;
    return typeof got === 'string'
      ? `${url}: ${got}`
      : `${url}: fetched ${got.length === 1 ? 'a certificate' : `${got.length} certificates`}`;
  });
  if (references.length > wanted.length)
    trace.push(`${references.length - wanted.length} more that are elsewhere are passed over`);
  const at = (place: number): readonly Uint8Array[] =>
    wanted.flatMap(({ before }, i) => (before === place && typeof fetched[i] !== 'string' ? fetched[i]! : []));
  const certificates = [...sent.flatMap((der, i) => [...at(i), der]), ...at(sent.length)];
  const first = wanted.findIndex(({ before }) => before === 0);
  const firstMissing = typeof fetched[first] === 'string' ? trace[first]! : undefined;
  return { certificates, trace, ...(firstMissing !== undefined && { firstMissing }) };
}

/** The certificates that are there, or why there are none. */
async function obtain(
  { url, hash, bundle }: CertificateReference,
  prefixes: readonly URL[],
  { size }: CertificateFetchLimits,
  signal: AbortSignal,
): Promise<readonly Uint8Array[] | string> {
  if (!isBelow(url, prefixes)) return 'not below what certificate-urls of the settings allows; not fetched';
  const octets = await fetchPlain({ url, sizeLimit: size, redirectLimit: 0, signal });
  const digest = createHash('sha1').update(octets).digest();
  if (!equal(digest, hash)) return 'what is there has another digest than the gateway says';
  return bundle ? certificatesOf(octets) : [octets];
}

/** CertificateBundle: SEQUENCE OF CHOICE { cert [0] Certificate, crl [1] CertificateList }, tags explicit (RFC 7296 §3.6). Lists come as they do for everything else. */
function certificatesOf(octets: Uint8Array): readonly Uint8Array[] {
  return decoding('a bundle of certificates', () => {
    const { result, offset } = asn1js.fromBER(octets);
    if (offset !== octets.length || !(result instanceof asn1js.Sequence)) throw new Error('not a SEQUENCE');
    const entries = result.valueBlock.value;
    if (entries.length > mostInBundle) throw new Error(`${entries.length} entries`);
    return entries.flatMap((entry) => {
      const { tagClass, tagNumber } = entry.idBlock;
      const [inner, ...more] = entry instanceof asn1js.Constructed ? entry.valueBlock.value : [];
      if (tagClass !== 3 || tagNumber > 1 || !inner || more.length > 0)
        throw new Error('an entry that is neither certificate nor list');
      return tagNumber === 0 ? [new Uint8Array(inner.valueBeforeDecodeView)] : [];
    });
  });
}
