import { realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { HostError } from '../../host-error.ts';
import { loadCryptoki } from '../../sys/pkcs11.ts';
import { keysError } from '../keys-error.ts';
import { createCryptoki, type Cryptoki } from './cryptoki.ts';

/** A PKCS#11 module in use. C_Initialize counts for the whole process, so everybody shares one. */
export interface TokenModule {
  readonly path: string;
  readonly cryptoki: Cryptoki;
  /** Tokens in use: while there are any, the module is not started afresh. */
  readonly live: Set<object>;
  /** Starts it afresh: some modules see a token that came back only then. Everybody is logged out, so only when nobody is in. */
  restart(): Promise<void>;
  release(): Promise<void>;
}

interface Shared {
  readonly cryptoki: Cryptoki;
  readonly live: Set<object>;
  users: number;
  ready: Promise<void>;
}

const modules = new Map<string, Shared>();
/** Modules whose C_Finalize is under way: whoever wants one again waits, or it would be finalised under their hands. */
const closing = new Map<string, Promise<void>>();

/**
 * Loads and initialises a module, or shares it. What is loaded runs with our rights, so only root may have been able to write it.
 * @throws {HostError} 150
 */
export async function acquireModule(wanted: string): Promise<TokenModule> {
  const file = await checkModule(wanted);
  for (let end = closing.get(file); end; end = closing.get(file)) await end;
  let shared = modules.get(file);
  if (!shared) {
    let cryptoki: Cryptoki;
    try {
      cryptoki = createCryptoki(loadCryptoki(file));
    } catch (error) {
      throw unusable(file, error);
    }
    shared = { cryptoki, live: new Set(), users: 0, ready: cryptoki.initialize() };
    modules.set(file, shared);
  }
  const { cryptoki, live } = shared;
  const own = shared;
  own.users++;
  const release = async (): Promise<void> => {
    if (--own.users > 0) return;
    modules.delete(file);
    const end = own.ready
      .then(() => cryptoki.finalize())
      .catch(() => undefined)
      .finally(() => closing.delete(file));
    closing.set(file, end);
    await end;
  };
  try {
    await own.ready;
  } catch (error) {
    await release();
    throw unusable(file, error);
  }
  const restart = async (): Promise<void> => {
    await cryptoki.finalize().catch(() => undefined);
    await cryptoki.initialize();
  };
  return { path: file, cryptoki, live, restart, release };
}

async function checkModule(wanted: string): Promise<string> {
  if (!path.isAbsolute(wanted)) throw keysError('AOV-HOST-150', `the PKCS#11 module ${wanted} is not named by its full path`);
  try {
    const file = await realpath(wanted);
    if (!(await stat(file)).isFile()) throw keysError('AOV-HOST-150', `the PKCS#11 module ${wanted} is not a regular file`);
    for (let place = file; ; place = path.dirname(place)) {
      const { uid, mode } = await stat(place);
      if (uid !== 0) throw keysError('AOV-HOST-150', `${place}, on the way to a PKCS#11 module, belongs to user ${uid}`);
      if ((mode & 0o022) !== 0)
        throw keysError('AOV-HOST-150', `${place}, on the way to a PKCS#11 module, can be written by other users`);
      if (place === path.dirname(place)) return file;
    }
  } catch (error) {
    throw error instanceof HostError ? error : unusable(wanted, error);
  }
}

function unusable(file: string, cause: unknown): HostError {
  const detail = cause instanceof Error ? cause.message : String(cause);
  return keysError('AOV-HOST-150', `the PKCS#11 module ${file} cannot be used: ${detail}`, { cause });
}
