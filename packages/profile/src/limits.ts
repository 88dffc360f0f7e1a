/** Bounds on what is read from a file that somebody else wrote. */
export interface ProfileLimits {
  /** Octets of the file. */
  readonly size: number;
  /** Levels of nested elements, the root included; an escaped EAP configuration counts from one again. */
  readonly depth: number;
  /** Attributes of one element. */
  readonly attributes: number;
  /** Elements and attributes together. */
  readonly elements: number;
  /** Diagnostics; a profile with more is not used. */
  readonly diagnostics: number;
}

export const defaultLimits: ProfileLimits = {
  size: 8 * 1024 * 1024,
  depth: 64,
  attributes: 64,
  elements: 500_000,
  diagnostics: 1000,
};
