import type { Position } from './profile.ts';

/** `error`: the profile cannot be used. `warning`: it can, but not as its author may think. `info`: worth knowing. */
export type Severity = 'error' | 'warning' | 'info';

/** One finding about a profile text. */
export interface Diagnostic {
  /** Stable, of the form `AOV-PROFILE-<number>`; all of them are in docs/errors.md. */
  readonly code: string;
  readonly severity: Severity;
  readonly at: Position;
  /** Element names from the root, such as `VPNProfile/NativeProfile/Servers`; a repeated element has its number: `VPNProfile/Route[2]`. */
  readonly path: string;
  readonly message: string;
  /** What Windows does with this. */
  readonly windows?: string;
  /** What we do with this. */
  readonly here?: string;
  /** What the author should do. */
  readonly cure?: string;
}
