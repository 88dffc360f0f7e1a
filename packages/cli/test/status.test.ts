import assert from 'node:assert/strict';
import process from 'node:process';
import { test } from 'node:test';
import type { ConnectionStatus } from '@aovpn/api';
import { connectionEnd } from '../src/print/connection-end.ts';
import { duration, localTimes, size } from '../src/print/moment.ts';
import { statusText } from '../src/print/status.ts';
import type { Terminal } from '../src/terminal.ts';
import { daemonStatus } from './sample.ts';

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

test('status says state, reason, problem with its cure, and the profile line behind every route and name', () => {
  const text = statusText(daemonStatus, [], plain, Date.parse('2026-11-22T10:05:00.000Z'));
  assert.equal(
    text,
    `● Contoso Device  up  device tunnel
  for         the machine, also before anybody signs in
  reason      traffic flows
  since       10:00:00, 5 min ago
  traffic     ↓ 4.8 MiB in  ↑ 2.0 KiB out  3 packets dropped
  gateway     vpn.contoso.example (192.0.2.1, UDP 4500)
  device      aovpn0, MTU 1400
  addresses   10.99.0.5/32, 2001:db8:99::5/128
  routing     SplitTunnel: only these
    route     10.0.0.0/8 metric 5                     line 31: Route
    route     not in the tunnel: 10.1.0.0/16          line 36: ExclusionRoute
  dns search  corp.example
    name      .corp.example → 10.0.0.53               line 40: DomainName
    name      www.corp.example → the normal resolver  line 44: DomainName
  IKE         AES-GCM-16-256 / PRF-HMAC-SHA2-256 / X25519
  ESP         AES-GCM-16-256
  gateway id  vpn.contoso.example (certificate CN=vpn.contoso.example)
  signed in   certificate
  features    MOBIKE, fragmentation, NAT on our side

● Contoso User  waiting  user tunnel
  for         everybody on this machine
  reason      the gateway refuses the password
  since       10:04:00, 1 min ago
  ends        try 3 in 1 min, at 10:06:00; at once: aovpn up "Contoso User"
  problem     The user name or password is wrong\\x1b[2J [AOV-EAP-101, Windows 691]
  side        credentials
  what to do  correct the password file
  gateway     vpn.contoso.example
  routing     ForceTunnel: everything through the tunnel

! profile Contoso User new version refused: the last good one runs on; see: aovpn profile lint /etc/aovpn/profiles.d/Contoso User.xml`,
  );
});

test('trust in the RADIUS server stands apart from trust in the gateway', () => {
  const [first] = daemonStatus.connections;
  const shown = (radius: NonNullable<ConnectionStatus['crypto']>['radius']): string =>
    statusText(
      { ...daemonStatus, connections: [{ ...first!, crypto: { ...first!.crypto!, ...(radius && { radius }) } }] },
      ['Contoso Device'],
      plain,
      Date.parse('2026-11-22T10:05:00.000Z'),
    )
      .split('\n')
      .filter((line) => /gateway id|RADIUS|  server|  root|  TLS|  binding/.test(line))
      .join('\n');
  const server = { subject: 'CN=nps.corp.example', names: ['nps.corp.example'], root: 'CN=Corp Root' };
  assert.equal(
    shown({ method: 'PEAP, inner EAP-MSCHAPv2', tls: { version: '1.2', resumed: true, server }, cryptobinding: true }),
    `  gateway id  vpn.contoso.example (certificate CN=vpn.contoso.example)
  RADIUS      PEAP, inner EAP-MSCHAPv2
    server    CN=nps.corp.example (nps.corp.example)
    root      CN=Corp Root
    TLS       1.2, a session of before resumed
    binding   tunnel and inner method bound together`,
  );
  assert.match(
    shown({ method: 'EAP-TTLS', tls: { version: '1.3', resumed: false } }),
    /server {4}not checked: PerformServerValidation/,
  );
  assert.match(shown({ method: 'EAP-MSCHAPv2' }), /server {4}no certificate; it has proven that it knows the password/);
});

