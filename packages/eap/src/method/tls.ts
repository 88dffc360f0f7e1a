import { wipe } from '@aovpn/bytes';
import { eapType } from '../packet.ts';
import { showsCertificate } from '../tls/certificate-message.ts';
import { isCommitment } from '../tls/fragment.ts';
import {
  answerTunnel,
  flushTunnel,
  forgetTunnel,
  openTunnel,
  receiveTunnel,
  type Tunnel,
  type TunnelSession,
  type TunnelStep,
} from '../tls/tunnel.ts';
import { failed, type EapMethod, type MethodStep } from './method.ts';

export interface TlsState {
  readonly tunnel: Tunnel;
  /** TLS 1.3: the server's protected success indication has come (RFC 9190 §2.1.1). TLS 1.2 has none. */
  readonly committed: boolean;
  /** Our certificate is in what we said last: TLS goes on only if the server takes it. */
  readonly shown: boolean;
  readonly msk: Uint8Array | undefined;
}

type Step = MethodStep<TlsState>;

/** EAP-TLS (RFC 5216, with RFC 9190 for TLS 1.3). TLS itself is done by the engine behind `tls-start` and `tls-input`. */
export const tlsMethod: EapMethod<'tls'> = {
  type: eapType.tls,
  name: 'EAP-TLS',
  begin: ({ trust }, channel) => ({
    tunnel: openTunnel({
      name: channel === 'outer' ? 'EAP-TLS' : 'inner EAP-TLS',
      channel,
      trust,
      keying: { kind: 'eap-tls' },
      clientCertificate: true,
      resume: false,
      versioned: false,
    }),
    committed: false,
    shown: false,
    msk: undefined,
  }),
  receive: (_crypto, state, data) => follow(state, receiveTunnel(state.tunnel, data)),
  answer: (_crypto, state, answer) => {
    const shown = answer.kind === 'tls-output' && answer.state.kind === 'handshaking' && showsCertificate(answer.records);
    return follow({ ...state, shown }, answerTunnel(state.tunnel, answer));
  },
  awaitsVerdict: ({ tunnel, shown }) => (shown && tunnel.phase.kind === 'server' ? 'certificate' : undefined),
  forget: ({ tunnel, msk }) => {
    forgetTunnel(tunnel);
    wipe(msk);
  },
};

function follow(before: TlsState, step: TunnelStep): Step {
  const state: TlsState = { ...before, tunnel: step.tunnel };
  const { news } = step;
  switch (news?.kind) {
    case undefined:
      return { ...pick(step), state };
    case 'established': {
      // With TLS 1.2 the server has nothing to add; with 1.3 the flight that ends the handshake for us has our certificate.
      const isOver = news.session.version === '1.2';
      return takeData({ ...state, committed: isOver, shown: !isOver }, news.session, news.data);
    }
    case 'data':
      return takeData(state, state.tunnel.session, news.data);
    case 'sent':
      return { ...complete(state), ...pick(step) };
    case 'failed':
      return { ...pick(step), state, outcome: news };
  }
}

/** Nothing may be said in the tunnel but the protected success indication, once. */
function takeData(state: TlsState, session: TunnelSession | undefined, data: Uint8Array): Step {
  const committed = session?.version === '1.3' && isCommitment(data);
  if (data.length > 0 && !committed)
    return failed(state, 'out-of-order', 'application data in EAP-TLS that is not the protected success indication');
  return follow({ ...state, committed: state.committed || committed }, flushTunnel(state.tunnel));
}

/**
 * Our flight has left. Without the server's success indication that is the end only inside of a tunnel: there the tunnel protects
 * what tells the end, and hostapd sends none.
 */
function complete(state: TlsState): Step {
  const { session, options } = state.tunnel;
  if (!session || (!state.committed && options.channel === 'outer')) return { state };
  const msk = state.msk ?? session.keyMaterial.slice(0, 64);
  const outcome = { kind: 'succeeded', msk, method: `EAP-TLS with TLS ${session.version}` } as const;
  return { state: { ...state, msk }, outcome: state.committed ? outcome : { ...outcome, mayContinue: true } };
}

function pick({ reply, ask }: TunnelStep): Pick<Step, 'reply' | 'ask'> {
  return { ...(reply && { reply }), ...(ask && { ask }) };
}
