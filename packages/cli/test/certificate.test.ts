import assert from 'node:assert/strict';
import process from 'node:process';
import { test } from 'node:test';
import type { EnrolmentStatus } from '@aovpn/api';
import { completionScript } from '../src/print/completion.ts';
import { enrolmentText } from '../src/print/enrolment.ts';
import { loadProgram } from '../src/program.ts';
import { statusText } from '../src/print/status.ts';
import type { Terminal } from '../src/terminal.ts';
import { fakeDaemon } from './fake-daemon.ts';
import { aovpn } from './run-cli.ts';
import { daemonStatus } from './sample.ts';

const program = await loadProgram();

// Times are those of the person's clock.
process.env['TZ'] = 'UTC';

const plain: Terminal = {
  interactive: false,
  colour: false,
  columns: 100,
  out: () => {},
  err: () => {},
  style: (_, text) => text,
};
const now = Date.parse('2026-11-22T10:05:00.000Z');
const valid: EnrolmentStatus = {
  name: 'machine',
  protocol: 'est',
  url: 'https://est.contoso.example/.well-known/est',
  state: 'valid',
  certificate: {
    id: 'ab'.repeat(32),
    subject: 'CN=laptop.contoso.example',
    issuer: 'CN=Contoso Issuing CA',
    notBefore: '2026-10-22T10:00:00.000Z',
    notAfter: '2026-12-20T10:05:00.000Z',
  },
  next: { what: 'renew', at: '2026-12-01T08:00:00.000Z' },
  why: 'the certificate is in order',
  connections: ['Contoso Device'],
};
const refused: EnrolmentStatus = {
  ...valid,
  problem: {
    code: 'AOV-SUPERVISOR-363',
    side: 'certificate',
    message: 'The enrolment server refused the request: HTTP 403: "stolen\u001b[2J"',
    cure: 'ask',
    at: '2026-11-22T10:00:00.000Z',
  },
};

test('a certificate says how long it is good for, when it is renewed, and what is in the way', () => {
  assert.equal(
    enrolmentText(refused, plain, now),
    `● machine  valid  certificate
  subject     CN=laptop.contoso.example
  issuer      CN=Contoso Issuing CA
  valid       until 2026-12-20 10:05:00, 28 d left
  server      https://est.contoso.example/.well-known/est (EST)
  used by     Contoso Device
  next        renewed at 2026-12-01 08:00:00; the certificate is in order
  problem     The enrolment server refused the request: HTTP 403: "stolen\\x1b[2J" [AOV-SUPERVISOR-363]
  side        certificate
  what to do  ask`,
  );
});

test('the status has a line for each certificate, and a notice where something is wrong', () => {
  const line = 'certificate machine: 28 d left, renewed at 2026-12-01 08:00:00';
  const well = statusText({ ...daemonStatus, enrolments: [valid] }, [], plain, now);
  assert.ok(well.split('\n').includes(line), well);
  const ill = statusText({ ...daemonStatus, enrolments: [refused] }, [], plain, now);
  assert.match(ill, /^! certificate machine: 28 d left, .*\[AOV-SUPERVISOR-363\]; see: aovpn certificate list$/m);
  assert.ok(!statusText({ ...daemonStatus, enrolments: [valid] }, ['Contoso User'], plain, now).includes('certificate machine'));
});

test('certificate enrol sends the secret as octets, in the body alone, and fails where the certificate was not had', async () => {
  await using daemon = await fakeDaemon(() => ({ status: 200, body: refused }));
  const { socketPath } = daemon;
  const said = await aovpn(['certificate', 'enrol', 'machine', '--secret'], { input: 'once only\n', socketPath });
  assert.equal(said.exitCode, 1);
  const [{ method, url, body, type } = assert.fail('nothing was asked')] = daemon.seen;
  assert.deepEqual([method, url, body, type], ['POST', '/v1/enrolments/machine/enrol', 'once only', 'application/octet-stream']);
  assert.ok(!`${said.stdout}${said.stderr}`.includes('once only'));
  const none = await aovpn(['certificate', 'enrol', 'machine', '--secret'], { input: '', socketPath });
  assert.equal(none.exitCode, 2);
  assert.equal(daemon.seen.length, 1);
});

test('certificate list and renew, as JSON', async () => {
  await using daemon = await fakeDaemon(({ method }) => ({ status: 200, body: method === 'GET' ? [valid] : valid }));
  const { socketPath } = daemon;
  const list = await aovpn(['certificate', 'list', '--json'], { socketPath });
  assert.deepEqual(JSON.parse(list.stdout), [valid]);
  assert.equal((await aovpn(['certificate', 'list', '--names'], { socketPath })).stdout, 'machine\n');
  const renew = await aovpn(['certificate', 'renew', 'machine', '--json'], { socketPath });
  assert.deepEqual([JSON.parse(renew.stdout), renew.exitCode], [valid, 0]);
});

test('completion offers the names of enrolments where one is wanted', () => {
  assert.match(completionScript.bash(program), /^ +"certificate renew"\*\).*aovpn certificate list --names/m);
  assert.match(completionScript.fish(program), /from renew' -a '\(aovpn certificate list --names/);
});
