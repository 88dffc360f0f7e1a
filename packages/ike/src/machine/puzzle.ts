import { concat } from '@aovpn/bytes';
import { decodePuzzle, type Puzzle } from '../crypto/puzzle.ts';
import type { Payload } from '../message/payload.ts';
import { NotifyType } from '../registry/notify.ts';
import { startAuth } from './auth.ts';
import { puzzleMs } from './choice.ts';
import { sendSolved } from './init.ts';
import { pickNotify } from './pick.ts';
import type { InitOffer } from './state.ts';
import { ask, currentOf, emit, info, update, type Turn } from './turn.ts';

/**
 * Puzzles of a gateway under attack (RFC 8019): with a cookie in IKE_SA_INIT, or for IKE_AUTH. The host works, within limits, since nobody has
 * proven anything yet; without a solution we go on like a client that does not know puzzles.
 */

export function readPuzzle(payloads: readonly Payload[]): Puzzle | undefined {
  const puzzle = pickNotify(payloads, NotifyType.PUZZLE);
  return puzzle && decodePuzzle(puzzle.data);
}

/** Has the host work on a puzzle. Returns the number of the question. */
export function askForSolution(turn: Turn, puzzle: Puzzle, text: Uint8Array): number {
  info(turn, `the gateway, or somebody in its name, asks for the solution of a puzzle (difficulty ${puzzle.difficulty})`);
  const question = ask(turn);
  emit(turn, { kind: 'solve-puzzle', request: question, puzzle, text });
  return question;
}

/** IKE_AUTH begins, after the work that the gateway asked for in IKE_SA_INIT (RFC 8019 §7.2). */
export function startAuthSolved(
  turn: Turn,
  init: InitOffer,
  nonceR: Uint8Array,
  initResponse: Uint8Array,
  intAuth: Uint8Array,
): void {
  const { puzzle } = turn.sa.peer;
  if (!puzzle) return startAuth(turn, init, nonceR, initResponse, intAuth);
  // RFC 8019 §7.2.3. The PRF is the puzzle's own, and need not be the one of the IKE SA (§8.1).
  const question = askForSolution(turn, puzzle, concat(nonceR, currentOf(turn.sa).spiR));
  const until = turn.now + puzzleMs;
  update(turn, { phase: { name: 'auth-await-puzzle', init, nonceR, initResponse, intAuth, question, until } });
}

/** The host has worked; `solution` is undefined when it gave up. */
export function processPuzzleSolved(turn: Turn, question: number, solution: Uint8Array | undefined): void {
  const { phase } = turn.sa;
  if (phase.name === 'init-await-better' && phase.question === question) return sendSolved(turn, phase, solution);
  if (phase.name !== 'auth-await-puzzle' || phase.question !== question) return;
  startAuth(turn, phase.init, phase.nonceR, phase.initResponse, phase.intAuth, solution);
}

/** Time is up: IKE_AUTH without a solution. */
export function processPuzzleDeadline(turn: Turn): void {
  const { phase } = turn.sa;
  if (phase.name === 'auth-await-puzzle' && phase.until <= turn.now) processPuzzleSolved(turn, phase.question, undefined);
}
