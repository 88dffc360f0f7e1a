/** Whose side a failure is on, for the person who has to do something. */
export type Side = 'network' | 'gateway' | 'radius' | 'certificate' | 'profile' | 'host' | 'credentials';

/**
 * When another try makes sense without anybody doing anything: `soon` (it may pass by itself), `slow` (somebody else has to
 * mend something, and hurried tries could lock an account), `never` (only a change of profile, settings or credentials helps).
 */
export type Retry = 'soon' | 'slow' | 'never';

/** A failure as people see it. `message` says what happened, `cure` what to do; neither ever holds a secret. */
export interface Problem {
  /** Stable, listed in docs/errors.md. */
  readonly code: string;
  /** The number that Windows shows for the same thing, where it has one. */
  readonly windows?: number;
  readonly side: Side;
  readonly message: string;
  readonly cure: string;
  readonly retry: Retry;
  /** It is of this machine, and would be the same whichever gateway and address is tried. */
  readonly everywhere?: true;
}

/** One row of the catalogue: a problem without the particulars of one occurrence. */
export interface ProblemRow {
  readonly code: string;
  readonly windows?: number;
  readonly side: Side;
  /** What happened, one sentence without a full stop; the particulars follow it after a colon. */
  readonly title: string;
  readonly cure: string;
  readonly retry: Retry;
}
