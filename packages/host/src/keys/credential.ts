import { constants, createPrivateKey, sign, type KeyObject, type SignKeyObjectInput } from 'node:crypto';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import { promisify } from 'node:util';
import { decodeUtf8 } from '@aovpn/bytes';
import type { SignatureScheme } from '@aovpn/ike';
import { CertificateError, parseCertificate, type ParsedCertificate } from '../trust/certificate.ts';
import { weaknessOf } from '../trust/signature-algorithm.ts';
import { keysError } from './keys-error.ts';
import { readPemBlocks, type PemBlock } from './pem.ts';
import { openPkcs12 } from './pkcs12.ts';
import { readCertificateFile, readKeyFile, readSecretFile } from './secret-file.ts';

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
   * Signs; an ECDSA signature is DER (RFC 7427 §3).
   * @throws {HostError} 130
   */
  sign(scheme: SignatureScheme, data: Uint8Array): Promise<Uint8Array>;
  /** A context for `node:tls` that can use the key. */
  secureContext(options: Omit<SecureContextOptions, 'cert' | 'key' | 'pfx'>): SecureContext;
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
  const key = readPrivateKey(keyFile, keyPath);
  const certificates = readCertificates(certificateFile, files.certificate);
  keyFile.fill(0);
  return assembleCredential(key, certificates, files.certificate);
}

async function loadPkcs12(path: string, passwordPath: string | undefined): Promise<Credential> {
  const file = await readKeyFile(path);
  const secret = passwordPath === undefined ? new Uint8Array() : await readSecretFile(passwordPath);
  const { keys, certificates } = await openPkcs12(file, decodeUtf8(secret), path);
  secret.fill(0);
  if (keys.length === 0) throw keysError('AOV-HOST-111', `${path} holds no private key`);
  if (certificates.length === 0) throw keysError('AOV-HOST-110', `${path} holds no certificate`);
  const parsed = certificates.map((der) => parse(der, path));
  for (const key of keys) {
    const leaf = parsed.find((certificate) => certificate.x509.checkPrivateKey(key));
    if (leaf) return assembleCredential(key, [leaf, ...parsed.filter((certificate) => certificate !== leaf)], path);
  }
  throw keysError('AOV-HOST-114', `no certificate in ${path} belongs to its private key`);
}

function readCertificates(file: Uint8Array, path: string): ParsedCertificate[] {
  // DER begins with a SEQUENCE of more than 127 octets.
  if (file[0] === 0x30 && (file[1] ?? 0) >= 0x80) return [parse(file, path)];
  const blocks = blocksOf(file).filter((block) => block.label === 'CERTIFICATE');
  if (blocks.length === 0) throw keysError('AOV-HOST-110', `${path} holds no certificate`);
  return blocks.map((block) => parse(block.der, path));
}

function readPrivateKey(file: Uint8Array, path: string): KeyObject {
  const blocks = blocksOf(file).filter((block) => block.label.endsWith('PRIVATE KEY'));
  const [block] = blocks;
  if (!block) throw keysError('AOV-HOST-111', `${path} holds no private key`);
  if (blocks.length > 1) throw keysError('AOV-HOST-111', `${path} holds ${blocks.length} private keys; one is expected`);
  if (block.label === 'ENCRYPTED PRIVATE KEY' || block.hasHeaders)
    throw keysError('AOV-HOST-113', `the private key in ${path} is encrypted`);
  const types: Readonly<Record<string, 'pkcs8' | 'pkcs1' | 'sec1'>> = {
    'PRIVATE KEY': 'pkcs8',
    'RSA PRIVATE KEY': 'pkcs1',
    'EC PRIVATE KEY': 'sec1',
  };
  const type = types[block.label];
  if (!type) throw keysError('AOV-HOST-115', `${path} holds a "${block.label}"`);
  try {
    return createPrivateKey({ key: Buffer.from(block.der), format: 'der', type });
  } catch (error) {
    throw keysError('AOV-HOST-111', `the private key in ${path} cannot be decoded`, { cause: error });
  } finally {
    block.der.fill(0);
  }
}

