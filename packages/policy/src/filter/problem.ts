import type { Position } from '@aovpn/profile';

/** Something wrong with a filter or an app of a profile that only the facts of this machine can tell. */
export interface FilterProblem {
  /** Stable, of the form `AOV-POLICY-<number>`; all of them are in docs/errors.md. */
  readonly code: string;
  /** `error`: the filter lets nothing through. `warning`: not what its author may think. `info`: worth knowing. */
  readonly severity: 'error' | 'warning' | 'info';
  readonly profile: string;
  readonly at: Position;
  /** Element names from the root, such as `VPNProfile/TrafficFilter[3]/Claims`. */
  readonly path: string;
  readonly message: string;
  readonly cure: string;
}
