import { MessageChannel, Worker, type MessagePort } from 'node:worker_threads';
import { closeDescriptor, openEventfd, wakeEventfd } from '../sys/index.ts';
import { workerEnvironment } from '../worker-environment.ts';
import { dataPlaneError } from './data-plane-error.ts';
import {
  clockOffsetHere,
  controlWords,
  type Numbered,
  type WorkerCommand,
  type WorkerMessage,
  type WorkerSetup,
} from './worker-protocol.ts';

type Told = Exclude<WorkerMessage, { kind: 'done' }>;

/** The main thread's end of the line to one worker. */
export class WorkerLine {
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #wakeFd: number;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #commandIndex: number;
  readonly #waiting = new Map<number, { readonly resolve: () => void; readonly reject: (error: unknown) => void }>();
  readonly #exited: Promise<void>;
  #lastId = 0;
  #ended = false;

  constructor(
    script: URL,
    options: {
      readonly shared: SharedArrayBuffer;
      readonly commandIndex: number;
      readonly keepaliveMs: number;
      readonly copyDscp: boolean;
    },
    told: (message: Told) => void,
    failed: (what: string) => void,
  ) {
    this.#wakeFd = openEventfd();
    this.#words = controlWords(options.shared);
    this.#commandIndex = options.commandIndex;
    const channel = new MessageChannel();
    this.#port = channel.port1;
    const setup: WorkerSetup = { ...options, port: channel.port2, wakeFd: this.#wakeFd, clockOffset: clockOffsetHere() };
    // No flags of the main program: some, such as --input-type, are none of a worker's business.
    const limits = { resourceLimits: { maxYoungGenerationSizeMb: 8 }, execArgv: [], env: workerEnvironment() };
    this.#worker = new Worker(script, { workerData: setup, transferList: [channel.port2], ...limits });
    this.#port.on('message', (message: WorkerMessage) => {
      if (message.kind === 'done') this.#settle(message.id, message.problem);
      else told(message);
    });
    this.#worker.on('error', (error) => failed(error instanceof Error ? error.message : 'unknown'));
    this.#exited = new Promise((resolve) => {
      this.#worker.once('exit', () => {
        this.#end();
        failed('the worker ended');
        resolve();
      });
    });
  }

  /**
   * Resolves when the worker has carried out these commands in their order; behind one that fails it leaves the others out. They are on their way when
   * this returns. Keys are moved to the worker, not copied.
   */
  send(...commands: readonly WorkerCommand[]): Promise<void> {
    if (this.#ended) return Promise.reject(dataPlaneError('closed', 'the data plane has ended'));
    const id = ++this.#lastId;
    const done = new Promise<void>((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    const numbered: Numbered = { id, commands };
    this.#port.postMessage(numbered, commands.flatMap(keyBuffers));
    Atomics.add(this.#words, this.#commandIndex, 1);
    wakeEventfd(this.#wakeFd);
    return done;
  }

  /** Gets the worker out of its sleep, to see that it shall stop. */
  wake(): void {
    if (!this.#ended) wakeEventfd(this.#wakeFd);
  }

  /** Resolves when the worker, told to stop and woken, is gone. */
  async exited(): Promise<void> {
    await this.#exited;
  }

  #settle(id: number, problem: string | undefined): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (problem === undefined) waiting?.resolve();
    else waiting?.reject(dataPlaneError('badSuite', problem));
  }

  #end(): void {
    this.#ended = true;
    this.#port.close();
    for (const { reject } of this.#waiting.values()) reject(dataPlaneError('closed', 'the data plane has ended'));
    this.#waiting.clear();
    closeDescriptor(this.#wakeFd);
  }
}

function keyBuffers(command: WorkerCommand): ArrayBuffer[] {
  if (command.kind !== 'install') return [];
  const { encryptionKey, integrityKey } = command.sa;
  return [encryptionKey.buffer as ArrayBuffer, integrityKey.buffer as ArrayBuffer];
}