function blocksOf(file: Uint8Array): PemBlock[] {
  return readPemBlocks(Buffer.from(file).toString('latin1'));
}

function parse(der: Uint8Array, path: string): ParsedCertificate {
  try {
    return parseCertificate(der);
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error;
    throw keysError('AOV-HOST-112', `${path}: ${error.message}`, { cause: error });
  }
}

function assembleCredential(key: KeyObject, certificates: readonly ParsedCertificate[], path: string): Credential {
  const leaf = certificates[0]!;
  if (!leaf.x509.checkPrivateKey(key)) {
    throw keysError('AOV-HOST-114', `the first certificate in ${path} ("${leaf.subject}") was issued for another key`);
  }
  const schemes = schemesOf(key, path);
  const text = (kind: 'dns' | 'email' | 'upn'): string[] => leaf.names.flatMap((name) => (name.kind === kind ? [name.text] : []));
  const chain = inOrder(certificates);
  return {
    certificates: chain.map((certificate) => certificate.der),
    subject: leaf.subject,
    subjectDn: leaf.subjectDn,
    issuer: leaf.issuer,
    names: { dns: text('dns'), email: text('email'), upn: text('upn') },
    notBefore: leaf.notBefore,
    notAfter: leaf.notAfter,
    extendedKeyUsage: leaf.extendedKeyUsage,
    schemes,
    sign: (scheme, data) => signWith(key, schemes, scheme, data),
    secureContext: (options) =>
      createSecureContext({
        ...options,
        cert: chain.map((certificate) => certificate.x509.toString()).join(''),
        key: key.export({ type: 'pkcs8', format: 'pem' }),
      }),
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

const pssSchemes = ['rsa-pss-sha256', 'rsa-pss-sha384', 'rsa-pss-sha512'] as const;
const pkcs1Schemes = ['rsa-pkcs1-sha256', 'rsa-pkcs1-sha384', 'rsa-pkcs1-sha512', 'rsa-pkcs1-sha1'] as const;
const curveSchemes: Readonly<Record<string, SignatureScheme>> = {
  prime256v1: 'ecdsa-sha256',
  secp384r1: 'ecdsa-sha384',
  secp521r1: 'ecdsa-sha512',
};

function schemesOf(key: KeyObject, path: string): readonly SignatureScheme[] {
  const weakness = weaknessOf(key);
  if (weakness !== undefined) throw keysError('AOV-HOST-115', `${path}: ${weakness}`);
  const type: string = key.asymmetricKeyType ?? 'unknown';
  switch (type) {
    case 'rsa':
      return [...pssSchemes, ...pkcs1Schemes];
    case 'rsa-pss':
      return pssSchemes;
    case 'ec':
      return [curveSchemes[key.asymmetricKeyDetails?.namedCurve ?? '']!];
    case 'ed25519':
      return ['ed25519'];
    default:
      throw keysError('AOV-HOST-115', `${path}: a key of type ${type}`);
  }
}

async function signWith(
  key: KeyObject,
  schemes: readonly SignatureScheme[],
  scheme: SignatureScheme,
  data: Uint8Array,
): Promise<Uint8Array> {
  if (!schemes.includes(scheme)) throw keysError('AOV-HOST-130', `this key cannot sign with ${scheme}`);
  const hash = scheme === 'ed25519' ? null : scheme.slice(scheme.lastIndexOf('-') + 1);
  const input: SignKeyObjectInput = scheme.startsWith('rsa-pss')
    ? { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
    : scheme.startsWith('rsa')
      ? { key, padding: constants.RSA_PKCS1_PADDING }
      : { key, dsaEncoding: 'der' };
  try {
    // With a callback, signing runs outside of the main thread.
    const signature = await promisify<string | null, Uint8Array, SignKeyObjectInput, Buffer>(sign)(hash, data, input);
    return new Uint8Array(signature);
  } catch (error) {
    throw keysError('AOV-HOST-130', `signing with ${scheme} failed`, { cause: error });
  }
}
