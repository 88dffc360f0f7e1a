import type { EapAction, EapCrypto, EapEvent, EapFailure, EapMethodConfig } from '../peer-contract.ts';
import type { MschapV2State } from './mschapv2.ts';
import type { TlsState } from './tls.ts';

/** What each method keeps between two steps. A new method adds its config to `EapMethodConfig`, its state here, and its row in `table.ts`. */
export interface MethodStates {
  readonly mschapv2: MschapV2State;
  readonly tls: TlsState;
}

export type MethodKind = EapMethodConfig['kind'] & keyof MethodStates;
export type MethodConfig<K extends MethodKind> = Extract<EapMethodConfig, { readonly kind: K }>;

/** An answer to a question of ours; its `request` number has been checked. */
export type MethodAnswer = Exclude<EapEvent, { readonly kind: 'packet' }>;

/**
 * What one step of a method yields. `reply` is Type-Data of the Response; `ask` a question whose answer comes before the reply.
 * With neither and no `outcome`, nothing more can happen, so a method always gives one of the three.
 */
export interface MethodStep<S> {
  readonly state: S;
  readonly reply?: Uint8Array;
  readonly ask?: Question;
  readonly outcome?: MethodOutcome;
  /** Traces, `tls-close`: whatever needs no answer. */
  readonly actions?: readonly EapAction[];
}

export type MethodOutcome =
  /** Complete on our side, and the server has proven itself. */
  | { readonly kind: 'succeeded'; readonly msk: Uint8Array; readonly method: string }
  | { readonly kind: 'failed'; readonly failure: EapFailure };

type Asking = Extract<EapAction, { readonly request: number }>;
/** An action that will be answered by an event; the peer numbers it. */
export type Question = Asking extends infer A ? (A extends Asking ? Omit<A, 'request'> : never) : never;

/** One EAP method as a machine inside the peer's machine. Every function is pure and never throws on what a server sent. */
export interface EapMethod<K extends MethodKind> {
  readonly type: number;
  readonly name: string;
  begin(config: MethodConfig<K>): MethodStates[K];
  /** A new Request of this method; `identifier` is the EAP one. */
  receive(crypto: EapCrypto, state: MethodStates[K], data: Uint8Array, identifier: number): MethodStep<MethodStates[K]>;
  answer(crypto: EapCrypto, state: MethodStates[K], answer: MethodAnswer): MethodStep<MethodStates[K]>;
  /** Overwrites what is secret in a state that will not be used again. */
  forget(state: MethodStates[K]): void;
}

export function failed<S>(state: S, kind: EapFailure['kind'], detail: string, more: Partial<EapFailure> = {}): MethodStep<S> {
  return { state, outcome: { kind: 'failed', failure: { kind, detail, ...more } } };
}
