import { wipe } from '@aovpn/bytes';
import type { TlsFailure, TlsServerTrust } from '../peer-contract.ts';
import { eapType } from '../packet.ts';
import { assemble, flightLimit, readTlsPacket, writeAcknowledgement, writeFragment, type Assembly } from '../tls/fragment.ts';
import { failed, type EapMethod, type MethodAnswer, type MethodOutcome, type MethodStep } from './method.ts';

export interface TlsState {
  readonly trust: TlsServerTrust;
  readonly phase:
    | { readonly kind: 'start' }
    /** The engine works on what the server sent. */
    | { readonly kind: 'engine' }
    /** The server has the turn; `assembly` is what came of its flight. */
    | { readonly kind: 'server'; readonly assembly: Assembly | undefined }
    /** Our flight is on its way: `next` is the first octet not yet sent. */
    | { readonly kind: 'sending'; readonly records: Uint8Array; readonly next: number }
    | { readonly kind: 'ended' };
  /** TLS is established: what the method ends with once the rest has been said. */
  readonly established: Established | undefined;
}

interface Established {
  readonly outcome: Extract<MethodOutcome, { kind: 'succeeded' }>;
  /** TLS 1.3 only: the server's protected success indication is still to come (RFC 9190 §2.1.1). */
  readonly awaitsCommitment: boolean;
}

type Step = MethodStep<TlsState>;

/** EAP-TLS (RFC 5216, with RFC 9190 for TLS 1.3). TLS itself is done by the engine behind `tls-start` and `tls-input`. */
export const tlsMethod: EapMethod<'tls'> = {
  type: eapType.tls,
  name: 'EAP-TLS',
  begin: (config) => ({ trust: config.trust, phase: { kind: 'start' }, established: undefined }),
  receive: (_crypto, state, data) => receive(state, data),
  answer: (_crypto, state, answer) => takeOutput(state, answer),
  forget: ({ phase }) => {
    if (phase.kind === 'server') wipe(...(phase.assembly?.parts ?? []));
  },
};

function receive(state: TlsState, typeData: Uint8Array): Step {
  const packet = readTlsPacket(typeData);
  const { phase } = state;
  switch (packet.kind) {
    case 'malformed':
      return failed(state, 'malformed', `EAP-TLS: ${packet.problem}`);
    case 'start':
      if (phase.kind !== 'start') return failed(state, 'out-of-order', 'a second EAP-TLS Start');
      return { state: { ...state, phase: { kind: 'engine' } }, ask: { kind: 'tls-start', trust: state.trust } };
    case 'acknowledgement':
      if (phase.kind !== 'sending') return failed(state, 'out-of-order', 'an EAP-TLS acknowledgement of nothing');
      return send(state, phase.records, phase.next);
    case 'fragment': {
      if (phase.kind !== 'server') return failed(state, 'out-of-order', 'EAP-TLS data out of turn');
      const assembled = assemble(phase.assembly, packet);
      switch (assembled.kind) {
        case 'malformed':
          return failed(state, 'malformed', `EAP-TLS: ${assembled.problem}`);
        case 'more':
          return { state: { ...state, phase: { kind: 'server', assembly: assembled.assembly } }, reply: writeAcknowledgement() };
        case 'whole':
          return { state: { ...state, phase: { kind: 'engine' } }, ask: { kind: 'tls-input', records: assembled.records } };
      }
    }
  }
}

function takeOutput(state: TlsState, answer: MethodAnswer): Step {
  if (state.phase.kind !== 'engine' || answer.kind !== 'tls-output')
    return failed(state, 'out-of-order', 'an answer that nobody asked for');
  const { records } = answer;
  if (answer.state.kind === 'failed') return giveUp(state, answer.state.failure, records);
  if (records.length > flightLimit) return failed(state, 'tls', `our flight of ${records.length} octets is too long for EAP-TLS`);
  if (answer.state.kind === 'handshaking') {
    if (answer.applicationData.length > 0)
      return failed(state, 'out-of-order', 'application data before the end of the TLS handshake');
    if (records.length === 0) return failed(state, 'malformed', "a TLS flight that ends in the middle of the server's turn");
    return send(state, records, 0);
  }
  const { version, msk } = answer.state;
  const outcome = { kind: 'succeeded', msk, method: `EAP-TLS with TLS ${version}` } as const;
  const said = answer.applicationData;
  // Whatever comes before our Finished has left cannot be the server's word on us (RFC 9190 §2.1.1).
  if (said.length > 0 && (version === '1.2' || records.length > 0 || !isCommitment(said))) {
    return failed(state, 'out-of-order', 'application data in EAP-TLS that is not the protected success indication');
  }
  return send({ ...state, established: { outcome, awaitsCommitment: version === '1.3' && said.length === 0 } }, records, 0);
}

/** Sends the next piece of a flight (an acknowledgement if it is empty), and ends the method when everything has been said. */
function send(state: TlsState, records: Uint8Array, offset: number): Step {
  const { typeData, next } =
    records.length === 0 ? { typeData: writeAcknowledgement(), next: 0 } : writeFragment(records, offset);
  if (next < records.length) return { state: { ...state, phase: { kind: 'sending', records, next } }, reply: typeData };
  const { established } = state;
  if (!established || established.awaitsCommitment) {
    return { state: { ...state, phase: { kind: 'server', assembly: undefined } }, reply: typeData };
  }
  return { state: { ...state, phase: { kind: 'ended' } }, reply: typeData, outcome: established.outcome };
}

/** Sends the alert, if the engine has one for the server, and ends with the engine's reason. */
function giveUp(state: TlsState, failure: TlsFailure, records: Uint8Array): Step {
  const step = failed<TlsState>({ ...state, phase: { kind: 'ended' } }, 'tls', failure.detail, { tls: failure });
  if (records.length === 0 || records.length > flightLimit) return step;
  return { ...step, reply: writeFragment(records, 0).typeData };
}

/** One octet 0x00 (RFC 9190 §2.1.1). */
function isCommitment(applicationData: Uint8Array): boolean {
  return applicationData.length === 1 && applicationData[0] === 0;
}
