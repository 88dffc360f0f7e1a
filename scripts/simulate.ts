// `npm run simulate -- 100000`: so many simulated lives of two IKE peers from a random seed, or from `--seed N` on. One fault does not stop it; each is
// printed with its seed, and `npm run simulate -- 1 --seed N` lives that one again.
import { randomInt } from 'node:crypto';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { simulate } from '../packages/ike/testkit/simulation.ts';

const { values, positionals } = parseArgs({ allowPositionals: true, options: { seed: { type: 'string' } } });
const count = Number(positionals[0] ?? 3000);
const base = Number(values.seed ?? randomInt(2 ** 31));
if (!Number.isSafeInteger(count) || count < 1 || !Number.isSafeInteger(base) || base < 0 || positionals.length > 1) {
  process.stderr.write('usage: npm run simulate -- [COUNT] [--seed FIRST]\n');
  process.exit(2);
}

const outcomes = new Map<string, number>();
let [faults, rekeys, datagrams, mostPackets, longestUseMs] = [0, 0, 0, 0, 0];
const startedAt = performance.now();
let toldAt = startedAt;
process.stdout.write(`${count} lives from seed ${base}\n`);
for (let seed = base; seed < base + count; seed++) {
  try {
    const life = simulate(seed);
    const key = `${life.circumstances.opposite}: ${life.outcome}`;
    outcomes.set(key, (outcomes.get(key) ?? 0) + 1);
    rekeys += life.rekeys;
    datagrams += life.datagrams;
    mostPackets = Math.max(mostPackets, life.mostPackets);
    longestUseMs = Math.max(longestUseMs, life.longestUseMs);
  } catch (error) {
    faults++;
    process.stdout.write(`FAULT ${error instanceof Error ? error.message : String(error)}\n`);
    if (count === 1) process.stdout.write(`${error instanceof Error ? String((error.cause as Error | undefined)?.stack) : ''}\n`);
  }
  const now = performance.now();
  if (now - toldAt < 10_000) continue;
  toldAt = now;
  const done = seed - base + 1;
  process.stderr.write(`${done} of ${count}, ${Math.round((done / (now - startedAt)) * 1000)} a second, ${faults} faults\n`);
}

const seconds = (performance.now() - startedAt) / 1000;
const row = ([key, number]: readonly [string, number]): string =>
  `  ${key.padEnd(32)} ${String(number).padStart(8)}  ${((100 * number) / count).toFixed(2)} %\n`;
process.stdout.write(`${count} lives in ${Math.round(seconds)} s: ${Math.round(count / seconds)} a second, ${faults} faults\n`);
for (const outcome of [...outcomes].toSorted((a, b) => b[1] - a[1])) process.stdout.write(row(outcome));
process.stdout.write(
  `  ${rekeys} rekeys seen, ${datagrams} datagrams; at most ${mostPackets} packets and ${Math.round(longestUseMs / 1000)} s (with sleep) under one key\n`,
);
process.exitCode = faults > 0 ? 1 : 0;
