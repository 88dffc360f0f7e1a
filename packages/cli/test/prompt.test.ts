import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CertificateReport, Prompt } from '@aovpn/api';
import { fakeDaemon, type Answer, type SeenRequest } from './fake-daemon.ts';
import { aovpn } from './run-cli.ts';
import { daemonStatus } from './sample.ts';

const password: Prompt = {
  id: 'p1',
  connection: 'Contoso User',
  kind: 'password',
  text: 'Password of alice for "Contoso User"',
  userName: 'alice',
  message: 'Say \u001b[31mplease',
  retry: false,
  askedAt: '2026-11-22T10:00:00.000Z',
  expiresAt: '2026-11-22T10:02:30.000Z',
};
const { message: _, userName: __, ...bare } = password;
const trust: Prompt = {
  ...bare,
  id: 'p2',
  kind: 'trust',
  text: 'Is this the RADIUS server of "Contoso User"',
  server: { subject: 'CN=radius', issuer: 'CN=Some Root', names: ['radius.example'], sha256: 'ab12', why: 'unknown root' },
};
const certificate: Prompt = {
  ...bare,
  id: 'p3',
  kind: 'certificate',
  text: 'Which certificate is yours for "Contoso User"',
  choices: [
    { id: 'aa', text: 'CN=alice' },
    { id: 'bb', text: 'CN=alice (admin)' },
  ],
};

function daemonWith(...prompts: readonly Prompt[]) {
  return fakeDaemon(({ method, url }: SeenRequest): Answer => {
    if (url.startsWith('/v1/events')) return { stream: prompts.map((prompt) => ({ kind: 'prompt', prompt })) };
    if (url === '/v1/prompts') return { status: 200, body: prompts };
    if (method === 'POST' && url === '/v1/prompts/late')
      return {
        status: 409,
        body: { error: { code: 'AOV-DAEMON-520', message: 'Nobody waits for that answer any more', cure: '' } },
      };
    return { status: 200, body: { accepted: true } };
  });
}

const posted = (seen: readonly SeenRequest[]): readonly (readonly [string, string | undefined, string])[] =>
  seen.filter(({ method }) => method === 'POST').map(({ url, type, body }) => [url, type, body] as const);

