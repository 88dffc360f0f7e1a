import type { EapAction, EapFailure } from '../peer-contract.ts';
import type { Question } from '../method/method.ts';

/** What one step of the authentication inside the tunnel of EAP-TTLS yields. */
export interface Phase2Step<S> {
  readonly state: S;
  /** AVPs to send; overwritten once they are encrypted. With neither these nor `ask`, an empty message is sent. */
  readonly write?: Uint8Array;
  /** A question whose answer comes before anything is sent. */
  readonly ask?: Question;
  /** Counts once what is written (or the empty message) has left. */
  readonly outcome?: Phase2Outcome;
  readonly actions?: readonly EapAction[];
}

export type Phase2Outcome =
  /** All was said that proves the user. `mayContinue`: the server may still have something to say. */
  | { readonly kind: 'succeeded'; readonly method: string; readonly mayContinue?: true }
  | { readonly kind: 'failed'; readonly failure: EapFailure };

export function phase2Failed<S>(state: S, kind: EapFailure['kind'], detail: string): Phase2Step<S> {
  return { state, outcome: { kind: 'failed', failure: { kind, detail: `EAP-TTLS: ${detail}` } } };
}
