import { createPrivateKey, type KeyObject } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { writeFileAtomically } from '../../files/write-file.ts';
import { HostError } from '../../host-error.ts';
import { readKeyFile } from '../../keys/secret-file.ts';
import { EnrolError } from '../enrol-error.ts';

/** A TXT record that is in the DNS because of us, or may be. */
export interface ProofRecord {
  readonly name: string;
  readonly text: string;
}

/** What is kept between two tries with one ACME server. */
export interface AcmeState {
  /** Of the directory. */
  readonly server: string;
  /** Under which the account was bound; empty: it was not. */
  readonly keyId: string;
  readonly key: KeyObject;
  /** URL of the account; undefined: the server was asked for one, and has not answered. */
  readonly account: string | undefined;
  /** URL of an order that the authority has not decided on. */
  readonly order: string | undefined;
  /** To be taken out again. */
  readonly records: readonly ProofRecord[];
}

/** Where the account of this enrolment is, with its key: root's alone. */
export function acmeFile(directory: string, name: string): string {
  return path.join(directory, `${name}.acme`);
}

/** Undefined: there is none. @throws {HostError} 101–104 @throws {EnrolError} host, when it is not ours */
export async function readAcmeState(directory: string, name: string): Promise<AcmeState | undefined> {
  const file = acmeFile(directory, name);
  let octets: Uint8Array;
  try {
    octets = await readKeyFile(file);
  } catch (error) {
    if (error instanceof HostError && (error.cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const { server, keyId, key, account, order, records } = JSON.parse(Buffer.from(octets).toString('utf8')) as Written;
    return { server, keyId, key: createPrivateKey(key), account, order, records };
  } catch (error) {
    throw new EnrolError('host', `${file} is not as it was written; remove it, and enrol with a new secret`, { cause: error });
  } finally {
    octets.fill(0);
  }
}

export async function writeAcmeState(directory: string, name: string, state: AcmeState): Promise<void> {
  const written: Written = { ...state, key: state.key.export({ type: 'pkcs8', format: 'pem' }).toString() };
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await writeFileAtomically(acmeFile(directory, name), `${JSON.stringify(written, null, 1)}\n`, 0o600);
}

/** Whether an account is there that can ask by itself. */
export async function hasAcmeAccount(directory: string, name: string): Promise<boolean> {
  const state = await readAcmeState(directory, name).catch(() => undefined);
  return state?.account !== undefined;
}

type Written = Omit<AcmeState, 'key'> & { readonly key: string };
