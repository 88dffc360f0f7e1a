import path from 'node:path';
import process from 'node:process';
import { readSecretFile } from '../keys/secret-file.ts';
import { HostError } from '../host-error.ts';
import { passwordError } from './password-error.ts';

/** systemd.exec(5): a credential's name is that of a file. */
const credentialName = /^(?!\.{1,2}$)[^/\0]{1,255}$/;

/**
 * A credential that systemd handed to this service (`LoadCredential=`, `LoadCredentialEncrypted=`, `SetCredential=`); undefined when
 * there is none of that name. The caller overwrites the octets.
 * @throws {HostError} AOV-HOST-503
 */
export async function readSystemdCredential(
  name: string,
  directory = process.env['CREDENTIALS_DIRECTORY'],
): Promise<Uint8Array | undefined> {
  if (directory === undefined || !path.isAbsolute(directory) || !credentialName.test(name)) return undefined;
  try {
    return await readSecretFile(path.join(directory, name));
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
    if ((error.cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') return undefined;
    throw passwordError('AOV-HOST-503', error.what, error);
  }
}
