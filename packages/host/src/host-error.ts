import { controlErrors } from './control/errors.ts';
import { dataPlaneErrors } from './data-plane/errors.ts';
import { filterErrors } from './filter/errors.ts';
import { keysErrors } from './keys/errors.ts';
import { networkErrors } from './network/errors.ts';
import { passwordErrors } from './password/errors.ts';

/** A row of the table of host errors: what `docs/errors.md` shows. */
export interface HostErrorEntry {
  /**
   * `AOV-HOST-<nnn>`: 1xx keys, trust, TLS; 2xx data plane; 3xx network and resolver; 4xx control socket; 5xx password sources;
   * 6xx filters and apps.
   */
  readonly code: string;
  readonly title: string;
  /** What a person can do about it. */
  readonly cure: string;
}

/** Every error that this room throws, in order of code. Each part keeps its own table beside its code. */
export const hostErrors: readonly HostErrorEntry[] = [
  ...keysErrors,
  ...Object.values(dataPlaneErrors),
  ...networkErrors,
  ...controlErrors,
  ...passwordErrors,
  ...Object.values(filterErrors),
];

/** Something on this machine is not as we need it. `message` reads `code: what`, never with a secret in it. */
export class HostError extends Error {
  override readonly name = 'HostError';
  /** Stable, from {@link hostErrors}. */
  readonly code: string;
  /** What happened, with the path or name it happened to. */
  readonly what: string;
  readonly cure: string;

  constructor(code: string, what: string, cure: string, cause?: unknown) {
    super(`${code}: ${what}`, cause === undefined ? undefined : { cause });
    this.code = code;
    this.what = what;
    this.cure = cure;
  }
}
