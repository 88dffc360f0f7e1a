import { decodeUtf8, encodeUtf8, equal } from '@aovpn/bytes';
import type { EapAction, EapCrypto, EapEvent, EapFailure, EapPeerConfig } from './peer-contract.ts';
import { eapType, readPacket, writeNak, writeResponse, type EapRequest } from './packet.ts';
import type { EapMethod, MethodAnswer, MethodConfig, MethodKind, MethodStates, MethodStep } from './method/method.ts';
import { methods } from './method/table.ts';

/** Requests that one conversation may take: 64 KiB of TLS in the smallest sensible fragments, and some more. */
const requestLimit = 1000;
/** Octets of a Notification that are shown. */
const notificationLimit = 1015;

type Run = { [K in MethodKind]: { readonly kind: K; readonly state: MethodStates[K] } }[MethodKind];

/** The peer between two steps. Opaque: only {@link stepEap} reads it. */
export interface EapState {
  readonly config: EapPeerConfig;
  /** `complete`: `succeeded` was emitted, an EAP-Success may come; `over`: nothing is believed any more. */
  readonly phase: 'open' | 'complete' | 'over';
  readonly run: Run | undefined;
  /** The Request that a method still thinks about, with the question it waits for. */
  readonly thinking: { readonly request: EapRequest; readonly packet: Uint8Array; readonly question: number } | undefined;
  /** The newest Request with its Response, for a repetition (RFC 3748 §4.1). */
  readonly last: { readonly packet: Uint8Array; readonly identifier: number; readonly response: Uint8Array } | undefined;
  /** The server's method that we refused with a Nak. */
  readonly refused: string | undefined;
  readonly questions: number;
  readonly requests: number;
}

export interface EapStep {
  readonly state: EapState;
  readonly actions: readonly EapAction[];
}

/** A peer that waits for the authenticator's first Request. */
export function startEapPeer(config: EapPeerConfig): EapState {
  return {
    config,
    phase: 'open',
    run: undefined,
    thinking: undefined,
    last: undefined,
    refused: undefined,
    questions: 0,
    requests: 0,
  };
}

/**
 * One step of the EAP peer (RFC 3748; RFC 4137 as a guide). Never throws on what a server sent.
 *
 * `succeeded` (with the MSK) comes when the method is complete and the server has proven itself, normally together with the last
 * `reply`; the EAP-Success that follows yields no `failed`, and only then may the caller go on. An EAP-Success at any other time
 * yields `failed` (`out-of-order`). `failed` is final; a `reply` before it in the same step is owed to the server, but may be left out.
 */
export function stepEap(crypto: EapCrypto, state: EapState, event: EapEvent): EapStep {
  if (state.phase === 'over') return { state, actions: [trace('an event after the end of EAP is ignored')] };
  if (event.kind === 'packet') return receivePacket(crypto, state, event.packet.slice());
  const { thinking, run } = state;
  if (!thinking || !run || thinking.question !== event.request) {
    return { state, actions: [trace(`an answer to question ${event.request} comes too late and is ignored`)] };
  }
  return settle({ ...state, thinking: undefined }, thinking.request, thinking.packet, answerMethod(crypto, run, event));
}

function receivePacket(crypto: EapCrypto, state: EapState, bytes: Uint8Array): EapStep {
  const packet = readPacket(bytes);
  switch (packet.kind) {
    case 'malformed':
      return fail(state, { kind: 'malformed', detail: `EAP packet: ${packet.problem}` });
    case 'failure':
      return receiveFailure(state);
    case 'success':
      return receiveSuccess(state, packet.identifier);
    case 'request':
      return receiveRequest(crypto, state, packet, bytes);
  }
}

function receiveFailure(state: EapState): EapStep {
  if (state.refused !== undefined && !state.run) {
    const detail = `the server offers ${state.refused}, the profile allows ${methods[state.config.method.kind].name} only`;
    return fail(state, { kind: 'method-mismatch', detail });
  }
  return fail(state, { kind: 'rejected', detail: state.run ? 'EAP-Failure' : 'EAP-Failure before any method had begun' });
}

function receiveSuccess(state: EapState, identifier: number): EapStep {
  if (state.phase !== 'complete') {
    return fail(state, { kind: 'out-of-order', detail: 'EAP-Success before the method was complete' });
  }
  // RFC 3748 §4.2 wants the identifier of the last Response; some servers count one further.
  const last = state.last?.identifier ?? identifier;
  if (identifier !== last && identifier !== ((last + 1) & 0xff)) {
    return fail(state, { kind: 'malformed', detail: `EAP-Success has identifier ${identifier}, the last Response had ${last}` });
  }
  return { state: over(state), actions: [...closing(state), trace('EAP-Success')] };
}

function receiveRequest(crypto: EapCrypto, state: EapState, request: EapRequest, packet: Uint8Array): EapStep {
  if (state.thinking) {
    if (equal(state.thinking.packet, packet)) return { state, actions: [trace('a repeated Request waits for its answer')] };
    return fail(state, { kind: 'out-of-order', detail: 'a new Request before the previous one was answered' });
  }
  if (state.last && equal(state.last.packet, packet)) {
    return {
      state,
      actions: [trace('a repeated Request gets the same Response'), { kind: 'reply', packet: state.last.response }],
    };
  }
  if (state.requests >= requestLimit) return fail(state, { kind: 'out-of-order', detail: `more than ${requestLimit} Requests` });
  const counted = { ...state, requests: state.requests + 1 };
  if (request.vendor === 0) {
    switch (request.type) {
      case eapType.identity:
        return receiveIdentity(counted, request, packet);
      case eapType.notification:
        return receiveNotification(counted, request, packet);
      case eapType.nak:
        return fail(counted, { kind: 'malformed', detail: 'a Nak as Request' });
    }
  }
  if (counted.phase === 'complete') {
    return fail(counted, { kind: 'out-of-order', detail: 'a Request after the method was complete' });
  }
  const wanted: EapMethod<MethodKind> | { readonly type: number } = methods[counted.config.method.kind];
  if (request.vendor !== 0 || request.type !== wanted.type) return refuseMethod(counted, request, packet, wanted.type);
  const run = counted.run ?? beginMethod(counted.config.method);
  return settle({ ...counted, run }, request, packet, receiveByMethod(crypto, run, request));
}

