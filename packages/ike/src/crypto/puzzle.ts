import { concat, equal } from '@aovpn/bytes';
import type { IkeCrypto } from './port.ts';

/** What a gateway under attack asks a client to work for (RFC 8019 §8.1). */
export interface Puzzle {
  readonly prf: number;
  /** Zero bits that each result must end in; 0: as many as the client likes. */
  readonly difficulty: number;
}

/** RFC 8019 §4.4: so many keys, so that the work is much the same every time. */
const keysWanted = 4;
/** Our own choices: octets of each key, and what we do for a gateway that leaves it to us. */
const keyLength = 8;
const freeDifficulty = 8;
/** PRFs that can be solved for: HMAC with SHA-1 and SHA-2 (RFC 7296 §2.13). */
const solvable: readonly number[] = [2, 5, 6, 7];
/** Beyond it a puzzle is not taken up: it takes some million PRFs already, and anybody can forge one. */
const hardest = 18;

/** The data of N(PUZZLE); undefined when it is malformed, too hard, or for a PRF that we do not have. */
export function decodePuzzle(data: Uint8Array): Puzzle | undefined {
  if (data.length !== 3) return undefined;
  const prf = (data[0]! << 8) | data[1]!;
  const difficulty = data[2]!;
  return solvable.includes(prf) && difficulty <= hardest ? { prf, difficulty } : undefined;
}

/** A search for the solution, in portions, so that whoever searches can do other things in between. */
export class PuzzleSearch {
  readonly #crypto: Pick<IkeCrypto, 'prf'>;
  readonly #puzzle: Puzzle;
  readonly #text: Uint8Array;
  readonly #found: Uint8Array[] = [];
  #tried = 0;

  /** @param text what the keys are tried on: the cookie in IKE_SA_INIT, Nr | SPIr in IKE_AUTH (RFC 8019 §7) */
  constructor(crypto: Pick<IkeCrypto, 'prf'>, puzzle: Puzzle, text: Uint8Array) {
    this.#crypto = crypto;
    this.#puzzle = puzzle;
    this.#text = text;
  }

  /** Tries so many keys. Returns the data of the Puzzle Solution payload (RFC 8019 §8.2), or undefined while it is not found. */
  search(tries: number): Uint8Array | undefined {
    const { prf, difficulty } = this.#puzzle;
    const bits = difficulty || freeDifficulty;
    for (const end = this.#tried + tries; this.#tried < end && this.#found.length < keysWanted; this.#tried++) {
      const key = new Uint8Array(keyLength);
      new DataView(key.buffer).setUint32(keyLength - 4, this.#tried);
      if (trailingZeroBits(this.#crypto.prf(prf, key, this.#text)) >= bits) this.#found.push(key);
    }
    return this.#found.length < keysWanted ? undefined : concat(...this.#found);
  }
}

/** Whether the data of a Puzzle Solution payload solves it: four keys of one length, all different. */
export function solvesPuzzle(
  crypto: Pick<IkeCrypto, 'prf'>,
  { prf, difficulty }: Puzzle,
  text: Uint8Array,
  solution: Uint8Array,
): boolean {
  const length = solution.length / keysWanted;
  if (!Number.isInteger(length) || length === 0) return false;
  const keys = Array.from({ length: keysWanted }, (_, i) => solution.subarray(i * length, (i + 1) * length));
  if (keys.some((key, i) => keys.slice(0, i).some((other) => equal(key, other)))) return false;
  return keys.every((key) => trailingZeroBits(crypto.prf(prf, key, text)) >= difficulty);
}

function trailingZeroBits(octets: Uint8Array): number {
  let bits = 0;
  for (let i = octets.length - 1; i >= 0; i--) {
    const octet = octets[i]!;
    if (octet !== 0) return bits + 31 - Math.clz32(octet & -octet);
    bits += 8;
  }
  return bits;
}
