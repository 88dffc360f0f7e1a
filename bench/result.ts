import type { Aim, Row } from './row.ts';
import { median, quantile } from './statistic.ts';

/** What was measured of one side: its samples in the order of the rounds. */
export interface Sampled {
  readonly name: string;
  readonly kind: 'ours' | 'peer' | 'reference';
  readonly missing?: string;
  readonly samples: readonly number[];
}

/** One element of the array that `--json` writes. Figures are medians (or the percentile that `what` names) in `unit`; null: not measured. */
export interface Result {
  readonly id: string;
  readonly what: string;
  readonly unit: string;
  readonly ours: number | null;
  /** The best of the peers. */
  readonly peer: number | null;
  readonly peerName: string | null;
  /** Ours by the best peer's. */
  readonly ratio: number | null;
  /** In words, such as `≤ 0.25×`. */
  readonly aim: string;
  readonly met: boolean | null;
  /** Samples of ours. */
  readonly rounds: number;
  readonly sides: readonly {
    readonly name: string;
    readonly kind: 'ours' | 'peer' | 'reference';
    readonly missing?: string;
    readonly value: number | null;
    readonly least: number | null;
    readonly most: number | null;
  }[];
  /** Why the row has no figures. */
  readonly failure?: string;
}

/** Judges the samples of a row by its aim, and by that of its 95th percentile when it has one. */
export function judge(row: Row, sides: readonly Sampled[]): readonly Result[] {
  return [
    judgeBy(row, row.aim, sides, row.id, row.what, row.figure === 'worst' ? worstOf(row) : median),
    ...(row.p95 ? [judgeBy(row, row.p95, sides, `${row.id}-p95`, `${row.what}, 95th percentile`, p95)] : []),
  ];
}

export function failed(row: Row, why: string): Result {
  const { id, what, unit } = row;
  const nothing = { ours: null, peer: null, peerName: null, ratio: null, met: null, rounds: 0, sides: [] };
  return { id, what, unit, ...nothing, aim: aimInWords(row, row.aim), failure: why };
}

const worstOf =
  ({ better }: Row) =>
  (samples: readonly number[]): number =>
    better === 'more' ? Math.min(...samples) : Math.max(...samples);
const p95 = (samples: readonly number[]): number => quantile(samples, 0.95);

function judgeBy(
  row: Row,
  aim: Aim,
  sampled: readonly Sampled[],
  id: string,
  what: string,
  statistic: (samples: readonly number[]) => number,
): Result {
  const sides = sampled.map(({ name, kind, missing, samples }) => ({
    name,
    kind,
    ...(missing === undefined ? {} : { missing }),
    value: figure(statistic(samples)),
    least: figure(Math.min(...samples)),
    most: figure(Math.max(...samples)),
  }));
  const sign = row.better === 'more' ? -1 : 1;
  const ours = sides.find(({ kind }) => kind === 'ours')?.value ?? null;
  const best = sides
    .filter(({ kind, value }) => kind === 'peer' && value !== null)
    .toSorted((a, b) => sign * (a.value! - b.value!))[0];
  const ratio = ours === null || !best?.value ? null : ours / best.value;
  const judged = aim.of === 'ratio' ? ratio : ours;
  return {
    id,
    what,
    unit: row.unit,
    ours,
    peer: best?.value ?? null,
    peerName: best?.name ?? null,
    ratio,
    aim: aimInWords(row, aim),
    met: judged === null ? null : row.better === 'more' ? judged >= aim.limit : judged <= aim.limit,
    rounds: sampled.find(({ kind }) => kind === 'ours')?.samples.length ?? 0,
    sides,
  };
}

function aimInWords(row: Row, aim: Aim): string {
  return `${row.better === 'more' ? '≥' : '≤'} ${aim.limit}${aim.of === 'ratio' ? '×' : ` ${row.unit}`}`;
}

function figure(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