test('a secret goes as octets, is shown nowhere, and whoever asks says that somebody is there', async () => {
  await using daemon = await daemonWith(password);
  const { stdout, stderr, exitCode } = await aovpn(['prompt'], { socketPath: daemon.socketPath, input: 'pä55 "word"\n' });
  assert.equal(exitCode, 0, stderr);
  assert.deepEqual(posted(daemon.seen), [['/v1/prompts/p1', 'application/octet-stream', 'pä55 "word"']]);
  assert.equal(daemon.seen[0]?.url, '/v1/events?prompts=1');
  assert.match(stderr, /\? Password of alice for "Contoso User"\?/);
  assert.match(stderr, /server says +Say \\x1b\[31mplease/, 'no control sequence of a server reaches the terminal');
  assert.doesNotMatch(stdout + stderr, /pä55/);
});

test('a daemon that takes its time to answer is waited for', async () => {
  await using daemon = await fakeDaemon(async ({ url }): Promise<Answer> => {
    if (!url.startsWith('/v1/events')) return { status: 200, body: { accepted: true } };
    // Longer than a question is waited for that may come with whoever answers it.
    await sleep(3500);
    return { stream: [{ kind: 'prompt', prompt: password }] };
  });
  const { exitCode, stderr } = await aovpn(['prompt'], { socketPath: daemon.socketPath, input: 'x\n' });
  assert.equal(exitCode, 0, stderr);
  assert.equal(posted(daemon.seen).length, 1, stderr);
});

test('several questions, a line each: secret, trust, choice', async () => {
  await using daemon = await daemonWith(password, trust, certificate);
  const { stderr, exitCode } = await aovpn(['prompt'], { socketPath: daemon.socketPath, input: 'x\nyes\n2\n' });
  assert.equal(exitCode, 0, stderr);
  assert.deepEqual(
    posted(daemon.seen).map(([url, , body]) => [url, body]),
    [
      ['/v1/prompts/p1', 'x'],
      ['/v1/prompts/p2', '{"answer":"accept"}'],
      ['/v1/prompts/p3', '{"answer":"choose","choice":"bb"}'],
    ],
  );
  assert.match(stderr, /SHA-256 +ab:12[\s\S]*in doubt +unknown root[\s\S]* 1\. CN=alice\n +2\. CN=alice \(admin\)/);
});

test('trust takes "yes" and nothing less; no answer refuses', async () => {
  for (const input of ['y\n', '\n', '']) {
    await using daemon = await daemonWith(trust);
    await aovpn(['prompt'], { socketPath: daemon.socketPath, input });
    assert.deepEqual(posted(daemon.seen), [['/v1/prompts/p2', 'application/json', '{"answer":"refuse"}']]);
  }
  await using daemon = await daemonWith(password);
  await aovpn(['prompt'], { socketPath: daemon.socketPath, input: '' });
  assert.deepEqual(posted(daemon.seen), [['/v1/prompts/p1', 'application/json', '{"answer":"refuse"}']]);
});

test('the questions of one connection only', async () => {
  await using daemon = await daemonWith({ ...password, id: 'other', connection: 'Other' }, password);
  await aovpn(['prompt', 'Contoso User'], { socketPath: daemon.socketPath, input: 'x\n' });
  assert.deepEqual(
    posted(daemon.seen).map(([url]) => url),
    ['/v1/prompts/p1'],
  );
});

test('somebody else was faster: that is said, and is no failure', async () => {
  await using daemon = await daemonWith({ ...password, id: 'late' });
  const { stderr, exitCode } = await aovpn(['prompt'], { socketPath: daemon.socketPath, input: 'x\n' });
  assert.equal(exitCode, 0);
  assert.match(stderr, /Nobody waits for that answer any more/);
});

test('--list and --json show, --refuse refuses, and none of them asks', async () => {
  await using daemon = await daemonWith(password, trust);
  const list = await aovpn(['prompt', '--list'], { socketPath: daemon.socketPath });
  assert.match(list.stdout, /Password of alice[\s\S]*CN=radius/);
  const json = await aovpn(['prompt', '--json'], { socketPath: daemon.socketPath });
  assert.deepEqual(JSON.parse(json.stdout), [password, trust]);
  assert.deepEqual(posted(daemon.seen), []);
  const refuse = await aovpn(['prompt', '--refuse'], { socketPath: daemon.socketPath });
  assert.equal(refuse.stdout, '2 refused\n');
  assert.deepEqual(
    posted(daemon.seen).map(([, , body]) => body),
    ['{"answer":"refuse"}', '{"answer":"refuse"}'],
  );
});

test('an answer that is too long is refused here already', async () => {
  await using daemon = await daemonWith(password);
  const { exitCode, stderr } = await aovpn(['prompt'], { socketPath: daemon.socketPath, input: `${'x'.repeat(2000)}\n` });
  assert.equal(exitCode, 1);
  assert.match(stderr, /at most 1024 octets/);
  assert.deepEqual(posted(daemon.seen), []);
});

test('explain certificate prints the report; 1 when none is chosen', async () => {
  const report: CertificateReport = {
    connection: 'Contoso User',
    outcome: 'none',
    text: 'certificate for EAP-TLS: none — \u001b[2Jno candidate\n',
    certificates: [],
    problems: [],
  };
  await using daemon = await fakeDaemon(({ url }) => ({
    status: 200,
    body: url === '/v1/certificates?connection=Contoso+User' ? report : daemonStatus,
  }));
  const text = await aovpn(['explain', 'certificate', 'Contoso User'], { socketPath: daemon.socketPath });
  assert.equal(text.exitCode, 1);
  assert.equal(text.stdout, 'certificate for EAP-TLS: none — \\x1b[2Jno candidate\n');
  const json = await aovpn(['explain', 'certificate', 'Contoso User', '--json'], { socketPath: daemon.socketPath });
  assert.deepEqual(JSON.parse(json.stdout), report);
});
