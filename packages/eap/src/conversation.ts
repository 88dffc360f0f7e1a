import { decodeUtf8, encodeUtf8, equal, wipe } from '@aovpn/bytes';
import type { EapAction, EapCrypto, EapEvent, EapFailure, Proof, TlsChannel } from './peer-contract.ts';
import { eapType, readPacket, writeNak, writeResponse, type EapRequest } from './packet.ts';
import { printable } from './printable.ts';
import type { BoundMethod } from './method/bind.ts';
import type { MethodOutcome, MethodStep } from './method/method.ts';

/** Requests that one conversation may take: 64 KiB of TLS in the smallest sensible fragments, and some more. */
const requestLimit = 1000;
/** Characters of a Notification that are shown. */
const notificationLimit = 1015;

/** Who speaks, and with which method only. */
export interface Terms extends BoundMethod {
  readonly identity: string;
  /** In a tunnel a method need not yield a key, since the tunnel does. */
  readonly keyless: boolean;
  /** Whether an unwanted expanded type is answered with an Expanded Nak (RFC 3748 §5.3.2), or with the legacy one. */
  readonly expandedNak: boolean;
}

type Succeeded = Extract<MethodOutcome, { readonly kind: 'succeeded' }>;

/** The peer between two steps. Opaque: only {@link stepConversation} reads it. */
export interface EapState {
  readonly terms: Terms;
  /** `complete`: `succeeded` was emitted, an EAP-Success may come; `over`: nothing is believed any more. */
  readonly phase: 'open' | 'complete' | 'over';
  /** The state of the method once it has begun. */
  readonly run: { readonly state: unknown } | undefined;
  /** What the method ends with unless the server goes on with it. */
  readonly held: Succeeded | undefined;
  /** The Request that a method still thinks about, with the question it waits for. */
  readonly thinking: { readonly request: EapRequest; readonly packet: Uint8Array; readonly question: number } | undefined;
  /** The newest Request with its Response, for a repetition (RFC 3748 §4.1). */
  readonly last: { readonly packet: Uint8Array; readonly identifier: number; readonly response: Uint8Array } | undefined;
  /** The server's method that we refused with a Nak. */
  readonly refused: string | undefined;
  /** TLS conversations that the engine holds for us. */
  readonly channels: readonly { readonly channel: TlsChannel; readonly resume: boolean }[];
  readonly questions: number;
  readonly requests: number;
}

export interface EapStep {
  readonly state: EapState;
  readonly actions: readonly EapAction[];
}

export function startConversation(terms: Terms): EapState {
  return {
    terms,
    phase: 'open',
    run: undefined,
    held: undefined,
    thinking: undefined,
    last: undefined,
    refused: undefined,
    channels: [],
    questions: 0,
    requests: 0,
  };
}

/** One step of an EAP conversation as peer, be it with the authenticator or in a tunnel. See `stepEap`. */
export function stepConversation(crypto: EapCrypto, state: EapState, event: EapEvent): EapStep {
  const { thinking, run } = state;
  if (state.phase === 'over') {
    forgetAnswer(event);
    return { state, actions: [trace('an event after the end of EAP is ignored')] };
  }
  if (event.kind === 'packet') return receivePacket(crypto, state, event.packet.slice());
  if (!thinking || !run || thinking.question !== event.request) {
    forgetAnswer(event);
    return { state, actions: [trace(`an answer to question ${event.request} comes too late and is ignored`)] };
  }
  const step = state.terms.method.answer(crypto, run.state, event);
  return settle({ ...state, thinking: undefined }, thinking.request, thinking.packet, step);
}

/** Ends a conversation that ended well without an EAP-Success of its own, or that is given up. */
export function forgetConversation(state: EapState): void {
  if (state.run) state.terms.method.forget(state.run.state);
  // In a tunnel a Response can hold a password as it is (EAP-GTC).
  wipe(state.last?.response);
}

