/** One line of the table that `npm run bench` prints: a figure of ours, the same figure of others in the same run, and what we aim at. */
export interface Row {
  /** As in `npm run bench -- B5`; a row `B5-…` is run with it. */
  readonly id: string;
  readonly what: string;
  readonly unit: string;
  /** More is better (throughput), or less is (time, memory). */
  readonly better: 'more' | 'less';
  readonly aim: Aim;
  /** The same samples judged once more by their 95th percentile. */
  readonly p95?: Aim;
  /** What stands for all rounds: the median unless said; the worst where once is too often. */
  readonly figure?: 'median' | 'worst';
  /** Rounds unless told otherwise. */
  readonly rounds: number;
  /** Makes what the measurements of so many rounds need. Whatever it made is removed by disposing of the result; a failure leaves nothing either. */
  prepare(rounds: number): Promise<Measurement>;
}

/** `ratio`: ours by the best peer's; `value`: ours in the row's unit. The limit itself counts as met. */
export interface Aim {
  readonly of: 'ratio' | 'value';
  readonly limit: number;
}

/** A prepared row: every round measures each side once, one after the other. */
export interface Measurement extends AsyncDisposable {
  readonly sides: readonly Side[];
}

export interface Side {
  /** Who it is, with its version. */
  readonly name: string;
  /** A `reference` is shown and never compared with. */
  readonly kind: 'ours' | 'peer' | 'reference';
  /** Why this side cannot be measured on this machine. */
  readonly missing?: string;
  /** One figure in the row's unit. */
  measure(round: number): Promise<number>;
}
