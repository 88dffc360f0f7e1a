import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TraceMessage } from '@aovpn/api';
import { fakeDaemon } from './fake-daemon.ts';
import { aovpn } from './run-cli.ts';

const sent: TraceMessage = {
  kind: 'message',
  at: '2026-11-29T10:00:00.125Z',
  connection: 'corp',
  direction: 'out',
  local: '192.0.2.7:40000',
  remote: '203.0.113.1:4500',
  outcome: 'sent',
  spiI: '1111111111111111',
  spiR: '2222222222222222',
  exchange: 'IKE_AUTH',
  messageId: 1,
  response: false,
  fromInitiator: true,
  octets: [1232, 310],
  payloads: [
    { name: 'IDi', detail: 'ID_FQDN laptop.example' },
    {
      name: 'SA',
      parts: [{ name: 'proposal 1', detail: 'ESP SPI 01020304', parts: [{ name: 'ENCR', detail: 'AES-GCM-16-256' }] }],
    },
  ],
};
const dropped: TraceMessage = {
  kind: 'message',
  at: '2026-11-29T10:00:00.225Z',
  connection: 'corp',
  direction: 'in',
  outcome: 'dropped',
  why: 'ignored: integrity check \u001b[2Jfailed',
  octets: [90],
  times: 3,
  payloads: [],
};

suite('aovpn trace', () => {
  test('direction, places, exchange, sizes, payloads as a tree, and what was made of it', async () => {
    await using daemon = await fakeDaemon(() => ({ stream: [sent, dropped] }));
    const { stdout, exitCode } = await aovpn(['trace', 'corp', '-n', '5'], daemon);
    assert.equal(exitCode, 0);
    assert.equal(daemon.seen[0]?.url, '/v1/trace?connection=corp&lines=5');
    assert.deepEqual(stdout.trimEnd().split('\n'), [
      '10:00:00.125 [corp] --> IKE_AUTH request 1 (I) 1232+310 octets in 2 fragments sent',
      '    192.0.2.7:40000 > 203.0.113.1:4500  SPIs 1111111111111111 2222222222222222',
      '    IDi ID_FQDN laptop.example',
      '    SA',
      '        proposal 1 ESP SPI 01020304',
      '            ENCR AES-GCM-16-256',
      String.raw`10:00:00.225 [corp] <-- no IKEv2 message 90 octets dropped, ignored: integrity check \x1b[2Jfailed, 3 times`,
    ]);
  });

  test('one line each, as JSON, and from a time on', async () => {
    await using daemon = await fakeDaemon(() => ({ stream: [sent] }));
    const { stdout } = await aovpn(['trace', '--brief', '--since', '10m'], daemon);
    assert.match(stdout, /^10:00:00\.125 \[corp\] --> IKE_AUTH request 1 \(I\) .* sent: IDi SA\n$/);
    assert.match(daemon.seen[0]!.url, /since=20\d\d-\d\d-\d\dT/);
    assert.deepEqual(JSON.parse((await aovpn(['trace', '--json'], daemon)).stdout), sent);
  });

  test('silence is no reason to stop following', async () => {
    await using daemon = await fakeDaemon(() => ({ stream: [sent], open: true }));
    const follower = aovpn(['trace', '-f', '--brief'], daemon);
    await Promise.race([daemon.asked('/v1/trace'), follower]);
    // Longer than the five seconds after which Node's agent gives up on a silent connection.
    assert.equal(await Promise.race([follower, sleep(7000, 'following')]), 'following');
    daemon.dies();
    assert.match((await follower).stdout, /IKE_AUTH request 1/);
  });

  test('keys need their own switch, and somewhere to go', async () => {
    for (const args of [['--pcap', 'x'], ['--keys', 'x'], ['--secrets']])
      assert.equal((await aovpn(['trace', ...args])).exitCode, 2);
  });

  test('a number that is none and a time that is none are told', async () => {
    for (const args of [
      ['-n', 'many'],
      ['--since', 'yesterday'],
    ]) {
      const { exitCode, stderr } = await aovpn(['trace', ...args]);
      assert.equal(exitCode, 2);
      assert.match(stderr, /needs a/);
    }
  });
});