/** What the server knows of us by now, as long as it has not shown what it thinks of it. */
export function awaitsVerdict({ terms, run }: EapState): Proof | undefined {
  return run && terms.method.awaitsVerdict(run.state);
}

/** Nobody will take what is secret in an answer that came too late. */
function forgetAnswer(event: EapEvent): void {
  if (event.kind === 'secret') wipe(event.secret);
  if (event.kind === 'tls-output' && event.state.kind === 'established') wipe(event.state.keyMaterial, event.state.challenge);
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
    const detail = `the server offers ${state.refused}, the profile allows ${state.terms.method.name} only`;
    return fail(state, { kind: 'method-mismatch', detail });
  }
  const detail = state.run ? 'EAP-Failure' : 'EAP-Failure before any method had begun';
  return fail(state, explain(state, { kind: 'rejected', detail }));
}

function receiveSuccess(state: EapState, identifier: number): EapStep {
  const { held } = state;
  if (state.phase !== 'complete' && !held) {
    return fail(state, { kind: 'out-of-order', detail: 'EAP-Success before the method was complete' });
  }
  // RFC 3748 §4.2 wants the identifier of the last Response; some servers count one further.
  const last = state.last?.identifier ?? identifier;
  if (identifier !== last && identifier !== ((last + 1) & 0xff)) {
    return fail(state, { kind: 'malformed', detail: `EAP-Success has identifier ${identifier}, the last Response had ${last}` });
  }
  const completed: EapAction[] = held ? [succeeded(held)] : [];
  return { state: over(state), actions: [...completed, ...closing(state, true), trace('EAP-Success')] };
}

