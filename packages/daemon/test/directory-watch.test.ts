import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { DirectoryWatch } from '../src/directory-watch.ts';

suite('directories under watch', () => {
  let place: string;
  let watch: DirectoryWatch | undefined;
  beforeEach(() => {
    place = mkdtempSync(path.join(tmpdir(), 'aovpn-watch-'));
  });
  afterEach(() => {
    watch?.close();
    rmSync(place, { recursive: true, force: true });
  });

  /** A watch without a poll that could hide what it does not see; resolves at the next change. */
  function watched(directories: readonly string[], pollMs: () => number = () => 3_600_000): () => Promise<void> {
    let news = Promise.withResolvers<void>();
    watch = new DirectoryWatch({
      directories: () => directories,
      onChange: () => {
        news.resolve();
        news = Promise.withResolvers();
      },
      pollMs,
    });
    return () => news.promise;
  }

  test(
    'a file that comes is seen; also in a directory that comes later, below others that do',
    { timeout: 120_000 },
    async () => {
      const late = path.join(place, 'late/later');
      const next = watched([place, late]);
      let change = next();
      writeFileSync(path.join(place, 'one'), '');
      await change;
      change = next();
      mkdirSync(late, { recursive: true });
      await change;
      change = next();
      writeFileSync(path.join(late, 'two'), '');
      await change;
    },
  );

  test('what happens above a directory that is not there is no news', { timeout: 120_000 }, async () => {
    const directory = path.join(place, 'wanted');
    let told = 0;
    const next = watched([directory]);
    const change = next().then(() => told++);
    for (let i = 0; i < 20; i++) writeFileSync(path.join(place, `other-${i}`), '');
    assert.equal(told, 0);
    mkdirSync(directory);
    await change;
    assert.equal(told, 1);
  });

  test('looks anyway, and sooner as soon as there is a reason to', { timeout: 120_000 }, async () => {
    let pace = 3_600_000;
    const next = watched([place], () => pace);
    const change = next();
    pace = 20;
    watch!.pace();
    await change;
    await next();
  });
});
