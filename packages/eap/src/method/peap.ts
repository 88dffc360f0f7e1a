import { wipe } from '@aovpn/bytes';
import type { EapAction, EapCrypto, EapFailure } from '../peer-contract.ts';
import { awaitsVerdict } from '../conversation.ts';
import { answerInner, forgetInner, receiveInner, startInnerPeer, type InnerPeer, type InnerStep } from '../inner/inner-peer.ts';
import { eapType } from '../packet.ts';
import { compoundKeys, compoundSessionKey } from '../peap/compound-key.ts';
import { answerCryptobinding } from '../peap/cryptobinding.ts';
import { compressInner, expandInner, writeExtensions } from '../peap/inner-packet.ts';
import { readTlvs, writeTlvs, type Tlvs } from '../peap/tlv.ts';
import { isCommitment } from '../tls/fragment.ts';
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
import { failed, type EapMethod, type MethodAnswer, type MethodConfig, type MethodOutcome, type MethodStep } from './method.ts';

type Succeeded = Extract<MethodOutcome, { readonly kind: 'succeeded' }>;

export interface PeapState {
  readonly config: MethodConfig<'peap'>;
  readonly tunnel: Tunnel;
  /** The inner peer, once the tunnel stands. Before that nobody who knows the inner identity exists. */
  readonly inner: InnerPeer | undefined;
  /** The open question is the inner method's. */
  readonly innerAsks: boolean;
  /** The inner method is complete. */
  readonly proven: Succeeded | undefined;
  /** Identifier of the newest outer Request. */
  readonly identifier: number;
  /** The newest inner Request had its header. */
  readonly whole: boolean;
  /** What the method ends with once our last words have left. */
  readonly ending: MethodOutcome | undefined;
}

type Step = MethodStep<PeapState>;

/**
 * PEAPv0 as Microsoft speaks it ([MS-PEAP]; draft-kamath-pppext-peapv0): EAP in TLS, ended by a protected result, with a
 * cryptobinding that proves that tunnel and inner method have the same ends. With TLS 1.3 the keys come from its exporter
 * (RFC 9427 §2), and nothing else changes: the result is the protected success indication.
 */
export const peapMethod: EapMethod<'peap'> = {
  type: eapType.peap,
  name: 'PEAP',
  begin: (config, channel) => ({
    config,
    tunnel: openTunnel({
      name: 'PEAP',
      channel,
      trust: config.trust,
      keying: { kind: 'peap' },
      clientCertificate: false,
      resume: config.fastReconnect,
      versioned: true,
      // Without it some servers take our ClientHello for TLVs that the compound MAC covers.
      announceLength: true,
    }),
    inner: undefined,
    innerAsks: false,
    proven: undefined,
    identifier: 0,
    whole: false,
    ending: undefined,
  }),
  receive: (crypto, state, data, identifier) => follow(crypto, { ...state, identifier }, receiveTunnel(state.tunnel, data)),
  answer: (crypto, state, answer) => takeAnswer(crypto, state, answer),
  awaitsVerdict: ({ inner }) => inner && awaitsVerdict(inner.conversation),
  forget: ({ tunnel, inner, proven, ending }) => {
    forgetTunnel(tunnel);
    if (inner) forgetInner(inner);
    wipe(proven?.msk, ending?.kind === 'succeeded' ? ending.msk : undefined);
  },
};

function takeAnswer(crypto: EapCrypto, state: PeapState, answer: MethodAnswer): Step {
  if (!state.innerAsks || !state.inner) return follow(crypto, state, answerTunnel(state.tunnel, answer));
  return takeInner(crypto, { ...state, innerAsks: false }, answerInner(crypto, state.inner, answer));
}

function follow(crypto: EapCrypto, before: PeapState, step: TunnelStep): Step {
  const state: PeapState = { ...before, tunnel: step.tunnel };
  const { reply, ask, news } = step;
  const said = { ...(reply && { reply }), ...(ask && { ask }) };
  switch (news?.kind) {
    case undefined:
      return { state, ...said };
    case 'established':
      return takeData(crypto, { ...state, inner: startInnerPeer(state.config.inner, { expandedNak: false }) }, news.data);
    case 'data':
      return takeData(crypto, state, news.data);
    case 'sent':
      return { state, ...said, ...(state.ending && { outcome: state.ending }) };
    case 'failed':
      return { state, ...said, outcome: news };
  }
}

