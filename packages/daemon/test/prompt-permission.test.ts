import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { text } from 'node:stream/consumers';
import { after, before, suite, test } from 'node:test';
import { openControlServer, type ControlServer } from '@aovpn/host';
import { AccessDesk } from '../src/access-desk.ts';
import { Log } from '../src/log.ts';
import { PromptDesk, type PromptReply } from '../src/prompt-desk.ts';
import { createRouter } from '../src/router.ts';

/** Both are in the daemon's group, and only one is a prompt user. */
const group = 64_200;
const promptUser = { uid: 64_201, gid: group };
const member = { uid: 64_202, gid: group };

const script = `
const [socketPath, method, path, type, body] = process.argv.slice(1);
const request = require('node:http').request({ socketPath, method, path, headers: body ? { 'content-type': type } : {} }, (response) => {
  let text = '';
  response.on('data', (chunk) => (text += chunk));
  response.on('end', () => process.stdout.write(JSON.stringify({ status: response.statusCode, body: JSON.parse(text) })));
});
request.on('error', (error) => process.stdout.write(JSON.stringify({ status: 0, body: error.code })));
request.end(body);`;

/** Other users must be able to run Node at all. */
function whyNot(): string | false {
  if (process.geteuid?.() !== 0) return 'needs root';
  return spawnSync(process.execPath, ['--version'], { ...member, cwd: '/' }).status === 0
    ? false
    : 'this checkout is closed to other users';
}

suite('who may answer prompts, by the word of the kernel', { skip: whyNot() }, () => {
  let directory: string;
  let socketPath: string;
  let server: ControlServer;
  const lines: string[] = [];
  const log = new Log({ level: 'debug', format: 'text', journal: false, write: (line) => lines.push(line), clock: Date.now });
  const desk = new PromptDesk({ log, attended: () => true, publish: () => {}, lifetimeMs: 60_000 });

  before(async () => {
    directory = mkdtempSync(path.join(tmpdir(), 'aovpn-prompt-'));
    chmodSync(directory, 0o755);
    socketPath = path.join(directory, 'control.sock');
    const mayAnswer = (uid: number): boolean => uid === promptUser.uid;
    const no = (): undefined => undefined;
    const facts = {
      group: () => group,
      adminGroup: no,
      mayAnswer,
      mayOpenPortal: () => false,
      ownerOf: no,
      ownsAny: () => false,
    };
    const access = new AccessDesk(facts, { isThere: () => false, ask: async () => ({ kind: 'no' }) }, log);
    const daemon = { log, store: { meant: (name: string) => name }, prompts: desk, wishes: { mayAnswer }, overview: {} };
    server = await openControlServer({
      path: socketPath,
      openTo: 'everybody',
      admit: (peer) => access.admits(peer),
      maxBodyBytes: 10_000,
      handle: createRouter(daemon as never, access),
    });
  });

  after(async () => {
    desk.close();
    await server.close();
    rmSync(directory, { recursive: true, force: true });
  });

  async function as(
    user: { readonly uid: number; readonly gid: number },
    method: string,
    target: string,
    type = '',
    body = '',
  ): Promise<{ readonly status: number; readonly body: unknown }> {
    const child = spawn(process.execPath, ['-e', script, socketPath, method, target, type, body], {
      ...user,
      cwd: '/',
      env: {},
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    return JSON.parse(await text(child.stdout)) as { status: number; body: unknown };
  }

  function ask(): { readonly id: string; readonly reply: Promise<PromptReply> } {
    const reply = desk.ask({ connection: 'corp', kind: 'password', text: 'Password of alice' });
    return { id: desk.list().at(-1)!.id, reply };
  }

  const octets = 'application/octet-stream';

  test('a second user of the group sees the question, and cannot answer, refuse or end it', async () => {
    const { id, reply } = ask();
    assert.equal((await as(member, 'GET', '/v1/prompts')).status, 200);
    const given = await as(member, 'POST', `/v1/prompts/${id}`, octets, 'evil');
    assert.equal(given.status, 403);
    assert.match(JSON.stringify(given.body), /AOV-DAEMON-519/);
    assert.equal((await as(member, 'POST', `/v1/prompts/${id}`, 'application/json', '{"answer":"refuse"}')).status, 403);
    assert.deepEqual(
      desk.list().map((prompt) => prompt.id),
      [id],
    );
    assert.match(lines.join(''), /user 64202 \(process \d+\) was refused POST \/v1\/prompts\/:id/);
    assert.equal((await as(promptUser, 'POST', `/v1/prompts/${id}`, octets, 'pä55')).status, 200);
    const answer = await reply;
    assert.equal(answer.kind === 'secret' && new TextDecoder().decode(answer.secret), 'pä55');
    assert.equal((await as(promptUser, 'POST', `/v1/prompts/${id}`, octets, 'again')).status, 409);
    assert.doesNotMatch(lines.join(''), /pä55|evil|again/);
  });

  test('a prompt user may answer, and nothing else that root may', async () => {
    assert.equal((await as(promptUser, 'POST', '/v1/connections/corp/down')).status, 403);
    assert.equal((await as(promptUser, 'DELETE', '/v1/profiles/corp')).status, 403);
  });

  test('a prompt user needs no group; whoever may do nothing is not even listened to', async () => {
    const { id, reply } = ask();
    const outsider = await as({ uid: 64_203, gid: 64_299 }, 'POST', `/v1/prompts/${id}`, octets, 'evil');
    assert.equal(outsider.status, 403, JSON.stringify(outsider));
    assert.match(JSON.stringify(outsider.body), /AOV-HOST-417/);
    assert.equal(desk.list().length, 1);
    assert.equal((await as({ ...promptUser, gid: 64_299 }, 'POST', `/v1/prompts/${id}`, octets, 'x')).status, 200);
    assert.equal((await reply).kind, 'secret');
  });

  test('answers that are none: the question stays', async () => {
    const { id, reply } = ask();
    for (const [type, body] of [
      ['application/json', '{"answer":"accept"}'],
      ['application/json', '{"answer":"choose","choice":"x"}'],
      ['application/json', '{"secret":"x"}'],
      ['application/json', '"x"'],
      ['application/json', '[1]'],
      [octets, 'x'.repeat(2000)],
      ['', ''],
    ] as const) {
      assert.equal((await as(promptUser, 'POST', `/v1/prompts/${id}`, type, body)).status, 400, body.slice(0, 40));
    }
    assert.equal(desk.list().length, 1);
    assert.equal((await as(promptUser, 'POST', `/v1/prompts/${id}`, 'application/json', '{"answer":"refuse"}')).status, 200);
    assert.deepEqual(await reply, { kind: 'none', why: 'refused' });
  });
});
