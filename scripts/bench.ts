// `npm run bench [-- B1 B5 --rounds N --json FILE --svg FILE]`: figures of ours beside those of others, in the same run on the same machine.
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { drawChart } from '../bench/draw-chart.ts';
import { describeMachine } from '../bench/machine.ts';
import { printTable } from '../bench/print-table.ts';
import { failed, type Result } from '../bench/result.ts';
import { rows } from '../bench/rows.ts';
import { runRow } from '../bench/run-row.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string' }, json: { type: 'string' }, svg: { type: 'string' } },
});
const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
const unknown = positionals.filter((wanted) => !rows.some(({ id }) => isWanted(id, wanted)));
if (unknown.length > 0 || (rounds !== undefined && !(Number.isInteger(rounds) && rounds > 0))) {
  process.stderr.write(
    `${unknown.length > 0 ? `there is no row ${unknown.join(', ')}` : '--rounds takes a whole number'}; rows:\n`,
  );
  for (const { id, what } of rows) process.stderr.write(`  ${id.padEnd(10)} ${what}\n`);
  process.exit(2);
}
if (process.getuid?.() !== 0) {
  process.stderr.write('the bench builds a world of namespaces: root is needed\n');
  process.exit(2);
}

const machine = describeMachine();
process.stdout.write(`${machine}\n\n`);
const results: Result[] = [];
for (const row of rows) {
  if (positionals.length > 0 && !positionals.some((wanted) => isWanted(row.id, wanted))) continue;
  try {
    results.push(...(await runRow(row, rounds ?? row.rounds, (text) => process.stderr.write(`  ${text}\n`))));
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
    results.push(failed(row, error instanceof Error ? error.message.split('\n')[0]! : String(error)));
    process.exitCode = 1;
  }
}
process.stdout.write(`\n${printTable(results)}`);

const kept = path.join(import.meta.dirname, '..', 'bench', 'results');
mkdirSync(kept, { recursive: true });
write(values.json ?? path.join(kept, 'latest.json'), `${JSON.stringify(results, undefined, 2)}\n`);
write(values.svg ?? path.join(kept, 'latest.svg'), drawChart(results, machine));

function write(file: string, text: string): void {
  writeFileSync(file, text);
  process.stdout.write(`written: ${path.relative(process.cwd(), file)}\n`);
}

/** `B4` means `B4-loss` too. */
function isWanted(id: string, wanted: string): boolean {
  return id === wanted || id.startsWith(`${wanted}-`);
}
