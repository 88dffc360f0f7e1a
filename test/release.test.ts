import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { suite, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { currentRelease, makeRelease } from '../release/current-release.ts';

const isCode = (name: string): boolean => /\.m?js$/.test(name);

suite('the release', () => {
  const directory = currentRelease();
  const files = ['bin', 'lib'].flatMap((part) =>
    readdirSync(path.join(directory, part)).map((name) => path.join(directory, part, name)),
  );
  // Lines end anywhere, also in the middle of a text.
  const code = files.filter(isCode).map((file) => ({ file, text: readFileSync(file, 'utf8').replaceAll('\\\n', '') }));

  test('loads Node’s own modules and files of itself, and nothing else', () => {
    let places = 0;
    for (const { file, text } of code) {
      for (const [, name] of text.matchAll(/(?:\bfrom|\bimport|\bimport\()\s*"((?:node:|[@.]|[a-z])[\w./@:-]*)"/g)) {
        const isThere = isBuiltin(name!) || (name!.startsWith('.') && existsSync(path.resolve(path.dirname(file), name!)));
        assert.ok(isThere, `${file} loads ${name}`);
      }
      for (const [, name] of text.matchAll(/new URL\("([^"]+)",\s*import\.meta\.url\)/g)) {
        places++;
        // V8's cache comes with the first start.
        if (name !== '../compile-cache') assert.ok(existsSync(path.resolve(path.dirname(file), name!)), `${file} names ${name}`);
      }
    }
    assert.ok(places > 8, `only ${places} places of programs and data were found`);
  });

  test('does not name the directory in which it was made', () => {
    for (const { file, text } of code) assert.ok(!text.includes(process.cwd()), file);
    for (const file of files.filter((name) => name.endsWith('.map'))) {
      const { sources } = JSON.parse(readFileSync(file, 'utf8')) as { readonly sources: readonly string[] };
      for (const source of sources) assert.ok(!path.isAbsolute(source) && !source.includes('..'), `${file}: ${source}`);
    }
  });

  test('a fault is told with file and line of the sources', () => {
    const [main] = files.filter((file) => /\/lib\/aovpn-main-[^/]+\.js$/.test(file));
    // It would end there.
    const script = `process.argv[2] = '--version'; process.exit = () => {}; await import(${url(path.join(directory, 'bin/aovpn.mjs'))}); await (await import(${url(main!)})).main(undefined);`;
    const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
    assert.equal(status, 1);
    assert.match(stderr, /at dispatch \(packages\/cli\/src\/main\.ts:\d+:\d+\)/);
    assert.ok(
      stderr.split('\n').every((line) => line.length < 400),
      'no line of a log is a whole program',
    );
  });

  test('no source keeps memory by a statement without effect, which a bundler drops (keepUntilHere does)', () => {
    for (const name of globSync('packages/*/src/**/*.ts'))
      assert.doesNotMatch(readFileSync(name, 'utf8'), /^\s*void [\w.#]+;$/m, name);
  });

  test('brings the licence text of every package that is in it', () => {
    const text = readFileSync(path.join(directory, 'LICENSES-OF-OTHERS'), 'utf8');
    for (const name of ['koffi', 'pkijs', 'asn1js', 'saxes', 'smol-toml']) assert.match(text, new RegExp(`^${name} \\d`, 'm'));
    assert.match(text, /Permission is hereby granted|Permission to use/);
  });

  test('is made once, and two that make it at the same time do not disturb each other', async () => {
    const releases = mkdtempSync(path.join(tmpdir(), 'aovpn-releases-'));
    try {
      const [one, two] = await Promise.all([makeRelease(releases), makeRelease(releases)]);
      assert.equal(one, two);
      const made = statSync(path.join(one, 'bin/aovpnd.mjs'));
      assert.equal(made.mode & 0o777, 0o755, 'users start it');
      assert.equal(statSync(one).mode & 0o755, 0o755);
      assert.equal(await makeRelease(releases), one);
      assert.equal(statSync(path.join(one, 'bin/aovpnd.mjs')).ino, made.ino, 'made a second time');
      assert.deepEqual(readdirSync(releases), [path.basename(one)]);
    } finally {
      rmSync(releases, { recursive: true, force: true });
    }
  });
});

function url(file: string): string {
  return JSON.stringify(pathToFileURL(file).href);
}
