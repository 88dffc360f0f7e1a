import { parentPort } from 'node:worker_threads';
import { tryKernelPlane } from './kernel-plane-support.ts';

parentPort!.postMessage(tryKernelPlane(), []);
