import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { generatedDocuments } from '../scripts/docs.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

function sources(): string[] {
  return readdirSync(path.join(root, 'packages'), { recursive: true, encoding: 'utf8' })
    .filter((file) => /^[a-z]+\/src\/.*\.ts$/.test(file))
    .map((file) => path.join(root, 'packages', file));
}

test('generated documents are what the tables say (node scripts/docs.ts writes them)', () => {
  for (const [file, text] of generatedDocuments()) assert.equal(readFileSync(file, 'utf8'), text, path.relative(root, file));
});

test('every code in the sources is documented, once, and every documented code is in the sources', () => {
  const document = readFileSync(path.join(root, 'docs/errors.md'), 'utf8');
  const documented = [...document.matchAll(/^\| (AOV-[A-Z]+-\d{3}) \|/gm)].map((match) => match[1]!);
  assert.equal(new Set(documented).size, documented.length, 'no code twice');
  const text = sources()
    .map((file) => readFileSync(file, 'utf8'))
    .join('\n');
  const used = new Set([...text.matchAll(/AOV-[A-Z]+-\d{3}/g)].map((match) => match[0]));
  for (const code of used) assert.ok(documented.includes(code), `${code} is used and not documented`);
  // Profile codes are made from numbers in their catalogue and do not stand in the text.
  for (const code of documented)
    assert.ok(used.has(code) || code.startsWith('AOV-PROFILE-'), `${code} is documented and not used`);
});

test('documents name only files that exist', () => {
  for (const file of [
    'README.md',
    'ARCHITECTURE.md',
    'CONTRIBUTING.md',
    'SECURITY.md',
    'docs/security.md',
    'docs/known-issues.md',
  ]) {
    const text = readFileSync(path.join(root, file), 'utf8');
    for (const [, link] of text.matchAll(/\]\((?!https?:)([^)#]+)\)/g)) {
      const target = path.join(root, path.dirname(file), link!);
      assert.doesNotThrow(() => (link!.endsWith('/') ? readdirSync(target) : readFileSync(target)), `${file} links to ${link}`);
    }
  }
});

test('all that npm runs and the readme promises exists', () => {
  const scripts = (JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> })
    .scripts;
  for (const [name, line] of Object.entries(scripts)) {
    const [, command] = /^node scripts\/start\.mjs (\w+)$/.exec(line) ?? [];
    if (command === undefined) continue;
    assert.doesNotThrow(() => readFileSync(path.join(root, 'scripts', `${command}.ts`)), `npm run ${name}`);
  }
});
