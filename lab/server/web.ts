// Program: a small HTTP server (port 80) and UDP echo (port 7), for the corporate network and for the internet of a world.
// Argument: JSON of WebSettings. `GET /`: the page; `/who`: the client's address; `/bytes/N`: N octets; anything else: a file.
import { createSocket } from 'node:dgram';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import path from 'node:path';
import process from 'node:process';

export interface WebSettings {
  readonly addresses: readonly string[];
  readonly page: string;
  readonly directory?: string;
  readonly echoPort: number;
}

const settings = JSON.parse(process.argv[2] ?? '{}') as WebSettings;
const filler = Buffer.alloc(64 * 1024, 'x');

const listening: Promise<unknown>[] = [];
for (const address of settings.addresses) {
  const server = createServer((request, response) => {
    const url = request.url ?? '/';
    const size = /^\/bytes\/(\d+)$/.exec(url);
    if (url === '/') return response.end(settings.page);
    if (url === '/who') return response.end(`${request.socket.remoteAddress}\n`);
    if (size) {
      let left = Number(size[1]);
      response.writeHead(200, { 'content-length': left });
      const push = (): void => {
        while (left > 0) {
          const chunk = filler.subarray(0, Math.min(left, filler.length));
          left -= chunk.length;
          if (!response.write(chunk)) return void response.once('drain', push);
        }
        response.end();
      };
      return push();
    }
    readFile(path.join(settings.directory ?? '/nonexistent', path.basename(url))).then(
      (content) => response.end(content),
      () => response.writeHead(404).end(),
    );
  });
  listening.push(new Promise<void>((resolve) => server.listen(80, address, resolve)));

  const echo = createSocket({ type: address.includes(':') ? 'udp6' : 'udp4', recvBufferSize: 1 << 20 });
  echo.on('message', (message, from) => echo.send(message, from.port, from.address));
  listening.push(new Promise<void>((resolve) => echo.bind({ port: settings.echoPort, address }, resolve)));
}
await Promise.all(listening);
process.stdout.write('ready\n');
