// `npm run story -- AREA[/NAME] …`: runs stories alone and counts them. Without an argument: all of them.
import { existsSync, globSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const wanted = process.argv.slice(2);
const files: string[] = [];
for (const story of wanted.length > 0 ? wanted : ['.']) {
  const place = path.join(root, 'scenarios', story);
  if (!place.startsWith(path.join(root, 'scenarios')) || !existsSync(place)) {
    const known = globSync('*/*/', { cwd: path.join(root, 'scenarios') }).toSorted();
    process.stderr.write(`there is no story ${story}; there are:\n${known.map((name) => `  ${name}\n`).join('')}`);
    process.exit(2);
  }
  files.push(...globSync('**/*.test.ts', { cwd: place }).map((file) => path.join(place, file)));
}
if (files.length === 0) {
  process.stderr.write('no story there has a test\n');
  process.exit(2);
}

const counts = { passed: 0, failed: 0, skipped: 0 };
const stories = run({ files: files.toSorted(), concurrency: 2 });
stories.on('test:pass', ({ details, skip }) => {
  if (details.type === 'suite' || isFile(details)) return;
  if (skip !== undefined && skip !== false) counts.skipped++;
  else counts.passed++;
});
stories.on('test:fail', ({ details }) => {
  if (details.type === 'suite' || isFile(details)) return;
  counts.failed++;
});
stories.compose(spec).pipe(process.stdout);
stories.on('end', () => {
  process.on('exit', () =>
    process.stdout.write(`\n${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`),
  );
  process.exitCode = counts.failed > 0 || counts.passed + counts.skipped === 0 ? 1 : 0;
});

/** A whole file is reported like a test when it cannot even be loaded; then it counts, because nothing in it did. */
function isFile(details: { readonly error?: unknown; readonly type?: string }): boolean {
  return details.type === 'file';
}
