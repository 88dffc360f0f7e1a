import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConnectionStatus, DaemonEvent } from '@aovpn/api';
import { keepServiceStatus, serviceStatus } from '../src/service-status.ts';

const one = (name: string, state: ConnectionStatus['state'], code?: string): ConnectionStatus =>
  ({ name, state, ...(code !== undefined && { problem: { code } }) }) as ConnectionStatus;

test('one line says how many are up, and which of those that are wanted are not', () => {
  assert.equal(serviceStatus([]), 'no connections');
  assert.equal(serviceStatus([one('a', 'up'), one('b', 'down')]), '1 of 2 up');
  assert.equal(
    serviceStatus([one('a', 'up'), one('b', 'waiting', 'AOV-IKE-1'), one('c\nREADY=0', 'held')]),
    '1 of 3 up; b waiting (AOV-IKE-1); c\ufffdREADY=0 held',
  );
});

test('the service manager hears of changes, each once, until it is over', async () => {
  let state: ConnectionStatus['state'] = 'connecting';
  let watcher: ((event: DaemonEvent) => void) | undefined;
  const said: string[] = [];
  const daemon = {
    connections: async () => [one('a', state)],
    subscribe: (given: (event: DaemonEvent) => void) => {
      watcher = given;
      return () => (watcher = undefined);
    },
  };
  const end = keepServiceStatus(daemon, (message) => said.push(message));
  const turn = async (): Promise<void> => {
    for (let i = 0; i < 10; i++) await Promise.resolve();
  };
  await turn();
  const event: DaemonEvent = { kind: 'removed', name: 'x' };
  watcher!(event);
  await turn();
  state = 'up';
  watcher!(event);
  watcher!(event);
  await turn();
  assert.deepEqual(said, ['STATUS=0 of 1 up; a connecting', 'STATUS=1 of 1 up']);
  end();
  assert.equal(watcher, undefined);
});
