import type { Severity } from '../diagnostic.ts';

/** What is the same for every occurrence of one finding. */
export interface CatalogueEntry {
  /** The stable number in `AOV-PROFILE-<number>`: never reused, never changed. */
  readonly number: number;
  readonly severity: Severity;
  /** One line, without the particulars. */
  readonly title: string;
  /** What Windows does; absent where that is neither documented nor seen. */
  readonly windows?: string;
  readonly here: string;
  readonly cure: string;
}

/** What Windows says to almost every mistake in a profile. */
export const generalError =
  'Refuses the profile with "A general error occurred that is not covered by a more specific error code", without a line.';
