import { workerData } from 'node:worker_threads';
import { ExecResponder, type ExecWorkerSetup } from './exec-responder.ts';

new ExecResponder(workerData as ExecWorkerSetup).run();
