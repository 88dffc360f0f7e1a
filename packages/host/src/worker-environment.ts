import { getCompileCacheDir } from 'node:module';
import { dirname } from 'node:path';
import process from 'node:process';

/** The environment of a worker thread: what was compiled before is found there too. */
export function workerEnvironment(): NodeJS.ProcessEnv {
  // What the main thread has is a directory for this version of Node, below the one that was named.
  const cache = getCompileCacheDir();
  return cache === undefined ? process.env : { ...process.env, NODE_COMPILE_CACHE: dirname(cache) };
}
