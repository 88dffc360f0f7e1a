import { createHash } from 'node:crypto';
import { AnchorStore } from '../trust/anchor-store.ts';
import { parseCertificate, type ParsedCertificate } from '../trust/certificate.ts';

/** Certificates of believed servers that stay read, and sets of roots that stay open. */
const certificateLimit = 32;
const rootsLimit = 8;

/**
 * What was read of RADIUS servers and their roots before. Reading a certificate takes milliseconds, and behind us an authenticator waits;
 * a server shows the same ones at every handshake. It is the same for all connections, since reading says nothing of trust: path, time,
 * names and revocation are judged anew each time.
 */
export class ServerMemory {
  readonly #certificates = new Map<string, ParsedCertificate>();
  readonly #roots = new Map<string, AnchorStore>();
  readonly #narrowed = new WeakMap<AnchorStore, Map<string, AnchorStore>>();

  /** @throws {CertificateError} */
  read(der: Uint8Array): ParsedCertificate {
    return this.#certificates.get(digestOf(der)) ?? parseCertificate(der);
  }

  /** Only chains that were believed: who is not, can neither fill the memory nor push others out. */
  keep(certificates: readonly ParsedCertificate[]): void {
    for (const certificate of certificates) put(this.#certificates, digestOf(certificate.der), certificate, certificateLimit);
  }

  /** @throws {HostError} 141 when one cannot be decoded */
  roots(ders: readonly Uint8Array[]): AnchorStore {
    const key = ders.map(digestOf).join(' ');
    const store = this.#roots.get(key) ?? AnchorStore.fromDer(ders);
    put(this.#roots, key, store, rootsLimit);
    return store;
  }

  /** Those of the roots whose SHA-1 thumbprints a profile names. */
  narrowed(roots: AnchorStore, thumbprints: readonly string[]): AnchorStore {
    const known = this.#narrowed.get(roots) ?? new Map<string, AnchorStore>();
    this.#narrowed.set(roots, known);
    const key = thumbprints.join(' ');
    const store = known.get(key) ?? roots.withThumbprints(thumbprints);
    put(known, key, store, rootsLimit);
    return store;
  }
}

export const serverMemory = new ServerMemory();

function digestOf(der: Uint8Array): string {
  return createHash('sha256').update(der).digest('base64');
}

/** What was used last stays longest. */
function put<V>(map: Map<string, V>, key: string, value: V, limit: number): void {
  map.delete(key);
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > limit && oldest !== undefined) map.delete(oldest);
}
