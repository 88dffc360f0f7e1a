import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { equal } from '@aovpn/bytes';
import { keysError } from '../keys/keys-error.ts';
import { readPemBlocks } from '../keys/pem.ts';
import { CertificateError, parseCertificate, type ParsedCertificate } from './certificate.ts';

/** Where Debian, Ubuntu, Fedora (by a link) and Arch keep the roots of the system. */
const systemAnchorsPath = '/etc/ssl/certs/ca-certificates.crt';

/** Trust anchors, found by subject; each is decoded when it is needed first. */
export class AnchorStore {
  readonly #bySubject = new Map<string, { readonly x509: X509Certificate; parsed: ParsedCertificate | undefined }[]>();

  constructor(anchors: readonly X509Certificate[]) {
    for (const x509 of anchors) {
      const same = this.#bySubject.get(x509.subject ?? '') ?? [];
      same.push({ x509, parsed: undefined });
      this.#bySubject.set(x509.subject ?? '', same);
    }
  }

  /** @throws {HostError} 141 when one cannot be decoded */
  static fromDer(anchors: readonly Uint8Array[]): AnchorStore {
    return new AnchorStore(anchors.map(decode));
  }

  /**
   * The roots that the system trusts.
   * @throws {HostError} 140 when there are none
   */
  static fromSystem(path = systemAnchorsPath): AnchorStore {
    let text: string;
    try {
      text = readFileSync(path, 'latin1');
    } catch (error) {
      throw keysError('AOV-HOST-140', `no trust anchors in ${path}`, { cause: error });
    }
    const blocks = readPemBlocks(text).filter((block) => block.label === 'CERTIFICATE');
    if (blocks.length === 0) throw keysError('AOV-HOST-140', `no trust anchors in ${path}`);
    return AnchorStore.fromDer(blocks.map((block) => block.der));
  }

  get size(): number {
    let size = 0;
    for (const same of this.#bySubject.values()) size += same.length;
    return size;
  }

  /** Anchors that have issued this certificate by name; signatures are the caller's business. */
  issuersOf(certificate: ParsedCertificate): ParsedCertificate[] {
    return this.#named(certificate.x509.issuer ?? '');
  }

  /** Whether this very certificate is an anchor. */
  has(certificate: ParsedCertificate): boolean {
    return (this.#bySubject.get(certificate.x509.subject ?? '') ?? []).some((entry) =>
      equal(entry.x509.raw, certificate.x509.raw),
    );
  }

  /** Those whose SHA-1 thumbprint (lower-case hexadecimal) is in the list. */
  withThumbprints(thumbprints: readonly string[]): AnchorStore {
    const wanted = new Set(thumbprints);
    const all = [...this.#bySubject.values()].flat().map((entry) => entry.x509);
    return new AnchorStore(all.filter((x509) => wanted.has(createHash('sha1').update(x509.raw).digest('hex'))));
  }

  /** These, and others beside them. */
  withAlso(others: readonly X509Certificate[]): AnchorStore {
    return new AnchorStore([...[...this.#bySubject.values()].flat().map((entry) => entry.x509), ...others]);
  }

  /** Of all of them together: differs when they differ. */
  digest(): string {
    const hashes = [...this.#bySubject.values()].flat().map(({ x509 }) => x509.fingerprint256 ?? '');
    return createHash('sha256').update(hashes.toSorted().join('\n')).digest('hex');
  }

  #named(subject: string): ParsedCertificate[] {
    const found: ParsedCertificate[] = [];
    for (const entry of this.#bySubject.get(subject) ?? []) {
      try {
        entry.parsed ??= parseCertificate(new Uint8Array(entry.x509.raw));
        found.push(entry.parsed);
      } catch (error) {
        // An anchor that only one of our two decoders reads is not used.
        if (!(error instanceof CertificateError)) throw error;
      }
    }
    return found;
  }
}

function decode(der: Uint8Array): X509Certificate {
  try {
    return new X509Certificate(der);
  } catch (error) {
    throw keysError('AOV-HOST-141', 'a trust anchor cannot be decoded', { cause: error });
  }
}
