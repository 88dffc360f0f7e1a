/** One line of the table that `npm run bench` prints: a figure of ours, the same figure of others in the same run, and what we aim at. */
export interface Row {
  /** As in `npm run bench -- B5`. */
  readonly id: string;
  readonly what: string;
  readonly unit: string;
  /** More is better (throughput), or less is (time, memory). */
  readonly better: 'more' | 'less';
  readonly aim: Aim;
  /** Rounds unless told otherwise. */
  readonly rounds: number;
  /** Makes what the measurements need. Whatever it made is removed by disposing of the result, also after a failure. */
  prepare(): Promise<Measurement>;
}

/** `ratio`: ours by the best peer's; `limit`: ours in the row's unit. Both sides of an aim count as met. */
export type Aim =
  | { readonly ratio: number; readonly value?: never }
  | { readonly limit: number; readonly ratio?: never };

/** A prepared row. Every round measures each side once, one after the other. */
export interface Measurement extends AsyncDisposable {
  readonly sides: readonly Side[];
}

export interface Side {
  /** `ours`, or who the peer is, with its version. */
  readonly name: string;
  readonly ours: boolean;
  /** Why this side cannot be measured on this machine. */
  readonly missing?: string;
  /** One figure in the row's unit. */
  measure(round: number): Promise<number>;
}
