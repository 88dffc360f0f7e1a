import { workerData } from 'node:worker_threads';
import { Transmitter } from './transmitter.ts';
import type { WorkerSetup } from './worker-protocol.ts';

new Transmitter(workerData as WorkerSetup).run();
