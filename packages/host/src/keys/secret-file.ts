import { open, type FileHandle } from 'node:fs/promises';
import process from 'node:process';
import { keysError } from './keys-error.ts';

/** Largest file with a certificate chain or key, octets. */
const credentialLimit = 1 << 20;
/** Largest file with a secret. */
const secretLimit = 1 << 16;

/**
 * Reads a secret, such as a password: regular file of root or of our user, for nobody else to read; one line end at the end
 * is not part of the secret. The caller overwrites the octets when done.
 * @throws {HostError} 100–105
 */
export async function readSecretFile(path: string): Promise<Uint8Array> {
  const octets = await readFile(path, secretLimit, 'strict');
  let end = octets.length;
  if (end > 0 && octets[end - 1] === 0x0a) end--;
  if (end > 0 && octets[end - 1] === 0x0d && end < octets.length) end--;
  const secret = octets.slice(0, end);
  octets.fill(0);
  if (secret.length === 0) throw keysError('AOV-HOST-105', `${path} is empty`);
  return secret;
}

/** Reads a file that may hold a private key, with the same demands as {@link readSecretFile}. */
export function readKeyFile(path: string): Promise<Uint8Array> {
  return readFile(path, credentialLimit, 'strict');
}

/** Reads a file that holds certificates only: everybody may read it. */
export function readCertificateFile(path: string): Promise<Uint8Array> {
  return readFile(path, credentialLimit, 'public');
}

async function readFile(path: string, limit: number, access: 'strict' | 'public'): Promise<Uint8Array> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    throw keysError('AOV-HOST-100', `${path} cannot be opened (${codeOf(error)})`, { cause: error });
  }
  try {
    // What was opened is what is judged: a link is followed once, and cannot be exchanged in between.
    const facts = await file.stat();
    if (!facts.isFile()) throw keysError('AOV-HOST-103', `${path} is not a regular file`);
    if (access === 'strict') {
      if (facts.uid !== 0 && facts.uid !== process.geteuid?.()) {
        throw keysError('AOV-HOST-102', `${path} belongs to user ${facts.uid}`, { cure: `Run: chown root:root ${path}` });
      }
      if ((facts.mode & 0o077) !== 0) {
        const mode = (facts.mode & 0o7777).toString(8).padStart(4, '0');
        throw keysError('AOV-HOST-101', `${path} can be used by other users (mode ${mode})`, { cure: `Run: chmod 600 ${path}` });
      }
    }
    if (facts.size > limit) throw keysError('AOV-HOST-104', `${path} has ${facts.size} octets; the limit is ${limit}`);
    return await readUpTo(file, path, limit);
  } finally {
    await file.close();
  }
}

/** The size of a file can change while it is read, so the limit is kept here as well. */
async function readUpTo(file: FileHandle, path: string, limit: number): Promise<Uint8Array> {
  const buffer = new Uint8Array(limit + 1);
  let length = 0;
  for (;;) {
    let bytesRead: number;
    try {
      ({ bytesRead } = await file.read(buffer, length, buffer.length - length, length));
    } catch (error) {
      throw keysError('AOV-HOST-100', `${path} cannot be read (${codeOf(error)})`, { cause: error });
    }
    length += bytesRead;
    if (bytesRead === 0 || length > limit) break;
  }
  if (length > limit) throw keysError('AOV-HOST-104', `${path} is larger than ${limit} octets`);
  const octets = buffer.slice(0, length);
  buffer.fill(0, 0, length);
  return octets;
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
}
