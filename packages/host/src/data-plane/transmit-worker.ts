import { workerData } from 'node:worker_threads';
import { collectGarbage } from '../sys/own-memory.ts';
import { Transmitter } from './transmitter.ts';
import type { WorkerSetup } from './worker-protocol.ts';

const transmitter = new Transmitter(workerData as WorkerSetup);
transmitter.rehearse();
collectGarbage();
transmitter.run();
