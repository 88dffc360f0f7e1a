// Program: the sign-in page of a hotel's network. Port 80 sends every page to it; port 443 has the page, the API of RFC 8908, and what an
// evil one would have instead. Argument: JSON of CaptivePortalSettings. `GET /accept` signs in: the gate of the network opens.
import { execFileSync } from 'node:child_process';
import { createServer as createPlain, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createSecure } from 'node:https';
import process from 'node:process';

export interface CaptivePortalSettings {
  readonly addresses: readonly string[];
  readonly name: string;
  readonly certificatePem: string;
  readonly keyPem: string;
  /** The command that opens the gate. */
  readonly accept: readonly string[];
  /** What the network is asked for to see whether it is open, and its answer. */
  readonly probe: { readonly path: string; readonly answer: string };
}

const settings = JSON.parse(process.argv[2] ?? '{}') as CaptivePortalSettings;
const portal = `https://${settings.name}/login`;
let captive = true;
// The next guest has not signed in.
process.on('SIGUSR1', () => {
  captive = true;
  process.stdout.write('shut again\n');
});

function api(response: ServerResponse): void {
  const body = { captive, ...(captive && { 'user-portal-url': portal }), 'seconds-remaining': captive ? 0 : 3600 };
  response.writeHead(200, { 'content-type': 'application/captive+json', 'cache-control': 'private' }).end(JSON.stringify(body));
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  const url = request.url ?? '/';
  process.stdout.write(`${request.headers.host ?? ''} ${url} from ${request.socket.remoteAddress ?? ''}\n`);
  switch (url) {
    case '/api':
      return api(response);
    case '/login':
      return void response.end('Welcome to the hotel. <a href="/accept">I accept</a>\n');
    case '/accept': {
      const [program, ...args] = settings.accept;
      execFileSync(program!, args);
      captive = false;
      return void response.end('You are online.\n');
    }
    case '/huge':
      response.writeHead(200, { 'content-type': 'application/captive+json' });
      return void response.end(JSON.stringify({ captive: true, filler: 'x'.repeat(4 << 20) }));
    case '/deep':
      response.writeHead(200, { 'content-type': 'application/captive+json' });
      return void response.end('['.repeat(16_000));
    case '/never': {
      response.writeHead(200, { 'content-type': 'application/captive+json' });
      const drip = setInterval(() => response.write(' '), 100);
      return void response.on('close', () => clearInterval(drip));
    }
    case '/loop':
      return void response.writeHead(302, { location: `https://${settings.name}/loop` }).end();
    case '/script':
      response.writeHead(200, { 'content-type': 'application/captive+json' });
      return void response.end('{"captive":true,"user-portal-url":"file:///etc/passwd"}');
    default:
      return void response.writeHead(404).end();
  }
}

const listening: Promise<unknown>[] = [];
for (const address of settings.addresses) {
  const plain = createPlain((request, response) => {
    process.stdout.write(
      `${request.headers.host ?? ''} ${request.url ?? ''} in clear from ${request.socket.remoteAddress ?? ''}\n`,
    );
    if (!captive && request.url === settings.probe.path) return response.end(settings.probe.answer);
    return response.writeHead(302, { location: portal }).end('<a href="/login">Sign in</a>');
  });
  const secure = createSecure({ cert: settings.certificatePem, key: settings.keyPem }, answer);
  listening.push(new Promise<void>((resolve) => plain.listen(80, address, resolve)));
  listening.push(new Promise<void>((resolve) => secure.listen(443, address, resolve)));
}
await Promise.all(listening);
process.stdout.write('ready\n');
