import { workerData } from 'node:worker_threads';
import { Receiver } from './receiver.ts';
import type { WorkerSetup } from './worker-protocol.ts';

const receiver = new Receiver(workerData as WorkerSetup);
receiver.rehearse();
receiver.run();