function receiveIdentity(state: EapState, request: EapRequest, packet: Uint8Array): EapStep {
  if (state.run) return fail(state, { kind: 'out-of-order', detail: 'an Identity Request after the method had begun' });
  return reply(state, request, packet, writeResponse(request, eapType.identity, encodeUtf8(state.config.identity)));
}

function receiveNotification(state: EapState, request: EapRequest, packet: Uint8Array): EapStep {
  const text = printable(decodeUtf8(request.data.subarray(0, notificationLimit)));
  const step = reply(state, request, packet, writeResponse(request, eapType.notification, new Uint8Array()));
  return { state: step.state, actions: [{ kind: 'notification', text }, ...step.actions] };
}

function refuseMethod(state: EapState, request: EapRequest, packet: Uint8Array, wanted: number): EapStep {
  const offered = request.vendor === 0 ? `EAP type ${request.type}` : `EAP type ${request.type} of vendor ${request.vendor}`;
  if (state.run) return fail(state, { kind: 'out-of-order', detail: `${offered} after another method had begun` });
  if (state.refused === offered) {
    return fail(state, { kind: 'method-mismatch', detail: `the server insists on ${offered}, the profile wants type ${wanted}` });
  }
  const step = reply({ ...state, refused: offered }, request, packet, writeNak(request, wanted));
  return {
    state: step.state,
    actions: [trace(`${offered} is not what the profile allows; asked for type ${wanted}`), ...step.actions],
  };
}

/** Turns what a method yields into packets and the peer's own state. */
function settle(
  state: EapState,
  request: EapRequest,
  packet: Uint8Array,
  { run, step }: { run: Run; step: MethodStep<unknown> },
): EapStep {
  const actions: EapAction[] = [...(step.actions ?? [])];
  let next: EapState = { ...state, run };
  if (step.ask) {
    const question = next.questions + 1;
    next = { ...next, questions: question, thinking: { request, packet, question } };
    actions.push({ ...step.ask, request: question });
  }
  if (step.reply) {
    const replied = reply(next, request, packet, writeResponse(request, methods[run.kind].type, step.reply));
    next = replied.state;
    actions.push(...replied.actions);
  }
  const { outcome } = step;
  if (outcome?.kind === 'failed') {
    const ended = fail(next, outcome.failure);
    return { state: ended.state, actions: [...actions, ...ended.actions] };
  }
  if (outcome) {
    // RFC 7296 §2.16 and RFC 5247 §1.2: a method that yields no key proves nothing to IKE.
    if (outcome.msk.length < 64)
      return fail(next, { kind: 'out-of-order', detail: `${outcome.method} yielded no MSK of 64 octets` });
    next = { ...next, phase: 'complete' };
    actions.push({ kind: 'succeeded', msk: outcome.msk, method: outcome.method });
  }
  return { state: next, actions };
}

function reply(state: EapState, request: EapRequest, packet: Uint8Array, response: Uint8Array): EapStep {
  return {
    state: { ...state, last: { packet, identifier: request.identifier, response } },
    actions: [{ kind: 'reply', packet: response }],
  };
}

function fail(state: EapState, failure: EapFailure): EapStep {
  return { state: over(state), actions: [...closing(state), { kind: 'failed', failure }] };
}

function closing(state: EapState): EapAction[] {
  return state.run?.kind === 'tls' ? [{ kind: 'tls-close' }] : [];
}

function over(state: EapState): EapState {
  if (state.run) forgetMethod(state.run);
  return { ...state, phase: 'over', run: undefined, thinking: undefined, last: undefined };
}

function trace(what: string): EapAction {
  return { kind: 'trace', what };
}

/** Text of a server as it may be shown: no control characters, no line breaks. */
function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\u2028\u2029]+/gu, ' ').trim();
}

// The four below pair a method's row of the table with its own state type.

function beginMethod<K extends MethodKind>(config: MethodConfig<K>): Run {
  const kind: K = config.kind;
  return { kind, state: methods[kind].begin(config) } as unknown as Run;
}

function receiveByMethod(crypto: EapCrypto, run: Run, request: EapRequest): { run: Run; step: MethodStep<unknown> } {
  return withMethod(run, (method, state) => method.receive(crypto, state, request.data, request.identifier));
}

function answerMethod(crypto: EapCrypto, run: Run, answer: MethodAnswer): { run: Run; step: MethodStep<unknown> } {
  return withMethod(run, (method, state) => method.answer(crypto, state, answer));
}

function forgetMethod(run: Run): void {
  withMethod(run, (method, state) => {
    method.forget(state);
    return { state };
  });
}

function withMethod<K extends MethodKind>(
  run: { readonly kind: K; readonly state: MethodStates[K] },
  act: (method: EapMethod<K>, state: MethodStates[K]) => MethodStep<MethodStates[K]>,
): { run: Run; step: MethodStep<unknown> } {
  const step = act(methods[run.kind], run.state);
  return { run: { kind: run.kind, state: step.state } as unknown as Run, step };
}
