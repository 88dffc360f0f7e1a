import { existsSync } from 'node:fs';
import { release } from 'node:os';
import { Worker } from 'node:worker_threads';
import { workerEnvironment } from '../worker-environment.ts';
import { noKernelPlane, tryKernelPlane, type KernelPlaneSupport } from './kernel-plane-support.ts';

/**
 * Whether this kernel can be the data plane. Where modules may have to be loaded for it, it is tried in a thread of its own, and everything else goes on;
 * where not it takes some milliseconds, less than a thread takes to start. Never rejects.
 */
export async function readKernelPlaneSupport(): Promise<KernelPlaneSupport> {
  return mayLoadModules() ? await tryInThread() : tryKernelPlane();
}

/** Those that make devices, states and policies are not there yet, and there is a place to load them from. */
export function mayLoadModules(root = ''): boolean {
  const isLoaded = (name: string): boolean => existsSync(`${root}/sys/module/${name}`);
  if (isLoaded('xfrm_user') && isLoaded('esp4') && (isLoaded('xfrm_interface') || isLoaded('ip_vti'))) return false;
  return existsSync(`${root}/lib/modules/${release()}`);
}

/** Never rejects. */
export async function tryInThread(): Promise<KernelPlaneSupport> {
  const { promise, resolve } = Promise.withResolvers<KernelPlaneSupport>();
  const worker = new Worker(new URL('./kernel-plane-worker.ts', import.meta.url), {
    resourceLimits: { maxYoungGenerationSizeMb: 4 },
    // No flags of the main program: some, such as --input-type, are none of a worker's business.
    execArgv: [],
    env: workerEnvironment(),
  });
  worker.once('message', (support: KernelPlaneSupport) => resolve(support));
  worker.once('error', (error) => resolve(noKernelPlane(error)));
  worker.once('exit', () => resolve(noKernelPlane('the thread that tries it ended')));
  return await promise;
}
