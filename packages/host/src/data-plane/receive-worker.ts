import { workerData } from 'node:worker_threads';
import { Receiver } from './receiver.ts';
import type { WorkerSetup } from './worker-protocol.ts';

new Receiver(workerData as WorkerSetup).run();
