import { judge, type Result, type Sampled } from './result.ts';
import type { Row } from './row.ts';

/** Measures a row: in each round every side once, so that what else the machine does meets all of them alike. */
export async function runRow(row: Row, rounds: number, progress: (text: string) => void): Promise<readonly Result[]> {
  await using measurement = await row.prepare(rounds);
  const samples = measurement.sides.map((): number[] => []);
  const missing = measurement.sides.map((side) => side.missing);
  for (let round = 0; round < rounds; round++) {
    for (const [index, side] of measurement.sides.entries()) {
      if (missing[index] !== undefined) continue;
      try {
        const value = await side.measure(round);
        samples[index]!.push(value);
        progress(`${row.id} ${round + 1}/${rounds} ${side.name}: ${value.toPrecision(4)} ${row.unit}`);
      } catch (error) {
        if (side.kind === 'ours') throw error;
        // A peer that fails is named with its reason; what it showed before no longer counts.
        missing[index] = `failed in round ${round + 1}: ${messageOf(error)}`;
        samples[index]!.length = 0;
      }
    }
  }
  return judge(
    row,
    measurement.sides.map(({ name, kind }, index): Sampled => {
      const why = missing[index];
      return { name, kind, samples: samples[index]!, ...(why === undefined ? {} : { missing: why }) };
    }),
  );
}

function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n').slice(0, 3).join(' ');
}
