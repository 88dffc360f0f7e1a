/** Our choices: what of a user's directory is taken, whoever asks for it and whoever answers. */
export const userFileLimits = {
  /** Of a directory with more nothing is taken: which ones would be chance. */
  entries: 1000,
  /** Files that are taken. */
  files: 200,
  /** Octets of one file. */
  file: 1 << 20,
  /** Octets in all. */
  total: 8 << 20,
} as const;

/** One file of a user, read with that user's rights. */
export interface UserFile {
  /** One component of a path. */
  readonly name: string;
  readonly content: Uint8Array;
}

/** A file that belongs to a profile: `NAME.xml` and what stands beside it. */
export function isUserFileName(name: string): boolean {
  return /^[^./\p{C}][^/\p{C}]{0,120}\.(xml|pem|key|p12|secret|user)$/u.test(name) && Buffer.byteLength(name) <= 240;
}
