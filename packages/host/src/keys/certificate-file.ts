import { createPrivateKey, type KeyObject } from 'node:crypto';
import { CertificateError, parseCertificate, type ParsedCertificate } from '../trust/certificate.ts';
import { keysError } from './keys-error.ts';
import { readPemBlocks, type PemBlock } from './pem.ts';

/** Certificates of a file: PEM blocks, or one DER certificate. @throws {HostError} 110, 112 */
export function readCertificates(file: Uint8Array, path: string): ParsedCertificate[] {
  // DER begins with a SEQUENCE of more than 127 octets.
  if (file[0] === 0x30 && (file[1] ?? 0) >= 0x80) return [decodeCertificate(file, path)];
  const blocks = blocksOf(file).filter((block) => block.label === 'CERTIFICATE');
  if (blocks.length === 0) throw keysError('AOV-HOST-110', `${path} holds no certificate`);
  return blocks.map((block) => decodeCertificate(block.der, path));
}

/** @throws {HostError} 112 */
export function decodeCertificate(der: Uint8Array, path: string): ParsedCertificate {
  try {
    return parseCertificate(der);
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error;
    throw keysError('AOV-HOST-112', `${path}: ${error.message}`, { cause: error });
  }
}

/** Whether a certificate in PEM is in the file, readable or not. */
export function holdsCertificate(file: Uint8Array): boolean {
  return asBuffer(file).includes('BEGIN CERTIFICATE');
}

/** Whether a private key is in the file, readable or not. */
export function holdsPrivateKey(file: Uint8Array): boolean {
  return asBuffer(file).includes('PRIVATE KEY-----');
}

/** The one private key of a PEM file. @throws {HostError} 111, 113, 115 */
export function readPrivateKey(file: Uint8Array, path: string): KeyObject {
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
    return createPrivateKey({ key: asBuffer(block.der), format: 'der', type });
  } catch (error) {
    throw keysError('AOV-HOST-111', `the private key in ${path} cannot be decoded`, { cause: error });
  } finally {
    for (const { der } of blocks) der.fill(0);
  }
}

function blocksOf(file: Uint8Array): PemBlock[] {
  return readPemBlocks(asBuffer(file).toString('latin1'));
}

/** The same octets, not a copy that nobody overwrites. */
function asBuffer(octets: Uint8Array): Buffer {
  return Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength);
}
