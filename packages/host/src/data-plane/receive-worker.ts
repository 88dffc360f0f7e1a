import { workerData } from 'node:worker_threads';
import { collectGarbage } from '../sys/own-memory.ts';
import { Receiver } from './receiver.ts';
import type { WorkerSetup } from './worker-protocol.ts';

const receiver = new Receiver(workerData as WorkerSetup);
receiver.rehearse();
collectGarbage();
receiver.run();
