/** What the thread of one end is told. */
export interface FlowEnd {
  readonly namespace: string;
  readonly from: string;
  readonly to: string;
  readonly port: number;
  readonly shared: SharedArrayBuffer;
}

export const flowPort = 7200;
/** What a thread is told to do; whatever it does, it listens. */
export const order = { wait: 0, send: 1, stop: 2, end: 3 } as const;

/** Words of the shared memory: an order, what has been done of it, and counts. */
export const word = { order: 0, done: 1, sent: 2, received: 3, twice: 4 } as const;
