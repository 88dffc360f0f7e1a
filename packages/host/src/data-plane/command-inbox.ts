import { receiveMessageOnPort, type MessagePort } from 'node:worker_threads';
import { drainEventfd } from '../sys/index.ts';
import {
  clockOffsetHere,
  control,
  controlWords,
  type WorkerCommand,
  type WorkerMessage,
  type WorkerSetup,
} from './worker-protocol.ts';

/** A worker's end of the line to the main thread: it never returns to its event loop, so it takes its mail by hand. */
export class CommandInbox {
  readonly wakeFd: number;
  readonly #port: MessagePort;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #index: number;
  readonly #clockShift: number;
  #taken = 0;

  constructor(setup: WorkerSetup) {
    this.wakeFd = setup.wakeFd;
    this.#port = setup.port;
    this.#words = controlWords(setup.shared);
    this.#index = setup.commandIndex;
    this.#clockShift = clockOffsetHere() - setup.clockOffset;
  }

  get stopped(): boolean {
    return Atomics.load(this.#words, control.stop) !== 0;
  }

  /** Whether something waits: as cheap as reading a number. */
  get waiting(): boolean {
    return Atomics.load(this.#words, this.#index) !== this.#taken;
  }

  /** How many IKE datagrams the main thread has taken. */
  get ikeTaken(): number {
    return Atomics.load(this.#words, control.ikeTaken);
  }

  /** Carries out everything that waits, and answers. */
  carryOut(perform: (command: WorkerCommand) => void): void {
    drainEventfd(this.wakeFd);
    for (;;) {
      const received = receiveMessageOnPort(this.#port);
      if (!received) return;
      this.#taken = (this.#taken + 1) | 0;
      const { id, commands } = received.message;
      try {
        for (const command of commands) perform(command);
        this.post({ kind: 'done', id });
      } catch (error) {
        this.post({ kind: 'done', id, problem: error instanceof Error ? error.message : 'unknown' });
      }
    }
  }

  post(message: WorkerMessage): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a MessagePort has no origin
    this.#port.postMessage(message);
  }

  /** Milliseconds of the main thread's `performance.now()`. */
  now(): number {
    return performance.now() + this.#clockShift;
  }

  close(): void {
    this.#port.close();
  }
}
