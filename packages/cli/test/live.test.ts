import assert from 'node:assert/strict';
import process from 'node:process';
import { suite, test } from 'node:test';
import { stripVTControlCharacters, styleText } from 'node:util';
import type { ConnectionState, ConnectionStatus, DaemonStatus } from '@aovpn/api';
import fc from 'fast-check';
import { clip, fit, textWidth, wrapText } from '../src/print/cell.ts';
import { liveLines } from '../src/print/live.ts';
import { daemonStatus, upConnection, waitingConnection } from './sample.ts';

process.env['TZ'] = 'UTC';

const now = Date.parse('2026-11-22T10:05:00.000Z');
const plain = { style: (_: unknown, text: string) => text };
const coloured = { style: (_: unknown, text: string) => styleText('red', text, { validateStream: false }) };

suite('a live picture of the connections', () => {
  test('what is up and what flows, and of the rest why it is not and how that ends', () => {
    const rates = new Map([['Contoso Device', { in: 1_500_000, out: 2048 }]]);
    const events = [
      { at: now - 60_000, name: 'Contoso User', state: 'waiting', text: 'the gateway refuses the password' },
    ] as const;
    const lines = liveLines({ status: { ...daemonStatus, profiles: [] }, events, rates, now, footer: 'q quits' }, plain, 100, 30);
    assert.equal(
      lines.join('\n'),
      `aovpn 0.1.0                                               1 of 2 up · daemon up 1 h 5 min · 10:05:00

● Contoso Device  up            5 min       ↓ 1.4 MiB/s   ↑ 2.0 KiB/s   10.99.0.5 aovpn0
    traffic flows
◐ Contoso User    waiting       1 min       vpn.contoso.example
    The user name or password is wrong\\x1b[2J [AOV-EAP-101, Windows 691; side: credentials]
  → correct the password file
    ends: try 3 in 1 min, at 10:06:00; at once: aovpn up "Contoso User"

what happened
  10:04:00  Contoso User  waiting  the gateway refuses the password

q quits`,
    );
  });

  const states: readonly ConnectionState[] = [
    'down',
    'held',
    'trusted',
    'connecting',
    'up',
    'recovering',
    'waiting',
    'blocked',
    'disconnecting',
  ];
  const connection = fc
    .record({
      name: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60 }),
      reason: fc.string({ unit: 'binary', maxLength: 200 }),
      state: fc.constantFrom(...states),
      up: fc.boolean(),
    })
    .map(({ up, ...rest }): ConnectionStatus => ({ ...(up ? upConnection : waitingConnection), ...rest }));

  test('nothing is wider or higher than the terminal, nothing steers it, whatever stands in there', () => {
    fc.assert(
      fc.property(
        fc.array(connection, { maxLength: 6 }),
        fc.integer({ min: 20, max: 200 }),
        fc.integer({ min: 3, max: 60 }),
        (connections, columns, rows) => {
          const status: DaemonStatus = { ...daemonStatus, connections };
          const events = connections.map(({ name, state, reason }) => ({ at: now, name, state, text: reason }));
          const lines = liveLines({ status, events, rates: new Map(), now, footer: 'q quits' }, coloured, columns, rows);
          assert.ok(lines.length <= rows, `${lines.length} lines of ${rows}`);
          for (const line of lines) {
            const bare = stripVTControlCharacters(line);
            assert.ok(textWidth(bare) <= columns, JSON.stringify(bare));
            // oxlint-disable-next-line no-control-regex -- what steers a terminal is what this is about
            assert.doesNotMatch(bare, /[\u0000-\u001f\u007f-\u009f\u202e]/);
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  test('columns are counted as a terminal does', () => {
    assert.deepEqual(['abc', 'é', 'e\u0301', '日本', '😀'].map(textWidth), [3, 1, 1, 4, 2]);
    assert.equal(clip('日本語', 5), '日本…');
    assert.equal(textWidth(fit('日本語', 4)), 4);
    assert.deepEqual(wrapText('one two  three', 7), ['one two', 'three']);
    assert.ok(wrapText('x'.repeat(50), 8).every((line) => textWidth(line) <= 8));
  });
});
