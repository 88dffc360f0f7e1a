import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const place = path.join(root, 'docs/conformance');
const states = ['done', 'partly', 'not'];
const marks = ['E', 'X', 'B'];

interface Row {
  readonly file: string;
  readonly line: number;
  readonly cells: readonly string[];
}

/** The rows of every table whose header is `columns`, in one document. */
function rows(file: string, columns: readonly string[]): Row[] {
  const found: Row[] = [];
  let inside = false;
  for (const [index, line] of readFileSync(path.join(place, file), 'utf8').split('\n').entries()) {
    const cells = line.startsWith('|')
      ? line
          .slice(1)
          .replace(/\|\s*$/, '')
          .split(/(?<!\\)\|/)
          .map((cell) => cell.trim().replaceAll(String.raw`\|`, '|'))
      : undefined;
    if (!cells) inside = false;
    else if (cells.join('|') === columns.join('|')) inside = true;
    else if (inside && !cells.every((cell) => /^-+$/.test(cell))) found.push({ file, line: index + 1, cells });
  }
  return found;
}

const tables = readdirSync(place).filter((file) => file.endsWith('.md') && file !== 'README.md');
const requirements = tables.flatMap((file) => [
  ...rows(file, ['section', 'requirement', 'where', 'test']),
  ...rows(file, ['class', 'cases', 'where', 'test']),
]);
const index = rows('README.md', ['RFC', 'what', 'mark', 'state', 'table', 'what is missing']);

/** What is said where an implementation is not to be found. */
const outcomeOf = ({ cells }: Row): string => /^(not|declined|n\/a): \S/.exec(cells[2]!)?.[1] ?? 'met';
const at = ({ file, line }: Row): string => `docs/conformance/${file}:${line}`;
const paths = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map((match) => match[1]!);

/** The titles of tests and suites as they are written. */
function titlesOf(file: string): string[] {
  const text = readFileSync(path.join(root, file), 'utf8');
  const calls = /\b(?:test|suite|it|describe)\(\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|`((?:[^`\\]|\\.)*)`)/g;
  return [...text.matchAll(calls)].map(([, single, double, template]) =>
    (single ?? double ?? template!).replaceAll(/\\(.)/g, '$1'),
  );
}

/** Whether `said` is a good part of a title, or a title with its variables filled in. */
function isTitle(title: string, said: string): boolean {
  if (title === said || (said.length >= 10 && title.includes(said))) return true;
  const fixed = title.split(/\$\{(?:[^{}]|\{[^}]*\})*\}/);
  if (fixed.length === 1 || fixed.every((piece) => piece.trim().length < 4)) return false;
  return new RegExp(`^${fixed.map((piece) => piece.replaceAll(/[.*+?^${}()|[\]\\/-]/g, String.raw`\$&`)).join('.+')}$`, 's').test(
    said,
  );
}

suite('docs/conformance', () => {
  test('there are tables, and every table is in the index', () => {
    assert.ok(requirements.length > 0 && index.length > 0);
    const linked = new Set(index.flatMap(({ cells }) => [...cells[4]!.matchAll(/\]\(([^)]+)\)/g)].map((match) => match[1]!)));
    for (const file of tables) {
      if (file === 'cve-classes.md') continue;
      assert.ok(linked.has(file), `${file} is in no row of the index`);
    }
    for (const file of linked) assert.ok(tables.includes(file), `the index links to ${file}`);
  });

  test('a row of the index has a mark, a state, and a table or a reason', () => {
    for (const row of index) {
      const [rfc, what, mark, state, table, missing] = row.cells;
      assert.ok(rfc && what && marks.includes(mark!) && states.includes(state!), `${at(row)}: ${row.cells.join(' | ')}`);
      if (state === 'not') assert.match(missing!, /\w{3}/, `${at(row)}: why not`);
      else assert.match(table!, /\]\(.+\.md\)/, `${at(row)}: no table`);
    }
  });

  test('a requirement is met somewhere and tested somewhere, or the row says why not', () => {
    for (const row of requirements) {
      const [section, requirement, where, tests] = row.cells;
      assert.ok(row.cells.length === 4 && section && requirement, `${at(row)}: four columns`);
      if (outcomeOf(row) !== 'met') continue;
      assert.ok(paths(where!).length > 0, `${at(row)}: no file, and no reason`);
      assert.ok(paths(tests!).length > 0, `${at(row)}: no test`);
    }
  });

  test('every file that is named exists', () => {
    for (const row of requirements) {
      for (const file of outcomeOf(row) === 'met' ? paths(row.cells[2]!) : [])
        assert.ok(existsSync(path.join(root, file)), `${at(row)}: ${file}`);
    }
  });

  test('every test that is named exists', () => {
    const known = new Map<string, string[]>();
    for (const row of requirements) {
      for (const citation of row.cells[3]!.split('<br>').map((part) => part.trim())) {
        if (citation === '–') continue;
        const [, file, said] = /^`([^`]+)` (.+)$/.exec(citation) ?? [];
        assert.ok(file && said, `${at(row)}: "${citation}" is not \`FILE\` TITLE`);
        assert.ok(existsSync(path.join(root, file)), `${at(row)}: ${file}`);
        if (!known.has(file)) known.set(file, titlesOf(file));
        assert.ok(
          known.get(file)!.some((title) => isTitle(title, said)),
          `${at(row)}: ${file} has no test "${said}"`,
        );
      }
    }
  });

  test('the state in the index is what the tables come to', () => {
    for (const row of index) {
      const [rfc, , , state, table] = row.cells;
      for (const [, file] of table!.matchAll(/\]\(([^)]+)\)/g)) {
        const about = requirements.filter((other) => other.file === file);
        assert.ok(about.length > 0, `${file} has no row`);
        const unmet = about.filter((other) => outcomeOf(other) === 'not').length;
        if (state === 'done')
          assert.equal(unmet, 0, `RFC ${rfc} is said to be done, and ${file} has ${unmet} rows that are not met`);
        else if (state === 'partly') assert.ok(unmet > 0, `RFC ${rfc} is said to be partly done, and ${file} has everything`);
      }
    }
  });
});