test('without profiles it says how to add one', () => {
  assert.match(statusText({ ...daemonStatus, connections: [], profiles: [] }, [], plain, 0), /aovpn profile add/);
});

test('durations and sizes have two significant units at most', () => {
  assert.deepEqual([0, 999, 61_000, 3_600_000, 90_061_000, -5].map(duration), [
    '0 s',
    '0 s',
    '1 min 1 s',
    '1 h',
    '1 d 1 h',
    '0 s',
  ]);
  assert.deepEqual([0, 1023, 1024, 1536 * 1024, 5e15].map(size), ['0 B', '1023 B', '1.0 KiB', '1.5 MiB', '4547.5 TiB']);
});

test('of what is not up it is said how that ends', () => {
  const now = Date.parse('2026-11-22T10:05:00.000Z');
  const [, waiting] = daemonStatus.connections;
  const { problem: _, nextTryAt: __, ...bare } = waiting!;
  const end = (change: Partial<ConnectionStatus>): string | undefined => connectionEnd({ ...bare, name: 'corp', ...change }, now);
  const nextTryAt = '2026-11-22T10:06:30.000Z';
  assert.equal(end({ state: 'up' }), undefined);
  assert.equal(end({ state: 'waiting', nextTryAt }), 'try 3 in 1 min 30 s, at 10:06:30; at once: aovpn up corp');
  assert.match(
    end({ state: 'blocked', nextTryAt })!,
    /^when profile, settings or credentials change, or by try 3 in .*; at once: aovpn up corp$/,
  );
  const held = (until: string): string =>
    `User 7 (jo) said down at 2026-11-22T10:00:00.000Z; it stays so until ${until}"aovpn up corp".`;
  assert.equal(end({ state: 'held', reason: held('') }), 'aovpn up corp');
  assert.equal(end({ state: 'held', reason: held('the next sign-in or ') }), 'by the next sign-in, or by aovpn up corp');
  assert.equal(end({ state: 'held', reason: held('2026-11-22T11:00:00.000Z or ') }), 'at 11:00:00, or by aovpn up corp');
  assert.match(end({ state: 'trusted' })!, /^on leaving this network/);
  assert.match(
    end({ state: 'down', reason: 'It connects when an application of AppTrigger starts: x.' })!,
    /^by itself, when that happens/,
  );
  assert.equal(end({ state: 'down', name: 'a b', reason: 'The profile is not AlwaysOn.' }), 'aovpn up "a b"');
  const waitingFor = { who: 'person', text: 'waiting for a password', since: nextTryAt } as const;
  assert.equal(end({ state: 'connecting', waitingFor }), 'when you answer: aovpn prompt');
});

test('times inside of sentences are those of the person’s clock, with the day where it is another one', () => {
  const now = Date.parse('2026-11-22T10:05:00.000Z');
  assert.equal(
    localTimes('at 2026-11-22T09:00:00.000Z, and 2026-11-21T23:59:59Z.', now),
    'at 09:00:00, and 2026-11-21 23:59:59.',
  );
});

test('colours are ours alone: what comes from elsewhere cannot make any, nor turn text around', () => {
  const coloured: Terminal = { ...plain, colour: true, style: (_, text) => `\u001b[1m${text}\u001b[0m` };
  const [first] = daemonStatus.connections;
  const evil = { ...daemonStatus, connections: [{ ...first!, reason: '\u001b]0;title\u0007 \u009b31m \u202etxt' }] };
  const text = statusText(evil, [], coloured, Date.parse('2026-11-22T10:05:00.000Z'));
  assert.match(text, /\\x1b\]0;title\\x07 \\x9b31m \\x202etxt/);
  // oxlint-disable-next-line no-control-regex -- escape sequences are what this is about
  const rest = text.replaceAll(/\u001b\[[01]m/g, '');
  // oxlint-disable-next-line no-control-regex
  assert.doesNotMatch(rest, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
  assert.ok(!text.includes('\\x1b[1m'), 'our own colours stay colours');
});
