import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Later } from '../src/later.ts';
import { Log } from '../src/log.ts';

suite('what people see comes later', () => {
  test('in its order, behind what the event loop is at', async () => {
    const later = new Later();
    const done: string[] = [];
    later.do(() => {
      done.push('first');
      later.do(() => done.push('of the first'));
    });
    later.do(() => done.push('second'));
    await Promise.resolve();
    assert.deepEqual(done, []);
    await nextTurn();
    assert.deepEqual(done, ['first', 'of the first', 'second']);
  });

  test('lines of the log keep the time at which they were said; who asks for them misses none', async () => {
    const lines: string[] = [];
    let now = Date.UTC(2026, 0, 2);
    const later = new Later();
    const log = new Log({
      level: 'info',
      format: 'text',
      journal: false,
      write: (line) => lines.push(line),
      clock: () => now,
      later,
    });
    log.info('hello');
    now += 5;
    assert.deepEqual(lines, []);
    await nextTurn();
    assert.deepEqual(lines, ['2026-01-02T00:00:00.000Z info  hello\n']);
    log.info('again');
    assert.deepEqual(
      log.recent().map(({ text }) => text),
      ['hello', 'again'],
    );
  });

  test('an error is written at once, behind what was said before it', () => {
    const lines: string[] = [];
    const log = new Log({
      level: 'info',
      format: 'text',
      journal: true,
      write: (line) => lines.push(line),
      clock: () => 0,
      later: new Later(),
    });
    log.info('before');
    log.error('broken');
    assert.deepEqual(lines, ['<6>before\n', '<3>broken\n']);
  });
});
