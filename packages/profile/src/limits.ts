/** Bounds on what is read from a file that somebody else wrote. */
export interface ProfileLimits {
  /** Octets of the file. */
  readonly size: number;
  /** Levels of nested elements, the root included; an escaped EAP configuration counts from one again. */
  readonly depth: number;
  /** Elements and attributes together. */
  readonly elements: number;
  /** Diagnostics that are listed; the rest is counted. */
  readonly diagnostics: number;
}

export const defaultLimits: ProfileLimits = { size: 8 * 1024 * 1024, depth: 64, elements: 500_000, diagnostics: 1000 };
