import { createServer, type IncomingMessage } from 'node:http';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly body: string;
  readonly type: string | undefined;
}

export type Answer =
  | { readonly status: number; readonly body: unknown }
  /** `open`: more may follow. */
  | { readonly stream: readonly unknown[]; readonly open?: boolean }
  /** The daemon dies, and every connection with it. */
  | 'dies';

/** A listener on a real Unix socket that answers as the test says; disposing it removes everything. */
export async function fakeDaemon(answer: (request: SeenRequest) => Answer | Promise<Answer>) {
  const directory = await mkdtemp(path.join(tmpdir(), 'aovpn-cli-'));
  const socketPath = path.join(directory, 'control.sock');
  const seen: SeenRequest[] = [];
  const server = createServer((request, response) => {
    void readRequest(request).then(async (one) => {
      seen.push(one);
      const said = await answer(one);
      if (said === 'dies') {
        server.closeAllConnections();
      } else if ('stream' in said) {
        response.writeHead(200, { 'content-type': 'application/x-ndjson' });
        for (const line of said.stream) response.write(`${JSON.stringify(line)}\n`);
        if (said.open !== true) response.end();
      } else {
        response.writeHead(said.status, { 'content-type': 'application/json' });
        response.end(JSON.stringify(said.body));
      }
    });
  });
  await new Promise<void>((resolve) => void server.listen(socketPath, resolve));
  return {
    socketPath,
    seen,
    /** Waits until somebody has asked for something that begins like that, and has been answered as far as there is an answer yet. */
    async asked(url: string): Promise<void> {
      while (!seen.some((one) => one.url.startsWith(url))) await sleep(5);
    },
    /** Every connection goes with it. */
    dies: () => server.closeAllConnections(),
    async [Symbol.asyncDispose](): Promise<void> {
      server.closeAllConnections();
      await new Promise((resolve) => void server.close(resolve));
      await rm(directory, { recursive: true });
    },
  };
}

async function readRequest(request: IncomingMessage): Promise<SeenRequest> {
  return {
    method: request.method ?? '',
    url: request.url ?? '',
    body: await text(request),
    type: request.headers['content-type'],
  };
}
