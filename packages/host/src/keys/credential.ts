import { createHash, type KeyObject } from 'node:crypto';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import { decodeUtf8 } from '@aovpn/bytes';
import type { SignatureScheme } from '@aovpn/ike';
import type { HostError } from '../host-error.ts';
import type { ParsedCertificate } from '../trust/certificate.ts';
import { decodeCertificate, readCertificates, readPrivateKey } from './certificate-file.ts';
import { keysError } from './keys-error.ts';
import { openPkcs12 } from './pkcs12.ts';
import type { PrivateKey } from './private-key.ts';
import { readCertificateFile, readKeyFile, readSecretFile } from './secret-file.ts';
import { softwareKey } from './software-key.ts';

/** Where a credential is. Either `certificate` with `key` (which may be the same file), or `pkcs12`. */
export interface CredentialFiles {
  /** PEM: the certificate, with its chain if wanted; or one DER certificate. */
  readonly certificate?: string;
  /** PEM: PKCS#8, PKCS#1 or SEC1, not encrypted. Undefined: it is in the certificate's file. */
  readonly key?: string;
  readonly pkcs12?: string;
  /** Undefined: the empty password. */
  readonly pkcs12PasswordFile?: string;
}

/** A certificate with its key. The key itself stays behind these functions. */
export interface Credential {
  /** SHA-256 of the certificate, lower-case hexadecimal; as in `CertificateCandidate`. */
  readonly id: string;
  readonly onToken: boolean;
  /** DER, leaf first. */
  readonly certificates: readonly Uint8Array[];
  /** One line, such as `C=DE, O=Example, CN=laptop`. */
  readonly subject: string;
  /** DER Name. */
  readonly subjectDn: Uint8Array;
  readonly issuer: string;
  readonly names: { readonly dns: readonly string[]; readonly email: readonly string[]; readonly upn: readonly string[] };
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** Object identifiers; undefined: the certificate does not say. */
  readonly extendedKeyUsage: readonly string[] | undefined;
  /** What the key can sign with, most wanted first. */
  readonly schemes: readonly SignatureScheme[];
  /**
   * Makes the key ready; a token asks for its PIN. Signing does it by itself, a TLS handshake cannot.
   * @throws {HostError} 151–157
   */
  unlock(): Promise<void>;
  /**
   * Signs; an ECDSA signature is DER (RFC 7427 §3).
   * @throws {HostError} 114, 130, 151–157
   */
  sign(scheme: SignatureScheme, data: Uint8Array): Promise<Uint8Array>;
  /** A context for `node:tls` that can use the key: synchronously, so {@link unlock} comes first. */
  secureContext(options: Omit<SecureContextOptions, 'cert' | 'key' | 'pfx'>): SecureContext;
  /** Why the key could not sign in a handshake that has failed, if that is why; told once. */
  takeFailure(): HostError | undefined;
}

/**
 * Loads a certificate with its key.
 * @throws {HostError} 100–122: each names the file and the cure
 */
export async function loadCredential(files: CredentialFiles): Promise<Credential> {
  if (files.pkcs12 !== undefined) return loadPkcs12(files.pkcs12, files.pkcs12PasswordFile);
  if (files.certificate === undefined) throw keysError('AOV-HOST-116', 'neither a certificate file nor a PKCS#12 file is named');
  const keyPath = files.key ?? files.certificate;
  const keyFile = await readKeyFile(keyPath);
  const certificateFile = keyPath === files.certificate ? keyFile : await readCertificateFile(files.certificate);
  try {
    const key = readPrivateKey(keyFile, keyPath);
    return fromFile(key, readCertificates(certificateFile, files.certificate), files.certificate);
  } finally {
    keyFile.fill(0);
  }
}

async function loadPkcs12(path: string, passwordPath: string | undefined): Promise<Credential> {
  const { keys, certificates } = await readPkcs12(path, passwordPath);
  if (keys.length === 0) throw keysError('AOV-HOST-111', `${path} holds no private key`);
  if (certificates.length === 0) throw keysError('AOV-HOST-110', `${path} holds no certificate`);
  for (const key of keys) {
    const leaf = certificates.find((certificate) => certificate.x509.checkPrivateKey(key));
    if (leaf) return fromFile(key, [leaf, ...certificates.filter((certificate) => certificate !== leaf)], path);
  }
  throw keysError('AOV-HOST-114', `no certificate in ${path} belongs to its private key`);
}

/** @throws {HostError} 100–105, 112, 120–122 */
export async function readPkcs12(
  path: string,
  passwordPath: string | undefined,
): Promise<{ readonly keys: readonly KeyObject[]; readonly certificates: readonly ParsedCertificate[] }> {
  const file = await readKeyFile(path);
  const secret = passwordPath === undefined ? new Uint8Array() : await readSecretFile(passwordPath);
  try {
    const { keys, certificates } = await openPkcs12(file, decodeUtf8(secret), path);
    return { keys, certificates: certificates.map((der) => decodeCertificate(der, path)) };
  } finally {
    secret.fill(0);
  }
}

function fromFile(key: KeyObject, certificates: readonly ParsedCertificate[], path: string): Credential {
  const leaf = certificates[0]!;
  if (!leaf.x509.checkPrivateKey(key)) {
    throw keysError('AOV-HOST-114', `the first certificate in ${path} ("${leaf.subject}") was issued for another key`);
  }
  return assembleCredential(softwareKey(key, path), certificates);
}

/** `certificates`: the leaf, and others among which its issuers may be. */
export function assembleCredential(key: PrivateKey, certificates: readonly ParsedCertificate[]): Credential {
  const leaf = certificates[0]!;
  const text = (kind: 'dns' | 'email' | 'upn'): string[] => leaf.names.flatMap((name) => (name.kind === kind ? [name.text] : []));
  const chain = inOrder(certificates);
  return {
    id: createHash('sha256').update(leaf.der).digest('hex'),
    onToken: key.onToken,
    certificates: chain.map((certificate) => certificate.der),
    subject: leaf.subject,
    subjectDn: leaf.subjectDn,
    issuer: leaf.issuer,
    names: { dns: text('dns'), email: text('email'), upn: text('upn') },
    notBefore: leaf.notBefore,
    notAfter: leaf.notAfter,
    extendedKeyUsage: leaf.extendedKeyUsage,
    schemes: key.schemes,
    unlock: () => key.unlock(),
    sign: (scheme, data) => key.sign(scheme, data),
    secureContext: (options) => {
      const cert = chain.map((certificate) => certificate.x509.toString()).join('');
      return createSecureContext({ ...options, ...key.tlsOptions(), cert });
    },
    takeFailure: () => key.takeFailure(),
  };
}

/** Leaf, its issuer, and so on; what does not chain, and a self-signed root (the gateway has its own), is left out. */
function inOrder(certificates: readonly ParsedCertificate[]): ParsedCertificate[] {
  const chain = [certificates[0]!];
  for (;;) {
    const last = chain.at(-1)!;
    const issuer = certificates.find((other) => !chain.includes(other) && last.x509.checkIssued(other.x509));
    if (!issuer || issuer.x509.checkIssued(issuer.x509)) return chain;
    chain.push(issuer);
  }
}
