import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { writeFileAtomically, writeFilesAtomically } from '../../src/files/write-file.ts';

suite('atomic files', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'aovpn-write-'));
  });
  afterEach(() => {
    rmSync(directory, { recursive: true, force: true });
  });
  const at = (name: string): string => path.join(directory, name);

  test('a file is replaced with the mode it should have', async () => {
    writeFileSync(at('a'), 'old', { mode: 0o644 });
    await writeFileAtomically(at('a'), 'new', 0o600);
    assert.equal(readFileSync(at('a'), 'utf8'), 'new');
    assert.equal(statSync(at('a')).mode & 0o777, 0o600);
    assert.deepEqual(readdirSync(directory), ['a']);
  });

  test('when one of several cannot be written none is, and no temporary file stays', async () => {
    writeFileSync(at('a'), 'old');
    await assert.rejects(
      writeFilesAtomically([
        { file: at('a'), content: 'new', mode: 0o600 },
        { file: at('missing/b'), content: 'new', mode: 0o600 },
      ]),
    );
    assert.equal(readFileSync(at('a'), 'utf8'), 'old');
    assert.deepEqual(readdirSync(directory), ['a']);
  });
});
