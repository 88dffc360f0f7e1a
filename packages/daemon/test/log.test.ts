import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Log, type LogOptions } from '../src/log.ts';

function make(changes: Partial<LogOptions> = {}): { readonly log: Log; readonly lines: string[]; at: number } {
  const lines: string[] = [];
  const made = { log: undefined as unknown as Log, lines, at: Date.UTC(2026, 0, 2) };
  made.log = new Log({
    level: 'info',
    format: 'text',
    journal: false,
    write: (line) => lines.push(line),
    clock: () => made.at,
    ...changes,
  });
  return made;
}

suite('log', () => {
  test('a line has time, level, connection and text', () => {
    const { log, lines } = make();
    log.warn('hello', 'corp');
    assert.deepEqual(lines, ['2026-01-02T00:00:00.000Z warn  [corp] hello\n']);
  });

  test('the journal gets its own level mark and no time', () => {
    const { log, lines } = make({ journal: true });
    log.error('broken');
    assert.deepEqual(lines, ['<3>broken\n']);
  });

  test('the journal’s own protocol has fields for level, connection and code; what it does not take is written', () => {
    const entries: Readonly<Record<string, string>>[] = [];
    let takes = true;
    const { log, lines } = make({ journal: true, send: (fields) => takes && entries.push(fields) > 0 });
    log.warn('refused [AOV-EAP-101]', 'corp');
    log.info('hello');
    assert.deepEqual(entries, [
      {
        MESSAGE: '[corp] refused [AOV-EAP-101]',
        PRIORITY: '4',
        SYSLOG_IDENTIFIER: 'aovpnd',
        AOVPN_CONNECTION: 'corp',
        AOVPN_CODE: 'AOV-EAP-101',
        MESSAGE_ID: 'd5f0a1c95c3b4b6b8f0e7c1f6a2d9e34',
      },
      { MESSAGE: 'hello', PRIORITY: '6', SYSLOG_IDENTIFIER: 'aovpnd' },
    ]);
    takes = false;
    log.error('broken');
    assert.deepEqual(lines, ['<3>broken\n']);
    const json = make({ journal: true, format: 'json', send: () => assert.fail('JSON was wanted') });
    json.log.info('x');
    assert.equal(json.lines.length, 1);
  });

  test('JSON is one object a line', () => {
    const { log, lines } = make({ format: 'json' });
    log.info('a "b"', 'corp');
    assert.deepEqual(JSON.parse(lines[0]!), { at: '2026-01-02T00:00:00.000Z', level: 'info', connection: 'corp', text: 'a "b"' });
  });

  test('what is below the level is left out, but info is always remembered', () => {
    const { log, lines } = make({ level: 'warn' });
    log.info('quiet');
    log.debug('silent');
    assert.deepEqual(lines, []);
    assert.deepEqual(
      log.recent().map(({ text }) => text),
      ['quiet'],
    );
  });

  test('what a peer sent cannot forge a line or steer a terminal', () => {
    const { log, lines } = make();
    log.info('evil\n2026-01-02 error forged\u001b[2J\u202e');
    assert.equal(lines[0]!.split('\n').length, 2);
    assert.ok(!lines[0]!.includes('\u001b') && !lines[0]!.includes('\u202e'));
  });

  test('a peer cannot fill the disk: lines of one kind are limited, and the rest is counted', () => {
    const made = make();
    for (let i = 0; i < 1000; i++) made.log.info(`dropped datagram ${i} from 192.0.2.${i % 256}`, 'corp');
    assert.equal(made.lines.length, 20);
    made.log.info('something else', 'corp');
    assert.equal(made.lines.length, 21);
    made.at += 11_000;
    made.log.info('dropped datagram 5 from 192.0.2.1', 'corp');
    assert.match(made.lines.at(-2)!, /980 more lines/);
  });

  test('a follower hears new lines until it stops; memory has a limit', () => {
    const { log } = make();
    const heard: string[] = [];
    const stop = log.follow(({ text }) => heard.push(text));
    log.info('one');
    stop();
    log.info('two');
    assert.deepEqual(heard, ['one']);
    for (let i = 0; i < 5000; i++)
      log.info(
        `${String.fromCharCode(97 + (i % 26))}${String.fromCharCode(97 + ((i / 26) % 26))}${String.fromCharCode(97 + ((i / 676) % 26))}`,
      );
    assert.equal(log.recent().length, 2000);
  });

  test('recent lines can be those of one connection', () => {
    const { log } = make();
    log.info('a', 'one');
    log.info('b', 'two');
    assert.deepEqual(
      log.recent('two').map(({ text }) => text),
      ['b'],
    );
  });
});
