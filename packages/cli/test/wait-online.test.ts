import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { ConnectionStatus, DaemonStatus } from '@aovpn/api';
import { judge } from '../src/command/wait-online.ts';
import { fakeDaemon } from './fake-daemon.ts';
import { aovpn } from './run-cli.ts';
import { daemonStatus, profile, upConnection, waitingConnection } from './sample.ts';

const status = (...connections: readonly ConnectionStatus[]): DaemonStatus => ({
  ...daemonStatus,
  connections,
  profiles: connections.map(({ name }) => ({ ...profile, name, alwaysOn: name !== 'on demand' })),
});
const down = { ...waitingConnection, name: 'down' };
const up = { ...upConnection, name: 'up' };

suite('aovpn wait-online', () => {
  test('what counts', () => {
    const isOnline = (state: DaemonStatus, names: readonly string[] = [], any = false): boolean =>
      judge(state, names, any).kind === 'online';
    assert.equal(isOnline(status()), true, 'nothing is wanted');
    assert.equal(isOnline(status(up)), true);
    assert.equal(isOnline(status(up, down)), false);
    assert.equal(isOnline(status(up, down), [], true), true, 'one is enough');
    assert.equal(isOnline(status(down), [], true), false);
    assert.equal(isOnline(status(up, down), ['up']), true, 'the one that is meant');
    assert.equal(isOnline(status(up), ['up', 'absent']), false);
    for (const change of [
      { name: 'on demand' },
      { state: 'trusted' },
      { state: 'held' },
      { owner: { uid: 1000, name: 'jo' } },
    ] as const) {
      const other: ConnectionStatus = { ...down, ...change };
      assert.equal(isOnline(status(up, other)), true, JSON.stringify(change));
      assert.equal(isOnline(status(up, other), [other.name]), false, 'unless it is named');
    }
  });

  test('it ends with the tunnel, and says how long that took', async () => {
    let looks = 0;
    await using daemon = await fakeDaemon(({ url }) =>
      url.startsWith('/v1/events')
        ? { stream: [{ kind: 'removed', name: 'x' }], open: true }
        : { status: 200, body: status(looks++ === 0 ? { ...down, name: 'up' } : up) },
    );
    const { stdout, exitCode } = await aovpn(['wait-online'], daemon);
    assert.match(stdout, /^up after .* s: up\n$/);
    assert.equal(exitCode, 0);
    assert.equal(looks, 2);
  });

  test('when it takes too long it says what is missing and why', async () => {
    await using daemon = await fakeDaemon(({ url }) =>
      url.startsWith('/v1/events') ? { stream: [], open: true } : { status: 200, body: status(down) },
    );
    const { stderr, exitCode } = await aovpn(['wait-online', '--timeout', '0.3'], daemon);
    assert.equal(exitCode, 1);
    assert.match(stderr, /not online after 0 s: down is waiting: the gateway refuses the password \(ends: try 3/);
  });

  test('a daemon that is not there yet is waited for as well', async () => {
    const { stderr, exitCode } = await aovpn(['wait-online', '--timeout', '0.3'], { socketPath: '/nonexistent/control.sock' });
    assert.equal(exitCode, 3, stderr);
    assert.match(stderr, /the daemon is not running/);
  });
});
