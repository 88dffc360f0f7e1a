import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { after, before, mock, suite, test } from 'node:test';
import fc from 'fast-check';
import { openControlServer, type ControlRequest, type ControlServer, type LineSink } from '../../src/control/server.ts';

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

suite('control server', () => {
  let directory: string;
  let socketPath: string;
  let server: ControlServer;
  let last: ControlRequest | undefined;
  let lastBody: unknown;
  const sinks: LineSink[] = [];
  let undone = 0;
  const errors: unknown[] = [];

  before(async () => {
    directory = mkdtempSync(path.join(tmpdir(), 'aovpn-control-'));
    socketPath = path.join(directory, 'control.sock');
    writeFileSync(socketPath, 'a stale file');
    server = await openControlServer({
      path: socketPath,
      openTo: 'everybody',
      maxBodyBytes: 10_000,
      onError: (error) => errors.push(error),
      handle: (request) => {
        last = request;
        if (request.segments[0] === 'forbidden') return { status: 403, body: { error: { code: 'X', message: 'no', cure: '' } } };
        return async (body) => {
          lastBody = body;
          if (request.segments[0] === 'bug') throw new Error('our bug');
          if (request.segments[0] === 'stream') {
            return {
              stream: (given) => {
                sinks.push(given);
                given.write({ first: true });
                return () => undone++;
              },
            };
          }
          return { status: 200, body: { ok: true } };
        };
      },
    });
  });

  after(async () => {
    await server.close();
    rmSync(directory, { recursive: true, force: true });
  });

  function ask(method: string, target: string, body?: string | Buffer, headers: Record<string, string> = {}): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const request = httpRequest(
      { socketPath, method, path: target, headers: { connection: 'close', ...headers } },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => (text += chunk));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) }));
      },
    );
    request.on('error', reject);
    request.end(body);
    return promise;
  }

  /** Octets in, octets out, until the other end closes. */
  function raw(octets: Buffer | string): Promise<string> {
    const { promise, resolve } = Promise.withResolvers<string>();
    const socket = connect(socketPath);
    let text = '';
    socket.on('data', (chunk) => (text += chunk.toString('latin1')));
    socket.on('error', () => {});
    socket.on('close', () => resolve(text));
    socket.end(octets);
    return promise;
  }

  test('everybody can connect: the kernel says who it is, and that decides', () => {
    const { mode } = statSync(socketPath);
    assert.equal(mode & 0o777, 0o666);
  });

  test('the kernel says who asks', async () => {
    assert.deepEqual(await ask('GET', '/v1/a%20b%2Fc?x=1&y=%C3%A4'), { status: 200, body: { ok: true } });
    assert.equal(last?.peer.uid, process.getuid!());
    assert.equal(last?.peer.pid, process.pid);
    assert.deepEqual(last?.segments, ['v1', 'a b/c']);
    assert.deepEqual(
      [...(last?.query ?? [])],
      [
        ['x', '1'],
        ['y', 'ä'],
      ],
    );
    assert.deepEqual(new Set([...(last?.peer.groups ?? []), last?.peer.gid]), new Set(process.getgroups!()));
  });

  test('a body is parsed; what is not JSON, or too large, is refused', async () => {
    await ask('PUT', '/x', '{"a":[1]}');
    assert.deepEqual(lastBody, { a: [1] });
    assert.equal((await ask('PUT', '/x', '{')).status, 400);
    assert.equal((await ask('PUT', '/x', Buffer.from([0x22, 0xff, 0x22]))).status, 400);
    assert.equal((await ask('PUT', '/x', `"${'x'.repeat(10_000)}"`)).status, 413);
    assert.equal((await ask('PUT', '/x', undefined, { 'content-length': '0' })).status, 200);
  });

  test('a chunked body past the limit is refused as well', async () => {
    const chunk = `${(4096).toString(16)}\r\n${'x'.repeat(4096)}\r\n`;
    const text = await raw(`PUT /x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n${chunk.repeat(4)}0\r\n\r\n`);
    assert.match(text, /^HTTP\/1\.1 413 /);
  });

  test('whoever may not ask is refused before the body is read', async () => {
    lastBody = 'untouched';
    assert.equal((await ask('PUT', '/forbidden', '{"a":1}')).status, 403);
    assert.equal(lastBody, 'untouched');
  });

  test('__proto__ in a body changes no object of ours', async () => {
    await ask('PUT', '/x', '{"__proto__":{"polluted":true}}');
    assert.equal(({} as { polluted?: boolean }).polluted, undefined);
  });

  test('our bug is answered without its details', async () => {
    const { status, body } = await ask('GET', '/bug');
    assert.equal(status, 500);
    assert.doesNotMatch(JSON.stringify(body), /our bug/);
    assert.equal((errors.at(-1) as Error).message, 'our bug');
  });

  const malformed: readonly (readonly [string, string])[] = [
    ['garbage', '\x16\x03\x01\x00\xa5\x01\x00\r\n\r\n'],
    ['absolute URL', 'GET http://other/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'],
    ['bad escape', 'GET /%zz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'],
    ['two lengths', 'PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx'],
    ['length and chunks', 'PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['negative length', 'PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n'],
    ['header without end', `GET / HTTP/1.1\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`],
    ['CONNECT', 'CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n'],
    ['upgrade', 'GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n'],
    ['expectation', 'PUT / HTTP/1.1\r\nhost: x\r\nexpect: miracles\r\nconnection: close\r\n\r\n'],
  ];
  for (const [what, octets] of malformed) {
    test(`${what} is refused with an error of ours`, async () => {
      const text = await raw(octets);
      assert.match(text, /^HTTP\/1\.1 4\d\d /);
      assert.match(text, /"code":"AOV-HOST-41\d"/);
    });
  }

  test('no octets whatever make it fall over', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.uint8Array({ maxLength: 300 }),
          fc
            .record({
              method: fc.constantFrom('GET', 'PUT', 'POST', 'DELETE', 'FOO'),
              target: fc.string({ maxLength: 40 }),
              headers: fc.array(
                fc.tuple(fc.constantFrom('content-length', 'transfer-encoding', 'host', 'x'), fc.string({ maxLength: 20 })),
                { maxLength: 5 },
              ),
              body: fc.string({ maxLength: 50 }),
            })
            .map(({ method, target, headers, body }) =>
              Buffer.from(
                `${method} /${target} HTTP/1.1\r\n${headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`,
              ),
            ),
        ),
        async (octets) => {
          await raw(Buffer.from(octets));
        },
      ),
      { numRuns: 150 },
    );
    assert.equal((await ask('GET', '/still-here')).status, 200);
  });

  test('a stream sends one line a value and is told when the reader goes', async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const before = undone;
    const request = httpRequest({ socketPath, path: '/stream' }, (response) => {
      let text = '';
      response.on('error', () => {});
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString();
        if (text.split('\n').length === 2) sinks.at(-1)!.write({ second: 'a\nb' });
        if (text.split('\n').length === 3) {
          resolve(text);
          request.destroy();
        }
      });
    });
    request.on('error', () => {});
    request.end();
    assert.equal(await promise, '{"first":true}\n{"second":"a\\nb"}\n');
    await until(() => undone > before);
    assert.equal(sinks.at(-1)!.write({}), false);
  });

  test('whoever is slow with a request, its body or the next one is refused when the time is up; a reader of a stream never', async () => {
    mock.timers.enable({ apis: ['setTimeout'] });
    try {
      /** Sends the beginning of something, and says how it ends once so much time has passed. */
      const slow = async (octets: string, milliseconds: number): Promise<string> => {
        const socket = connect(socketPath);
        let said = '';
        socket.on('data', (chunk: Buffer) => (said += chunk.toString()));
        const over = new Promise((resolve) => socket.once('close', resolve));
        await new Promise<void>((resolve) => socket.write(octets, () => resolve()));
        // Until the server has seen it.
        await ask('GET', '/other');
        mock.timers.tick(milliseconds);
        await ask('GET', '/other');
        const open = !socket.destroyed && !socket.readableEnded;
        if (!open) await over;
        else socket.destroy();
        return `${open ? 'open' : 'over'} ${said.slice(0, 12)}`;
      };
      const head = 'HTTP/1.1 ';
      assert.equal(await slow('GET / HT', 4_900), 'open ');
      assert.equal(await slow('GET / HT', 5_100), `over ${head}408`);
      const body = 'POST /v1/thing HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 20\r\n\r\n{';
      assert.equal(await slow(body, 29_000), 'open ');
      assert.equal(await slow(body, 31_000), `over ${head}408`);
      assert.equal(await slow('GET /stream HTTP/1.1\r\nhost: x\r\n\r\n', 3_600_000), `open ${head}200`);
    } finally {
      mock.timers.reset();
    }
  });

  test('a request that came in time, while this process stood still, is answered', async () => {
    mock.timers.enable({ apis: ['setTimeout'] });
    try {
      const socket = connect(socketPath);
      let said = '';
      socket.on('data', (chunk: Buffer) => (said += chunk.toString()));
      // Until the server has it.
      await ask('GET', '/other');
      // As behind a process that stood still, timers come first in the loop, and reading after them.
      await new Promise<void>((next) => setImmediate(next));
      socket.write('GET /v1/thing HTTP/1.1\r\nhost: x\r\n\r\n');
      mock.timers.tick(6_000);
      await until(() => said !== '');
      assert.match(said, /^HTTP\/1\.1 200/);
      socket.destroy();
    } finally {
      mock.timers.reset();
    }
  });

  test('a reader that does not read is cut off, not waited for', async () => {
    const before = undone;
    const known = sinks.length;
    const socket = connect(socketPath);
    socket.on('error', () => {});
    socket.pause();
    socket.write('GET /stream HTTP/1.1\r\nhost: x\r\n\r\n');
    await until(() => sinks.length > known);
    let lines = 0;
    while (sinks.at(-1)!.write({ text: 'x'.repeat(10_000) })) assert.ok(++lines < 10_000, 'there is a limit');
    await until(() => undone > before);
    socket.destroy();
  });
});

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((next) => setImmediate(next));
}

suite('control socket that cannot be made', () => {
  test('is a host error with a cure', async () => {
    await assert.rejects(
      openControlServer({
        path: '/nonexistent-directory/control.sock',
        openTo: 'root',
        maxBodyBytes: 1,
        handle: () => ({ status: 200, body: 0 }),
      }),
      { code: 'AOV-HOST-400' },
    );
  });
});
