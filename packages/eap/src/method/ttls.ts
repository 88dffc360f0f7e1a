import { decodeUtf8 } from '@aovpn/bytes';
import type { EapCrypto } from '../peer-contract.ts';
import { printable } from '../printable.ts';
import {
  answerTunnel,
  flushTunnel,
  forgetTunnel,
  openTunnel,
  receiveTunnel,
  writeTunnel,
  type Tunnel,
  type TunnelStep,
} from '../tls/tunnel.ts';
import { avpType, isAvp, readAvps, type Avp } from '../ttls/avp.ts';
import {
  answerPhase2,
  beginPhase2,
  challengeLengthOf,
  forgetPhase2,
  phase2AwaitsVerdict,
  receivePhase2,
  startPhase2,
  understoodBy,
  type Phase2,
} from '../ttls/phase2.ts';
import type { Phase2Outcome, Phase2Step } from '../ttls/step.ts';
import { failed, type EapMethod, type MethodOutcome, type MethodStep } from './method.ts';

export interface TtlsState {
  readonly tunnel: Tunnel;
  readonly phase2: Phase2;
  /** Whose question is open. */
  readonly asking: 'tunnel' | 'phase2' | undefined;
  /** What counts once our words have left. */
  readonly pending: Phase2Outcome | undefined;
}

type Step = MethodStep<TtlsState>;

/** EAP-TTLSv0 (RFC 5281, with RFC 9427 for TLS 1.3). Nothing of the user is said before the tunnel is up and its server verified. */
export const ttlsMethod: EapMethod<'ttls'> = {
  type: 21,
  name: 'EAP-TTLS',
  begin: ({ trust, inner }, channel) => {
    const phase2 = beginPhase2(inner);
    const tunnel = openTunnel({
      name: 'EAP-TTLS',
      channel,
      trust,
      keying: { kind: 'ttls', challengeLength: challengeLengthOf(phase2) },
      clientCertificate: false,
      // A resumed session may or may not stand for the user's proof, as the server likes (RFC 5281 §7.5); a new one is always clear.
      resume: false,
      versioned: true,
    });
    return { tunnel, phase2, asking: undefined, pending: undefined };
  },
  receive: (crypto, state, data) => takeTunnel(crypto, state, receiveTunnel(state.tunnel, data)),
  answer: (crypto, state, answer) => {
    switch (state.asking) {
      case 'tunnel':
        return takeTunnel(crypto, { ...state, asking: undefined }, answerTunnel(state.tunnel, answer));
      case 'phase2':
        return takePhase2(crypto, { ...state, asking: undefined }, answerPhase2(crypto, state.phase2, answer));
      case undefined:
        return failed(state, 'out-of-order', 'an answer that nobody asked for');
    }
  },
  awaitsVerdict: ({ phase2 }) => phase2AwaitsVerdict(phase2),
  forget: ({ tunnel, phase2 }) => {
    forgetTunnel(tunnel);
    forgetPhase2(phase2);
  },
};

function takeTunnel(crypto: EapCrypto, before: TtlsState, { tunnel, reply, ask, news }: TunnelStep): Step {
  const state = { ...before, tunnel };
  if (ask) return { state: { ...state, asking: 'tunnel' }, ask };
  switch (news?.kind) {
    case undefined:
      return reply ? { state, reply } : { state };
    case 'failed': {
      const outcome = { kind: 'failed', failure: news.failure } as const;
      return reply ? { state, reply, outcome } : { state, outcome };
    }
    case 'sent':
      return withOutcome(state, reply);
    case 'established': {
      if (news.data.length > 0) return failed(state, 'out-of-order', 'EAP-TTLS: the server speaks first in the tunnel');
      const challenge = news.session.challenge ?? new Uint8Array();
      const wanted = challengeLengthOf(state.phase2);
      if (challenge.length !== wanted)
        return failed(state, 'tls', `EAP-TTLS: TLS exported a challenge of ${challenge.length} octets, not ${wanted}`);
      return takePhase2(crypto, state, startPhase2(crypto, state.phase2, challenge));
    }
    case 'data':
      return takeData(crypto, state, news.data);
  }
}

function takeData(crypto: EapCrypto, state: TtlsState, data: Uint8Array): Step {
  // Session tickets, or a TLS 1.3 server that closes its side of the handshake: nothing was said about the user.
  if (data.length === 0) return takeTunnel(crypto, state, flushTunnel(state.tunnel));
  const avps = readAvps(data);
  if (typeof avps === 'string') return failed(state, 'malformed', `EAP-TTLS: ${avps}`);
  const understood = [...understoodBy(state.phase2), avpType.replyMessage];
  const known: Avp[] = [];
  for (const avp of avps) {
    if (understood.some((type) => isAvp(avp, type))) known.push(avp);
    else if (avp.mandatory)
      return failed(
        state,
        'malformed',
        `EAP-TTLS: a mandatory AVP ${avp.code} of vendor ${avp.vendor} that is not understood here`,
      );
  }
  const message = printable(
    known
      .filter((avp) => isAvp(avp, avpType.replyMessage))
      .map((avp) => decodeUtf8(avp.data))
      .join(' '),
  );
  return takePhase2(crypto, state, receivePhase2(crypto, state.phase2, known, message));
}

function takePhase2(crypto: EapCrypto, before: TtlsState, step: Phase2Step<Phase2>): Step {
  const state: TtlsState = { ...before, phase2: step.state, pending: step.outcome };
  const next = step.ask ? { state: { ...state, asking: 'phase2' as const }, ask: step.ask } : speak(crypto, state, step);
  return step.actions ? { ...next, actions: [...step.actions, ...(next.actions ?? [])] } : next;
}

function speak(crypto: EapCrypto, state: TtlsState, { write, outcome }: Phase2Step<Phase2>): Step {
  if (write) return takeTunnel(crypto, state, writeTunnel(state.tunnel, write));
  if (outcome?.kind === 'failed') return { state, outcome };
  return takeTunnel(crypto, state, flushTunnel(state.tunnel));
}

/** Our words have left with `reply`. */
function withOutcome(state: TtlsState, reply: Uint8Array | undefined): Step {
  const { pending, tunnel } = state;
  const outcome = pending && tunnel.session && methodOutcome(pending, tunnel.session);
  return { state, ...(reply && { reply }), ...(outcome && { outcome }) };
}

/** The keys are the tunnel's (RFC 5281 §8, RFC 9427 §2.1): the first half of what was exported is the MSK. */
function methodOutcome(pending: Phase2Outcome, session: NonNullable<Tunnel['session']>): MethodOutcome {
  if (pending.kind === 'failed') return pending;
  const method = `EAP-TTLS with TLS ${session.version}, ${pending.method}`;
  const msk = session.keyMaterial.subarray(0, 64);
  return pending.mayContinue ? { kind: 'succeeded', msk, method, mayContinue: true } : { kind: 'succeeded', msk, method };
}
