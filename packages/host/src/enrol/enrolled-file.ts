import type { KeyObject } from 'node:crypto';
import { mkdir, unlink } from 'node:fs/promises';
import path from 'node:path';
import { writeFileAtomically } from '../files/write-file.ts';
import { HostError } from '../host-error.ts';
import { readCertificates, readPrivateKey } from '../keys/certificate-file.ts';
import { readKeyFile } from '../keys/secret-file.ts';
import { schemesOf } from '../keys/software-key.ts';
import type { ParsedCertificate } from '../trust/certificate.ts';

/** A certificate that was enrolled, with its key: one file of root's, so that both change together or not at all. */
export interface Enrolled {
  readonly key: KeyObject;
  /** Leaf first, its chain without the root. */
  readonly certificates: readonly ParsedCertificate[];
}

/** Where the enrolled certificate of this name is, with its key. */
export function enrolledFile(directory: string, name: string): string {
  return path.join(directory, `${name}.pem`);
}

/** Where the key of a request is that the authority has not decided on. */
export function pendingFile(directory: string, name: string): string {
  return path.join(directory, `${name}.pending`);
}

/** Undefined: there is none. @throws {HostError} 100–115 */
export async function readEnrolled(directory: string, name: string): Promise<Enrolled | undefined> {
  const file = enrolledFile(directory, name);
  return await ifThere(async () => {
    const octets = await readKeyFile(file);
    try {
      return { key: readPrivateKey(octets, file), certificates: readCertificates(octets, file) };
    } finally {
      octets.fill(0);
    }
  });
}

/** The new pair takes the place of the old one at once; a crash before that leaves the old one. */
export async function writeEnrolled(directory: string, name: string, { key, certificates }: Enrolled): Promise<void> {
  // A key that nothing else here would take is refused before the old one is gone.
  schemesOf(key, 'the new key');
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await writeFileAtomically(
    enrolledFile(directory, name),
    pem(key) + certificates.map(({ x509 }) => x509.toString()).join(''),
    0o600,
  );
  await forgetPending(directory, name);
}

/** Undefined: there is none, or none that can be used. */
export async function readPending(directory: string, name: string): Promise<KeyObject | undefined> {
  const file = pendingFile(directory, name);
  return await ifThere(async () => {
    const octets = await readKeyFile(file);
    try {
      return readPrivateKey(octets, file);
    } finally {
      octets.fill(0);
    }
  });
}

export async function writePending(directory: string, name: string, key: KeyObject): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await writeFileAtomically(pendingFile(directory, name), pem(key), 0o600);
}

export async function forgetPending(directory: string, name: string): Promise<void> {
  await unlink(pendingFile(directory, name)).catch(() => {});
}

function pem(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}

async function ifThere<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof HostError && (error.cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') return undefined;
    throw error;
  }
}
