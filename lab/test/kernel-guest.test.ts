// What runs in a guest of the kernel lane, without a guest.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { after, before, suite, test } from 'node:test';
import { beginMark, exitMark, type GuestResult, resultMark } from '../kernel/guest-reporter.ts';
import { repository } from '../product.ts';

suite('what runs in a guest', () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'aovpn-guest-test-'));
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  const node = (...args: readonly string[]): string[] => {
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    return spawnSync(process.execPath, args, { encoding: 'utf8', env, cwd: directory }).stdout.split('\n').filter(Boolean);
  };
  const report = (name: string, text: string): string[] => {
    const file = path.join(directory, name);
    writeFileSync(file, `import { before, suite, test } from 'node:test';\n${text}`);
    return node('--test', '--test-isolation=none', `--test-reporter=${repository('lab/kernel/guest-reporter.ts')}`, file);
  };
  const resultsOf = (lines: readonly string[]): GuestResult[] =>
    lines.filter((line) => line.startsWith(resultMark)).map((line) => JSON.parse(line.slice(resultMark.length)) as GuestResult);

  test('every test is told when it begins and when it ends, and the end of all last', () => {
    const lines = report(
      'some.mjs',
      `suite('a', () => {
        test('good', () => {});
        test('bad', () => { throw new Error('because'); });
        test('later', { skip: 'no such thing here' }, () => {});
      });
      suite('broken', () => {
        before(() => { throw new Error('no ground'); });
        test('never', () => {});
      });`,
    );
    const results = resultsOf(lines);
    const told = results.map(({ name, outcome }) => `${name} ${outcome}`);
    assert.deepEqual(told.slice(0, 3), ['a › good passed', 'a › bad failed', 'a › later skipped']);
    assert.match(results[1]!.why!, /because/);
    assert.equal(results[2]!.why, 'no such thing here');
    assert.ok(
      results.some(({ name, outcome, why }) => name.startsWith('broken') && outcome === 'failed' && /no ground/.test(why!)),
    );
    assert.ok(lines.indexOf(`${beginMark}"good"`) < lines.findIndex((line) => line.startsWith(resultMark)));
    assert.equal(lines.at(-1), `${exitMark}1`);
    assert.equal(report('good.mjs', `test('good', () => {});`).at(-1), `${exitMark}0`);
  });

  test('sources lose their types on the way in, and are taken as they are', () => {
    const [from, to] = [path.join(directory, 'from'), path.join(directory, 'to')];
    mkdirSync(path.join(from, 'packages/some/node_modules'), { recursive: true });
    const source = 'interface Some { readonly a: string }\nconst some: Some = { a: "typed" };\nconsole.log(some.a);\n';
    writeFileSync(path.join(from, 'packages/some/one.ts'), source);
    writeFileSync(path.join(from, 'packages/some/node_modules/other.ts'), source);
    node('--no-warnings', repository('lab/kernel/write-sources.ts'), from, to);
    const written = path.join(to, 'packages/some/one.ts');
    assert.doesNotMatch(readFileSync(written, 'utf8'), /interface|: Some/);
    assert.ok(!existsSync(path.join(to, 'packages/some/node_modules')));
    const preload = ['--require', repository('lab/kernel/guest-preload.cjs')];
    assert.deepEqual(node(...preload, written), ['typed']);
    // Taken as it is, whatever it is; a file that came another way loses its types as everywhere.
    const broken = path.join(to, 'broken.ts');
    writeFileSync(broken, `${source}\n//# without types\n`);
    assert.deepEqual(node(...preload, broken), []);
    assert.deepEqual(node(...preload, path.join(from, 'packages/some/one.ts')), ['typed']);
  });
});
