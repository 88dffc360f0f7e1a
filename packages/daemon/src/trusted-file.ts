import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import process from 'node:process';
import { HostError, hostErrors } from '@aovpn/host';

/** A system's whole list of roots has a quarter of it. */
const maxTrustedBytes = 4 << 20;

/**
 * Reads a file that says whom we believe: whoever can write it decides that.
 * @returns undefined when there is no such file
 * @throws {HostError} 100–104
 */
export async function readTrustedFile(file: string): Promise<string | undefined> {
  try {
    const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const facts = await handle.stat();
      if (!facts.isFile()) throw hostError('AOV-HOST-103', `${file} is not a regular file`);
      if (facts.uid !== 0 && facts.uid !== process.geteuid?.())
        throw hostError('AOV-HOST-102', `${file} belongs to user ${facts.uid}`);
      if ((facts.mode & 0o022) !== 0) throw hostError('AOV-HOST-101', `${file} can be written by other users`);
      if (facts.size > maxTrustedBytes) throw hostError('AOV-HOST-104', `${file} has ${facts.size} octets`);
      return await handle.readFile('latin1');
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (error instanceof HostError) throw error;
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw hostError('AOV-HOST-100', `${file} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`, error);
  }
}

/** An error of the host room that this room found. */
export function hostError(code: string, what: string, cause?: unknown): HostError {
  return new HostError(code, what, hostErrors.find((entry) => entry.code === code)?.cure ?? '', cause);
}
