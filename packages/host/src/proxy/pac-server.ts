import { createServer, type Server } from 'node:http';
import { HostError } from '../host-error.ts';
import { networkCure } from '../network/errors.ts';

/** Serves the proxy script of this machine to its own programs. */
export interface PacServer {
  /** What is answered from now on; the first call begins to listen. @throws {HostError} AOV-HOST-320 */
  serve(script: string): Promise<void>;
  /** Nobody is answered any more. */
  stop(): Promise<void>;
}

const patienceMs = 5_000;
const mostConnections = 64;

/** @param place loopback address and port */
export function openPacServer(place: { readonly address: string; readonly port: number }): PacServer {
  let server: Server | undefined;
  let current = '';
  return {
    serve: async (script) => {
      current = script;
      if (server) return;
      const made = createServer(
        { keepAlive: false, headersTimeout: patienceMs, requestTimeout: patienceMs, maxHeaderSize: 8192 },
        (request, response) => {
          request.resume();
          if (request.method !== 'GET' && request.method !== 'HEAD')
            return void response.writeHead(405, { allow: 'GET, HEAD' }).end();
          if (request.url?.split('?')[0] !== '/proxy.pac') return void response.writeHead(404).end();
          response.writeHead(200, {
            'content-type': 'application/x-ns-proxy-autoconfig',
            'content-length': Buffer.byteLength(current),
            // It changes with every tunnel.
            'cache-control': 'no-store',
          });
          response.end(request.method === 'HEAD' ? undefined : current);
        },
      );
      made.maxConnections = mostConnections;
      await new Promise<void>((resolve, reject) => {
        made.once('error', (error) =>
          reject(
            new HostError('AOV-HOST-320', `${place.address}:${place.port}: ${error.message}`, networkCure('AOV-HOST-320'), error),
          ),
        );
        made.listen(place.port, place.address, resolve);
      });
      made.on('error', () => undefined);
      made.unref();
      server = made;
    },
    stop: async () => {
      const ending = server;
      server = undefined;
      if (!ending) return;
      const closed = new Promise<void>((resolve) => ending.close(() => resolve()));
      ending.closeAllConnections();
      await closed;
    },
  };
}
