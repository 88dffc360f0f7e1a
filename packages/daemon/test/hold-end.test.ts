import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, suite, test } from 'node:test';
import type { Hold } from '@aovpn/supervisor';
import { HeldFile } from '../src/held-file.ts';
import { HoldEnds } from '../src/hold-end.ts';
import { Log } from '../src/log.ts';

suite('holds', () => {
  let directory: string;
  let ends: HoldEnds;
  let over: Map<string, string>;
  let lines: string[];
  beforeEach(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'aovpn-hold-'));
    over = new Map();
    lines = [];
    ends = new HoldEnds({ end: (name, why) => over.set(name, why) });
  });
  afterEach(() => {
    ends.close();
    rmSync(directory, { recursive: true });
  });
  const hold = (until: string): Hold => ({ by: 'root', since: '2026-11-29T09:00:00.000Z', ends: until });
  const settled = async (count: number): Promise<void> => {
    for (const end = performance.now() + 60_000; over.size < count && performance.now() < end;)
      await new Promise((resolve) => setTimeout(resolve, 10));
  };

  test('end at their time, also when that was while nobody looked; others stay', async () => {
    const soon = new Date(Date.now() + 30).toISOString();
    ends.take(
      new Map([
        ['past', hold('2020-01-01T00:00:00.000Z')],
        ['soon', hold(soon)],
        ['up', hold('up')],
      ]),
    );
    await settled(2);
    assert.deepEqual(
      [...over],
      [
        ['past', 'its time is over'],
        ['soon', 'its time is over'],
      ],
    );
  });

  test('end when somebody signs in: those of the machine, and their own', () => {
    ends.take(
      new Map([
        ['corp', hold('sign-in')],
        ['alice/corp', hold('sign-in')],
        ['alicia/corp', hold('sign-in')],
        ['other', hold('up')],
      ]),
    );
    ends.signedIn('alice');
    assert.deepEqual(
      [...over],
      [
        ['corp', 'alice signed in'],
        ['alice/corp', 'alice signed in'],
      ],
    );
  });

  test('are kept in a file with who, when and until; one that cannot be read holds nothing and is told', async () => {
    const log = new Log({ level: 'debug', format: 'text', journal: false, write: (line) => lines.push(line), clock: () => 0 });
    const file = path.join(directory, 'held.json');
    const held = new HeldFile(file, log);
    assert.deepEqual(await held.read(), new Map());
    await held.write(new Map([['corp', hold('sign-in')]]));
    assert.deepEqual(await held.read(), new Map([['corp', hold('sign-in')]]));
    assert.match(readFileSync(file, 'utf8'), /"by":"root"/);
    writeFileSync(file, '["corp"]');
    assert.deepEqual(await held.read(), new Map());
    assert.match(lines.join(''), /cannot be read, so nothing is held down/);
  });
});
