import { Worker } from 'node:worker_threads';
import { formatAddress, type IpAddress } from '@aovpn/bytes';
import { until } from './inbox.ts';
import { flowPort, order, word, type FlowEnd } from './steady-flow-protocol.ts';

/** A thread takes long to start in the kernel lane. */
const patienceMs = 60_000;

/** Where an end of a flow is. */
export interface FlowPlace {
  readonly namespace: string;
  readonly address: IpAddress;
}

/** What became of the datagrams of one direction. */
export interface FlowReport {
  readonly sent: number;
  readonly lost: number;
  /** Came more than once. */
  readonly twice: number;
}

/**
 * Numbered datagrams at a steady rate both ways between two namespaces. Each end is a thread of its own: what this thread does meanwhile, system
 * calls that wait among it, makes no gap in the flow.
 */
export class SteadyFlow {
  readonly #ends: readonly { readonly worker: Worker; readonly words: Int32Array; readonly exited: Promise<unknown> }[];

  constructor(ends: readonly FlowEnd[]) {
    this.#ends = ends.map((end) => {
      const worker = new Worker(new URL('./steady-flow-worker.ts', import.meta.url), { workerData: end });
      return { worker, words: new Int32Array(end.shared), exited: new Promise((resolve) => worker.once('exit', resolve)) };
    });
  }

  /** Resolves when both ends hear each other. */
  static async start(a: FlowPlace, b: FlowPlace): Promise<SteadyFlow> {
    const end = (here: FlowPlace, there: FlowPlace): FlowEnd => ({
      namespace: here.namespace,
      from: formatAddress(here.address),
      to: formatAddress(there.address),
      port: flowPort,
      shared: new SharedArrayBuffer(4 * Object.keys(word).length),
    });
    const flow = new SteadyFlow([end(a, b), end(b, a)]);
    try {
      // Whoever sends to an end that does not listen yet loses that by itself.
      await flow.#tell('wait');
      await flow.#tell('send');
      await until('both ends hear each other', () => flow.#read(0, 'received') > 0 && flow.#read(1, 'received') > 0, patienceMs);
    } catch (error) {
      await flow.close();
      throw error;
    }
    return flow;
  }

  /** Sends no more, waits for what is under way, and tells of both directions: from a to b, and back. */
  async stop(): Promise<readonly [FlowReport, FlowReport]> {
    await this.#tell('stop');
    const at = (end: number, name: keyof typeof word): number => this.#read(end, name);
    const allThere = (): boolean => at(1, 'received') === at(0, 'sent') && at(0, 'received') === at(1, 'sent');
    await until('everything is there', allThere, 3000).catch(() => undefined);
    const report = (from: number, to: number): FlowReport => ({
      sent: at(from, 'sent'),
      lost: at(from, 'sent') - at(to, 'received'),
      twice: at(to, 'twice'),
    });
    return [report(0, 1), report(1, 0)];
  }

  async close(): Promise<void> {
    for (const { words } of this.#ends) Atomics.store(words, word.order, order.end);
    await Promise.all(this.#ends.map(({ exited }) => exited));
  }

  async #tell(what: keyof typeof order): Promise<void> {
    for (const { words } of this.#ends) Atomics.store(words, word.order, order[what]);
    await until(
      `both ends do it: ${what}`,
      () => this.#ends.every((_, end) => this.#read(end, 'done') === order[what] + 1),
      patienceMs,
    );
  }

  #read(end: number, name: keyof typeof word): number {
    return Atomics.load(this.#ends[end]!.words, word[name]);
  }
}
