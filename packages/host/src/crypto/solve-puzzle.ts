import { setImmediate as nextTurn } from 'node:timers/promises';
import { PuzzleSearch, puzzleMs, type IkeCrypto, type Puzzle } from '@aovpn/ike';

/** Keys that are tried at a stretch: some milliseconds of the main thread. */
const portion = 250;

/**
 * Works on a puzzle of a gateway (RFC 8019), in portions between which everything else goes on. Anybody can have forged it, so it ends after
 * {@link puzzleMs}, or as soon as nobody waits for it.
 * @returns undefined without a solution
 */
export async function solvePuzzle(
  crypto: Pick<IkeCrypto, 'prf'>,
  puzzle: Puzzle,
  text: Uint8Array,
  isWanted: () => boolean,
): Promise<Uint8Array | undefined> {
  const search = new PuzzleSearch(crypto, puzzle, text);
  for (const end = performance.now() + puzzleMs; performance.now() < end && isWanted(); await nextTurn()) {
    const solution = search.search(portion);
    if (solution) return solution;
  }
  return undefined;
}
