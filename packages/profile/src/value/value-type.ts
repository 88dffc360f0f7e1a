import type { FindingName } from '../diagnostic-catalogue.ts';
import type { FindingWords } from '../finding.ts';

/** The text of an element that is to become a value. */
export interface RawValue {
  /** References resolved, blanks at both ends removed. */
  readonly text: string;
  /** Says something about the value; `offset` is an index in `text`. */
  readonly report: (name: FindingName, message: string, offset?: number, words?: FindingWords) => void;
}

/** How the text of an element becomes a value and back. `read(write(value))` is the value. */
export interface ValueType<T> {
  /** For people: "boolean", "list of addresses". */
  readonly name: string;
  /** Whether nothing at all is a value too; if not, an empty element is reported and taken as absent. */
  readonly mayBeEmpty: boolean;
  /** Undefined when the text is no such value; that has been reported as an error then. */
  readonly read: (raw: RawValue) => T | undefined;
  readonly write: (value: T) => string;
}
