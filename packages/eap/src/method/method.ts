import type {
  EapAction,
  EapCrypto,
  EapEvent,
  EapFailure,
  EapMethodConfig,
  InnerMethodConfig,
  Proof,
  TlsChannel,
} from '../peer-contract.ts';
import type { GtcState } from './gtc.ts';
import type { MschapV2State } from './mschapv2.ts';
import type { PeapState } from './peap.ts';
import type { TlsState } from './tls.ts';
import type { TtlsState } from './ttls.ts';

type AnyMethodConfig = EapMethodConfig | InnerMethodConfig;
export type MethodKind = AnyMethodConfig['kind'];
/** What each method keeps between two steps. A new method adds its config to the contract, its state here, and its row in `table.ts`. */
export interface MethodStates {
  readonly mschapv2: MschapV2State;
  readonly tls: TlsState;
  readonly gtc: GtcState;
  readonly peap: PeapState;
  readonly ttls: TtlsState;
}

export type MethodConfig<K extends MethodKind> = Extract<AnyMethodConfig, { readonly kind: K }>;

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
  /** Traces, notifications, `tls-close`: whatever needs no answer. */
  readonly actions?: readonly EapAction[];
}

export type MethodOutcome =
  /**
   * Complete on our side, and the server has proven itself. Inside a tunnel a method without keys has an empty MSK. `mayContinue`:
   * complete as far as we know, but the server may go on with another Request of the method, whose step then takes this back
   * (methodState MAY_CONT and decision COND_SUCC of RFC 4137 §4.2).
   */
  | { readonly kind: 'succeeded'; readonly msk: Uint8Array; readonly method: string; readonly mayContinue?: true }
  | { readonly kind: 'failed'; readonly failure: EapFailure };

type Asking = Extract<EapAction, { readonly request: number }>;
/** An action that will be answered by an event; the peer numbers it. */
export type Question = Asking extends infer A ? (A extends Asking ? Omit<A, 'request'> : never) : never;

/** One EAP method as a machine inside the peer's machine. Every function is pure and never throws on what a server sent. */
export interface EapMethod<K extends MethodKind, S = K extends keyof MethodStates ? MethodStates[K] : never> {
  readonly type: number;
  readonly name: string;
  /** `channel`: the TLS conversation that is the method's own. */
  begin(config: MethodConfig<K>, channel: TlsChannel): S;
  /** A new Request of this method; `identifier` is the EAP one. */
  receive(crypto: EapCrypto, state: S, data: Uint8Array, identifier: number): MethodStep<S>;
  answer(crypto: EapCrypto, state: S, answer: MethodAnswer): MethodStep<S>;
  /** What was given to the server, as long as it has not shown yet what it thinks of it. */
  awaitsVerdict(state: S): Proof | undefined;
  /** Overwrites what is secret in a state that will not be used again. */
  forget(state: S): void;
}

export function failed<S>(state: S, kind: EapFailure['kind'], detail: string, more: Partial<EapFailure> = {}): MethodStep<S> {
  return { state, outcome: { kind: 'failed', failure: { kind, detail, ...more } } };
}

/** A method that has its configuration, and whose state only itself can read. */
export type AnyMethod = Pick<EapMethod<MethodKind, unknown>, 'type' | 'name' | 'receive' | 'answer' | 'awaitsVerdict' | 'forget'>;
