// Program: what an application on a host of a world does: looks up names, fetches pages, sends datagrams. NDJSON in, NDJSON out.
import { createSocket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { get } from 'node:http';
import { createConnection } from 'node:net';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

export type ProbeRequest =
  | { readonly op: 'fetch'; readonly url: string; readonly family?: 4 | 6; readonly timeoutMs: number }
  | {
      readonly op: 'fetch-until';
      readonly url: string;
      readonly family?: 4 | 6;
      readonly timeoutMs: number;
      readonly everyMs: number;
    }
  | { readonly op: 'resolve'; readonly name: string; readonly family?: 4 | 6 }
  | { readonly op: 'connect'; readonly address: string; readonly port: number; readonly timeoutMs: number }
  | {
      readonly op: 'flow-start';
      readonly flow: string;
      readonly address: string;
      readonly port: number;
      readonly perSecond: number;
      readonly size: number;
    }
  | { readonly op: 'flow-look'; readonly flow: string }
  | { readonly op: 'flow-stop'; readonly flow: string; readonly drainMs: number };

export interface Fetched {
  readonly status: number;
  readonly body: string;
  readonly octets: number;
  /** From the request to its first octet, and to its last. */
  readonly firstMs: number;
  readonly ms: number;
  readonly localAddress: string;
  readonly remoteAddress: string;
}

export interface FlowReport {
  readonly sent: number;
  readonly received: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly reordered: number;
  /** Datagrams that the host itself refused to send. */
  readonly refused: number;
  /** Longest time between two answers, and when it ended, since the start. */
  readonly longestGapMs: number;
  readonly longestGapAtMs: number;
  /** When the first answer came, milliseconds since the epoch; undefined: none has. */
  readonly firstAnswerAt?: number;
  /** Median round trip. */
  readonly medianMs: number;
}

interface Flow {
  readonly socket: ReturnType<typeof createSocket>;
  readonly timer: NodeJS.Timeout;
  readonly state: {
    running: boolean;
    sent: number;
    refused: number;
    received: Set<number>;
    duplicated: number;
    reordered: number;
    last: number;
    highest: number;
    gap: number;
    gapAt: number;
    firstAt: number | undefined;
    start: number;
    trips: number[];
  };
}

const flows = new Map<string, Flow>();

function answer(request: ProbeRequest): unknown {
  switch (request.op) {
    case 'fetch':
      return fetchPage(request.url, request.family, request.timeoutMs);
    case 'fetch-until':
      return fetchUntil(request.url, request.family, request.timeoutMs, request.everyMs);
    case 'resolve':
      return lookup(request.name, { all: true, ...(request.family ? { family: request.family } : {}) });
    case 'connect':
      return connect(request.address, request.port, request.timeoutMs);
    case 'flow-start':
      return startFlow(request);
    case 'flow-look':
      return report(flowNamed(request.flow));
    case 'flow-stop':
      return stopFlow(request.flow, request.drainMs);
  }
}

function fetchPage(url: string, family: 4 | 6 | undefined, timeoutMs: number): Promise<Fetched> {
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const request = get(
      url,
      { agent: false, ...(family ? { family } : {}), signal: AbortSignal.timeout(timeoutMs) },
      (response) => {
        const chunks: Buffer[] = [];
        let octets = 0;
        let firstMs = 0;
        const { localAddress = '', remoteAddress = '' } = response.socket;
        response.on('data', (chunk: Buffer) => {
          if (octets === 0) firstMs = performance.now() - started;
          octets += chunk.length;
          if (octets < 65_536) chunks.push(chunk);
        });
        response.on('error', reject);
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            body: Buffer.concat(chunks).toString('utf8'),
            octets,
            firstMs,
            ms: performance.now() - started,
            localAddress,
            remoteAddress,
          }),
        );
      },
    );
    request.on('error', reject);
  });
}

