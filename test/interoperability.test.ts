import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const text = readFileSync(path.join(root, 'docs/interoperability.md'), 'utf8');

test('every line of docs/interoperability.md names a test that exists, or says that there is nothing to test', () => {
  const cells = text
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| gateway'))
    .map((line) => line.split(' | ').at(-1)!.replace(/ \|$/, ''));
  assert.ok(cells.length > 10);
  for (const cell of cells) {
    if (cell === '–') continue;
    const [, file, title] = /^`([^`]+)` (.{10,})$/.exec(cell) ?? assert.fail(cell);
    const place = path.join(root, file!);
    assert.ok(existsSync(place), file);
    assert.ok(readFileSync(place, 'utf8').includes(title!), `${file} has no test "${title}"`);
  }
});
