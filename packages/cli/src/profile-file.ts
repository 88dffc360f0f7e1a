import { readFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import process from 'node:process';
import { maxRequestBytes } from '@aovpn/api';
import { CommandError, ExitCode } from './command.ts';

/** The octets of a profile file, `-` being standard input. */
export async function readProfileFile(file: string): Promise<Uint8Array> {
  const bytes =
    file === '-'
      ? await buffer(process.stdin)
      : await readFile(file).catch((error: NodeJS.ErrnoException) => refuse(file, error));
  if (bytes.length > maxRequestBytes) {
    throw new CommandError(
      ExitCode.failed,
      `${file} has ${bytes.length} octets; a profile has at most ${maxRequestBytes}`,
      'is this the right file?',
    );
  }
  return bytes;
}

/** Any file a person named; a missing one is said plainly. */
export async function readNamedFile(file: string): Promise<Uint8Array> {
  return await readFile(file).catch((error: NodeJS.ErrnoException) => refuse(file, error));
}

function refuse(file: string, error: NodeJS.ErrnoException): never {
  const reasons: Record<string, readonly [string, string]> = {
    ENOENT: ['there is no such file', 'check the spelling of the path'],
    EACCES: ['you may not read it', 'become root, or change its permissions'],
    EISDIR: ['it is a directory', 'name the file inside it'],
  };
  const [reason, cure] = reasons[error.code ?? ''] ?? [error.message, ''];
  throw new CommandError(ExitCode.failed, `${file}: ${reason}`, cure);
}