function receiveRequest(crypto: EapCrypto, state: EapState, request: EapRequest, packet: Uint8Array): EapStep {
  if (state.thinking) {
    if (equal(state.thinking.packet, packet)) return { state, actions: [trace('a repeated Request waits for its answer')] };
    return fail(state, { kind: 'out-of-order', detail: 'a new Request before the previous one was answered' });
  }
  if (state.last && equal(state.last.packet, packet)) {
    return {
      state,
      actions: [trace('a repeated Request gets the same Response'), { kind: 'reply', packet: state.last.response.slice() }],
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
  const { method, begin } = counted.terms;
  if (request.vendor !== 0 || request.type !== method.type) return refuseMethod(counted, request, packet, method.type);
  const run = counted.run ?? { state: begin() };
  const step = method.receive(crypto, run.state, request.data, request.identifier);
  return settle({ ...counted, run }, request, packet, step);
}

function receiveIdentity(state: EapState, request: EapRequest, packet: Uint8Array): EapStep {
  if (state.run) return fail(state, { kind: 'out-of-order', detail: 'an Identity Request after the method had begun' });
  return reply(state, request, packet, writeResponse(request, eapType.identity, encodeUtf8(state.terms.identity)));
}

function receiveNotification(state: EapState, request: EapRequest, packet: Uint8Array): EapStep {
  const text = printable(decodeUtf8(request.data), notificationLimit);
  const step = reply(state, request, packet, writeResponse(request, eapType.notification, new Uint8Array()));
  return { state: step.state, actions: [{ kind: 'notification', text }, ...step.actions] };
}

function refuseMethod(state: EapState, request: EapRequest, packet: Uint8Array, wanted: number): EapStep {
  const offered = request.vendor === 0 ? `EAP type ${request.type}` : `EAP type ${request.type} of vendor ${request.vendor}`;
  if (state.run) return fail(state, { kind: 'out-of-order', detail: `${offered} after another method had begun` });
  if (state.refused === offered) {
    return fail(state, { kind: 'method-mismatch', detail: `the server insists on ${offered}, the profile wants type ${wanted}` });
  }
  const step = reply({ ...state, refused: offered }, request, packet, writeNak(request, wanted, state.terms.expandedNak));
  return {
    state: step.state,
    actions: [trace(`${offered} is not what the profile allows; asked for type ${wanted}`), ...step.actions],
  };
}

/** Turns what a method yields into packets and the peer's own state. */
function settle(state: EapState, request: EapRequest, packet: Uint8Array, step: MethodStep<unknown>): EapStep {
  const actions: EapAction[] = [...(step.actions ?? [])];
  const closed = actions.flatMap((action) => (action.kind === 'tls-close' ? [action.channel] : []));
  let next: EapState = {
    ...state,
    run: { state: step.state },
    held: undefined,
    channels: state.channels.filter(({ channel }) => !closed.includes(channel)),
  };
  if (step.ask) {
    const question = next.questions + 1;
    next = { ...next, questions: question, thinking: { request, packet, question } };
    actions.push({ ...step.ask, request: question });
    if (step.ask.kind === 'tls-start') {
      const { channel, resume } = step.ask;
      next = { ...next, channels: [...next.channels.filter((open) => open.channel !== channel), { channel, resume }] };
    }
  }
  if (step.reply) {
    const replied = reply(next, request, packet, writeResponse(request, state.terms.method.type, step.reply));
    wipe(step.reply);
    next = replied.state;
    actions.push(...replied.actions);
  }
  const { outcome } = step;
  if (outcome?.kind === 'failed') {
    const ended = fail(next, explain(next, outcome.failure));
    return { state: ended.state, actions: [...actions, ...ended.actions] };
  }
  if (outcome) {
    // RFC 7296 §2.16 and RFC 5247 §1.2: a method that yields no key proves nothing to IKE.
    if (outcome.msk.length < 64 && !state.terms.keyless)
      return fail(next, { kind: 'out-of-order', detail: `${outcome.method} yielded no MSK of 64 octets` });
    if (outcome.mayContinue) {
      next = { ...next, held: outcome };
    } else {
      next = { ...next, phase: 'complete' };
      actions.push(succeeded(outcome));
      wipe(outcome.msk);
    }
  }
  return { state: next, actions };
}

/** With a copy of the MSK: the method overwrites its own when it ends. */
function succeeded({ msk, method }: Succeeded): EapAction {
  return { kind: 'succeeded', msk: msk.slice(), method };
}

/** With a copy of the Response: a tunnel overwrites what it has encrypted, and we what we keep for a repetition. */
function reply(state: EapState, request: EapRequest, packet: Uint8Array, response: Uint8Array): EapStep {
  wipe(state.last?.response);
  return {
    state: { ...state, last: { packet, identifier: request.identifier, response } },
    actions: [{ kind: 'reply', packet: response.slice() }],
  };
}

/** RADIUS servers often have no word but a rejection, for a wrong password and a bad certificate alike: what came right before it tells. */
function explain(state: EapState, failure: EapFailure): EapFailure {
  const proof = awaitsVerdict(state);
  if (failure.kind !== 'rejected' || failure.number !== undefined || !proof) return failure;
  const cause = {
    secret: 'the user name, password or code is wrong',
    certificate: 'it does not like the certificate that it has just been shown',
  }[proof];
  const detail = `${failure.detail}; the server gives no reason, so most likely ${cause}`;
  return { ...failure, detail, unexplained: proof };
}

function fail(state: EapState, failure: EapFailure): EapStep {
  return { state: over(state), actions: [...closing(state, false), { kind: 'failed', failure }] };
}

/** A session is worth remembering when the method ended well and would resume it. */
function closing(state: EapState, endedWell: boolean): EapAction[] {
  return state.channels.map(({ channel, resume }) => ({ kind: 'tls-close', channel, remember: endedWell && resume }));
}

function over(state: EapState): EapState {
  forgetConversation(state);
  return { ...state, phase: 'over', run: undefined, held: undefined, thinking: undefined, last: undefined, channels: [] };
}

function trace(what: string): EapAction {
  return { kind: 'trace', what };
}