async function fetchUntil(
  url: string,
  family: 4 | 6 | undefined,
  timeoutMs: number,
  everyMs: number,
): Promise<Fetched & { readonly waitedMs: number }> {
  const started = performance.now();
  // What hangs is given up soon, so that the first moment in which it works is not missed; each time later, as the machine may be slow.
  for (let patience = 500; ; patience = Math.min(patience * 1.5, 3000)) {
    try {
      const page = await fetchPage(url, family, patience);
      return { ...page, waitedMs: performance.now() - started };
    } catch (error) {
      if (performance.now() - started > timeoutMs) throw error;
      await sleep(everyMs);
    }
  }
}

function connect(address: string, port: number, timeoutMs: number): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ host: address, port });
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error('no answer')));
    socket.once('error', reject);
    socket.once('connect', () => {
      const { localAddress } = socket;
      socket.destroy();
      resolve({ localAddress });
    });
  });
}

function startFlow(request: Extract<ProbeRequest, { op: 'flow-start' }>): unknown {
  // Room for what comes while this process does not get to run.
  const socket = createSocket({ type: request.address.includes(':') ? 'udp6' : 'udp4', recvBufferSize: 1 << 20 });
  const state: Flow['state'] = {
    running: true,
    sent: 0,
    refused: 0,
    received: new Set(),
    duplicated: 0,
    reordered: 0,
    last: performance.now(),
    highest: -1,
    gap: 0,
    gapAt: 0,
    firstAt: undefined,
    start: performance.now(),
    trips: [],
  };
  socket.on('message', (message) => {
    const now = performance.now();
    const number = message.readUInt32BE(0);
    if (state.received.has(number)) return void state.duplicated++;
    state.received.add(number);
    state.firstAt ??= performance.timeOrigin + now;
    if (number < state.highest) state.reordered++;
    state.highest = Math.max(state.highest, number);
    if (now - state.last > state.gap) {
      state.gap = now - state.last;
      state.gapAt = now - state.start;
    }
    state.last = now;
    state.trips.push(now - state.start - message.readDoubleBE(4));
  });
  socket.on('error', () => undefined);
  const message = Buffer.alloc(Math.max(12, request.size));
  const timer = setInterval(
    () => {
      const due = ((performance.now() - state.start) * request.perSecond) / 1000;
      // Catch up after a late timer, but never in a burst that no application would send.
      for (let burst = 0; state.sent < due && burst < 8; burst++) {
        message.writeUInt32BE(state.sent++, 0);
        message.writeDoubleBE(performance.now() - state.start, 4);
        socket.send(Buffer.from(message), request.port, request.address, (error) => {
          if (error) state.refused++;
        });
      }
    },
    Math.max(1, Math.floor(1000 / request.perSecond)),
  );
  flows.set(request.flow, { socket, timer, state });
  return { started: true };
}

async function stopFlow(name: string, drainMs: number): Promise<FlowReport> {
  const flow = flowNamed(name);
  clearInterval(flow.timer);
  const { state } = flow;
  const stoppedAt = performance.now();
  // Answers that are late on a machine that has much else to do are not lost.
  while (state.received.size < state.sent && performance.now() - Math.max(stoppedAt, state.last) < drainMs) await sleep(5);
  const result = report(flow);
  flow.socket.close();
  flows.delete(name);
  return result;
}

function report({ state }: Flow): FlowReport {
  const trips = state.trips.toSorted((a, b) => a - b);
  return {
    sent: state.sent,
    received: state.received.size,
    lost: state.sent - state.received.size,
    duplicated: state.duplicated,
    reordered: state.reordered,
    refused: state.refused,
    longestGapMs: Math.round(state.gap),
    longestGapAtMs: Math.round(state.gapAt),
    ...(state.firstAt !== undefined && { firstAnswerAt: state.firstAt }),
    medianMs: trips[Math.floor(trips.length / 2)] ?? 0,
  };
}

function flowNamed(name: string): Flow {
  const flow = flows.get(name);
  if (!flow) throw new Error(`no flow ${name}`);
  return flow;
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, request } = JSON.parse(line) as { id: number; request: ProbeRequest };
  void (async () => {
    try {
      process.stdout.write(`${JSON.stringify({ id, value: await answer(request) })}\n`);
    } catch (error) {
      const { message, code } = error as NodeJS.ErrnoException;
      process.stdout.write(`${JSON.stringify({ id, error: { message, code } })}\n`);
    }
  })();
}
process.exit(0);
