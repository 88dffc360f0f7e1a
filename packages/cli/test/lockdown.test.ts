import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type { DaemonStatus, ErrorAnswer, LockdownStatus } from '@aovpn/api';
import { fakeDaemon } from './fake-daemon.ts';
import { aovpn } from './run-cli.ts';
import { daemonStatus, waitingConnection } from './sample.ts';

const because = 'profile "Contoso User" line 4: LockDown';
const sentence = `All traffic of this machine is blocked until the tunnel is up: ${because}.`;
const blocked: LockdownStatus = {
  state: 'engaged',
  traffic: 'blocked',
  profiles: [{ name: 'Contoso User', because }],
  text: sentence,
};
const released: LockdownStatus = {
  state: 'released',
  traffic: 'open',
  profiles: [{ name: 'Contoso User', because, released: { at: '2026-11-22T10:00:00.000Z', by: 'user 0 (process 7)' } }],
};
const withLockdown = (lockdown: LockdownStatus): DaemonStatus => ({
  ...daemonStatus,
  connections: [{ ...waitingConnection, lockdown: { blocked: true, because } }],
  lockdown,
});

test('status begins with what LockDown does now, and why', async () => {
  let status = withLockdown(blocked);
  await using daemon = await fakeDaemon(() => ({ status: 200, body: status }));
  const first = (await aovpn(['status'], daemon)).stdout;
  assert.match(
    first,
    /^■ LockDown: all traffic of this machine is blocked until the tunnel is up\n {2}because +profile "Contoso User" line 4/,
  );
  assert.match(first, /lockdown +all traffic of this machine is blocked +line 4/);
  status = withLockdown(released);
  assert.match(
    (await aovpn(['status'], daemon)).stdout,
    /^■ LockDown: NOT in force[^\n]*\n {2}released +.*by user 0 \(process 7\) at 2026/,
  );
});

test('an error says that traffic is blocked, whether the daemon says so or the file that it left', async () => {
  const error: ErrorAnswer = { error: { code: 'AOV-DAEMON-512', message: 'no such profile', cure: 'look', blocked: sentence } };
  await using daemon = await fakeDaemon(() => ({ status: 404, body: error }));
  assert.ok((await aovpn(['profile', 'show', 'x'], daemon)).stderr.includes(`traffic: ${sentence}`));
  const directory = mkdtempSync(path.join(tmpdir(), 'aovpn-cli-'));
  try {
    const nobody = { socketPath: path.join(directory, 'control.sock') };
    assert.doesNotMatch((await aovpn(['status'], nobody)).stderr, /traffic:/);
    for (const text of ['', '{}', '[]', '{"because":7}']) {
      writeFileSync(path.join(directory, 'lockdown.json'), text);
      assert.doesNotMatch((await aovpn(['status'], nobody)).stderr, /traffic:/, text);
    }
    writeFileSync(path.join(directory, 'lockdown.json'), JSON.stringify({ since: 'x', because: [`${because}\u001b[2J`] }));
    const { stderr, exitCode } = await aovpn(['status'], nobody);
    assert.equal(exitCode, 3);
    assert.match(
      stderr,
      /traffic: All traffic of this machine is blocked, and stays so without the daemon: .*line 4: LockDown\\x1b\[2J/,
    );
    assert.match((await aovpn(['doctor'], nobody)).stdout, /lockdown: All traffic of this machine is blocked/);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('a release wants a word, or --yes', async () => {
  await using daemon = await fakeDaemon(({ method }) =>
    method === 'GET' ? { status: 200, body: daemonStatus } : { status: 200, body: { accepted: true } },
  );
  const asked = await aovpn(['lockdown', 'release', 'Contoso User'], daemon);
  assert.equal(asked.exitCode, 2);
  assert.ok(
    daemon.seen.every(({ method }) => method === 'GET'),
    'nothing was released',
  );
  const done = await aovpn(['lockdown', 'release', 'Contoso User', '--yes'], daemon);
  assert.equal(done.exitCode, 0);
  assert.match(done.stdout, /until: aovpn lockdown engage "Contoso User"/);
  assert.equal((await aovpn(['lockdown', 'engage', 'Contoso User'], daemon)).exitCode, 0);
  assert.deepEqual(
    daemon.seen.filter(({ method }) => method === 'POST').map(({ url }) => url),
    ['/v1/lockdown/Contoso%20User/release', '/v1/lockdown/Contoso%20User/engage'],
  );
});