/** What the server said in the tunnel: one inner packet, or nothing when TLS spoke for itself. */
function takeData(crypto: EapCrypto, state: PeapState, data: Uint8Array): Step {
  // FreeRADIUS ends a resumed TLS 1.3 handshake like EAP-TLS does. It says nothing here: only the protected result counts.
  if (data.length === 0 || (isCommitment(data) && state.tunnel.session?.resumed))
    return follow(crypto, state, flushTunnel(state.tunnel));
  const request = expandInner(data, state.identifier);
  if (!request || !state.inner) return failed(state, 'malformed', `PEAP: ${data.length} octets in the tunnel are no EAP packet`);
  if (request.type === eapType.extensions) {
    const tlvs = readTlvs(request.packet.subarray(5));
    if (tlvs.kind === 'malformed') return failed(state, 'malformed', `PEAP: ${tlvs.problem} from the server`);
    return takeResult(crypto, state, tlvs, request.identifier);
  }
  return takeInner(crypto, { ...state, whole: request.whole }, receiveInner(crypto, state.inner, request.packet));
}

function takeInner(crypto: EapCrypto, before: PeapState, step: InnerStep): Step {
  const { peer, outcome, ask, response, actions } = step;
  const state: PeapState = { ...before, inner: peer, proven: nextProof(before.proven, outcome) };
  if (outcome?.kind === 'failed' && !response) return { state, outcome, actions };
  if (ask) return { state: { ...state, innerAsks: true }, ask, actions };
  if (!response) return withActions(actions, follow(crypto, state, flushTunnel(state.tunnel)));
  const ending = outcome?.kind === 'failed' ? outcome : undefined;
  const data = compressInner(response, state.whole);
  wipe(response);
  return withActions(actions, write(crypto, { ...state, ending }, data));
}

/** A method that may go on takes its success back with each new step; any other success stays. */
function nextProof(before: Succeeded | undefined, outcome: MethodOutcome | undefined): Succeeded | undefined {
  if (outcome?.kind === 'succeeded') {
    wipe(before?.msk);
    return outcome;
  }
  return before?.mayContinue ? undefined : before;
}

/** The server's protected result. Success counts only if we have been asked for proof, or proved ourselves in a resumed session. */
function takeResult(crypto: EapCrypto, state: PeapState, tlvs: Extract<Tlvs, { kind: 'tlvs' }>, identifier: number): Step {
  const { config, proven, inner } = state;
  const { session } = state.tunnel;
  const refuse = (kind: EapFailure['kind'], detail: string): Step => {
    const ending = { kind: 'failed', failure: { kind, detail: `PEAP: ${detail}` } } as const;
    return write(crypto, { ...state, ending }, writeExtensions(identifier, writeTlvs('failure')));
  };
  switch (tlvs.result) {
    case undefined:
      return refuse('malformed', 'an EAP-TLV without a result');
    case 'failure':
      return refuse(
        'rejected',
        `the server ends with a failure inside the tunnel, ${inner?.conversation.run ? 'after' : 'before'} the inner method`,
      );
    case 'success':
      break;
  }
  const reconnected = session?.resumed === true && inner?.conversation.run === undefined;
  if (!session || (!proven && !reconnected))
    return refuse('out-of-order', 'the server claims success before the inner method was complete');
  if (!tlvs.cryptobinding) {
    if (config.requireCryptoBinding)
      return refuse('cryptobinding-missing', 'the server does not bind the inner method to the tunnel');
    return succeed(crypto, state, session.keyMaterial.slice(0, 64), undefined, identifier);
  }
  const keys = compoundKeys(crypto, session.keyMaterial, proven?.msk);
  const binding = tlvs.cryptobinding === 'damaged' ? undefined : answerCryptobinding(crypto, tlvs.cryptobinding, keys);
  const csk = compoundSessionKey(crypto, keys.ipmk);
  const msk = csk.slice(0, 64);
  wipe(keys.ipmk, keys.cmk, csk);
  if (binding) return succeed(crypto, state, msk, binding, identifier);
  wipe(msk);
  return refuse('cryptobinding-invalid', 'the server has not taken part both in the tunnel and in the inner method');
}

function succeed(
  crypto: EapCrypto,
  state: PeapState,
  msk: Uint8Array,
  binding: Uint8Array | undefined,
  identifier: number,
): Step {
  const inside = state.proven ? `${state.proven.method} inside` : 'resumed session';
  const method = `PEAP with TLS ${state.tunnel.session?.version ?? ''}, ${inside}, ${binding ? 'cryptobinding' : 'no cryptobinding'}`;
  const ending = { kind: 'succeeded', msk, method } as const;
  return write(crypto, { ...state, ending }, writeExtensions(identifier, writeTlvs('success', binding)));
}

function write(crypto: EapCrypto, state: PeapState, data: Uint8Array): Step {
  return follow(crypto, state, writeTunnel(state.tunnel, data));
}

function withActions(actions: readonly EapAction[], step: Step): Step {
  return { ...step, actions: [...actions, ...(step.actions ?? [])] };
}
