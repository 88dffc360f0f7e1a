import { concat, wipe } from '@aovpn/bytes';
import type { EapEvent, EapFailure, TlsChannel, TlsKeying, TlsServerTrust } from '../peer-contract.ts';
import type { MethodAnswer, Question } from '../method/method.ts';
import {
  assemble,
  flightLimit,
  fragmentSize,
  innerFragmentSize,
  readTlsPacket,
  writeAcknowledgement,
  writeFragment,
  type Assembly,
  type TlsPacket,
} from './fragment.ts';

/** Whole messages of the server that one tunnel takes: some minutes of a second factor that says every second that it still waits. */
const messageLimit = 500;
/** Exported keying material: MSK and EMSK, octets. */
const keyMaterialLength = 128;

export interface TunnelOptions {
  /** The method's name, for what people read. */
  readonly name: string;
  readonly channel: TlsChannel;
  readonly trust: TlsServerTrust;
  readonly keying: TlsKeying;
  readonly clientCertificate: boolean;
  /** A session of before may be resumed; a server that resumes one without is refused. */
  readonly resume: boolean;
  /** The low bits of the flags are the version of the method (PEAP, EAP-TTLS): only 0 is spoken. */
  readonly versioned: boolean;
  /** The length of our flights is told even when they are a single fragment. */
  readonly announceLength?: boolean;
}

export type TunnelSession = Omit<
  Extract<Extract<EapEvent, { kind: 'tls-output' }>['state'], { readonly kind: 'established' }>,
  'kind'
>;

/** TLS over EAP packets as the peer sees it: handshake, then application data; both ways in fragments. */
export interface Tunnel {
  readonly options: TunnelOptions;
  readonly phase:
    | { readonly kind: 'start' }
    /** The engine works on what the server sent, or on what the method writes; `records` wait to be sent before its own. */
    | { readonly kind: 'engine'; readonly records: Uint8Array; readonly writing: Uint8Array | undefined }
    /** The method has the turn: {@link writeTunnel} or {@link flushTunnel}. */
    | { readonly kind: 'method'; readonly records: Uint8Array }
    /** Our flight is on its way: `next` is the first octet not yet sent. */
    | { readonly kind: 'sending'; readonly records: Uint8Array; readonly next: number }
    /** The server has the turn; `assembly` is what came of its flight. */
    | { readonly kind: 'server'; readonly assembly: Assembly | undefined }
    | { readonly kind: 'ended' };
  /** Once TLS is established. The tunnel owns its secrets: {@link forgetTunnel} overwrites them. */
  readonly session: TunnelSession | undefined;
  /** Whole messages of the server so far. */
  readonly messages: number;
}

export type TunnelNews =
  /** The server is verified and TLS complete, once; the method has the turn. */
  | { readonly kind: 'established'; readonly session: TunnelSession; readonly data: Uint8Array }
  /** Decrypted octets of the server, none if it only spoke TLS (session tickets); the method has the turn. */
  | { readonly kind: 'data'; readonly data: Uint8Array }
  /** The end of our flight leaves with this step's `reply`, TLS being established; the server has the turn. */
  | { readonly kind: 'sent' }
  /** Final. A `reply` beside it is a TLS alert that is owed to the server. */
  | { readonly kind: 'failed'; readonly failure: EapFailure };

/** One of `reply` (Type-Data), `ask` and `news`, or `reply` with `news` of `sent` or `failed`. */
export interface TunnelStep {
  readonly tunnel: Tunnel;
  readonly reply?: Uint8Array;
  readonly ask?: Question;
  readonly news?: TunnelNews;
}

const none = new Uint8Array();

export function openTunnel(options: TunnelOptions): Tunnel {
  return { options, phase: { kind: 'start' }, session: undefined, messages: 0 };
}

/** Takes the Type-Data of a Request. */
export function receiveTunnel(tunnel: Tunnel, typeData: Uint8Array): TunnelStep {
  const { options, phase } = tunnel;
  const packet = readTlsPacket(typeData);
  if (packet.kind === 'malformed') return fail(tunnel, 'malformed', packet.problem);
  // A server begins with the newest version that it knows and comes down to ours (draft-josefsson-pppext-eap-tls-eap §2.1).
  if (options.versioned && packet.version !== 0 && packet.kind !== 'start')
    return fail(tunnel, 'malformed', `version ${packet.version} of the method, after we had said version 0`);
  switch (packet.kind) {
    case 'start':
      if (phase.kind !== 'start') return fail(tunnel, 'out-of-order', 'a second Start');
      return start(tunnel);
    case 'acknowledgement':
      if (phase.kind !== 'sending') return fail(tunnel, 'out-of-order', 'an acknowledgement of nothing');
      return send(tunnel, phase.records, phase.next);
    case 'fragment':
      if (phase.kind !== 'server') return fail(tunnel, 'out-of-order', 'TLS data out of turn');
      return receiveFragment(tunnel, phase.assembly, packet);
  }
}

/** Takes the answer to a `tls-…` question of the tunnel. */
export function answerTunnel(tunnel: Tunnel, answer: MethodAnswer): TunnelStep {
  const { options, phase, session } = tunnel;
  if (phase.kind !== 'engine' || answer.kind !== 'tls-output')
    return fail(tunnel, 'out-of-order', 'an answer that nobody asked for');
  wipe(phase.writing);
  const { state, applicationData: data } = answer;
  if (state.kind === 'failed') return giveUp(tunnel, state.failure, answer.records);
  const records = concat(phase.records, answer.records);
  if (records.length > flightLimit) return fail(tunnel, 'tls', `our flight of ${records.length} octets is too long`);
  if (session) return takeData(tunnel, records, data, phase.writing !== undefined);
  if (state.kind === 'handshaking') {
    if (data.length > 0) return fail(tunnel, 'out-of-order', 'application data before the end of the TLS handshake');
    if (records.length === 0) return fail(tunnel, 'malformed', "a TLS flight that ends in the middle of the server's turn");
    return send(tunnel, records, 0);
  }
  // From here on the keys have an owner that overwrites them, also if it ends right away.
  const established: Tunnel = { ...tunnel, phase: { kind: 'method', records }, session: state };
  if (state.resumed && !options.resume)
    return fail(established, 'server-not-proven', 'the server resumed a TLS session that was not offered');
  if (state.keyMaterial.length !== keyMaterialLength)
    return fail(established, 'tls', `TLS exported ${state.keyMaterial.length} octets of key material`);
  // What comes before our Finished has left cannot be the server's word on us (RFC 9190 §2.1.1).
  if (data.length > 0 && records.length > 0)
    return fail(established, 'out-of-order', 'application data before our part of the TLS handshake');
  return { tunnel: established, news: { kind: 'established', session: state, data } };
}

/** The method sends `data` in the tunnel; the tunnel overwrites it once it is encrypted. Only when the method has the turn. */
export function writeTunnel(tunnel: Tunnel, data: Uint8Array): TunnelStep {
  const { options, phase } = tunnel;
  if (phase.kind !== 'method') throw new Error(`${options.name}: nothing can be written in phase "${phase.kind}"`);
  return {
    tunnel: { ...tunnel, phase: { kind: 'engine', records: phase.records, writing: data } },
    ask: { kind: 'tls-write', channel: options.channel, data },
  };
}

/** The method has nothing to say: what TLS has to say goes out, or an acknowledgement. Only when the method has the turn. */
export function flushTunnel(tunnel: Tunnel): TunnelStep {
  const { options, phase } = tunnel;
  if (phase.kind !== 'method') throw new Error(`${options.name}: nothing can be sent in phase "${phase.kind}"`);
  return send(tunnel, phase.records, 0);
}

/** Overwrites keys and plain text. */
export function forgetTunnel(tunnel: Tunnel): void {
  wipe(tunnel.session?.keyMaterial, tunnel.session?.challenge);
  if (tunnel.phase.kind === 'engine') wipe(tunnel.phase.writing);
  if (tunnel.phase.kind === 'server') wipe(...(tunnel.phase.assembly?.parts ?? []));
}

function start(tunnel: Tunnel): TunnelStep {
  const { channel, trust, keying, clientCertificate, resume } = tunnel.options;
  return {
    tunnel: { ...tunnel, phase: { kind: 'engine', records: none, writing: undefined } },
    ask: { kind: 'tls-start', channel, trust, keying, clientCertificate, resume },
  };
}

function receiveFragment(
  tunnel: Tunnel,
  assembly: Assembly | undefined,
  fragment: Extract<TlsPacket, { readonly kind: 'fragment' }>,
): TunnelStep {
  const assembled = assemble(assembly, fragment);
  switch (assembled.kind) {
    case 'malformed':
      return fail(tunnel, 'malformed', assembled.problem);
    case 'more':
      return { tunnel: { ...tunnel, phase: { kind: 'server', assembly: assembled.assembly } }, reply: writeAcknowledgement() };
    case 'whole': {
      const messages = tunnel.messages + 1;
      if (messages > messageLimit) return fail(tunnel, 'out-of-order', `more than ${messageLimit} TLS messages`);
      return {
        tunnel: { ...tunnel, phase: { kind: 'engine', records: none, writing: undefined }, messages },
        ask: { kind: 'tls-input', channel: tunnel.options.channel, records: assembled.records },
      };
    }
  }
}

/** The engine has done its work in an established tunnel: what the server said goes to the method, what the method said goes out. */
function takeData(tunnel: Tunnel, records: Uint8Array, data: Uint8Array, written: boolean): TunnelStep {
  if (!written) return { tunnel: { ...tunnel, phase: { kind: 'method', records } }, news: { kind: 'data', data } };
  if (data.length > 0) return fail(tunnel, 'out-of-order', 'application data out of turn');
  if (records.length === 0) return fail(tunnel, 'tls', 'the TLS engine encrypted nothing');
  return send(tunnel, records, 0);
}

/** Sends the next piece of a flight, or an acknowledgement if there is none. */
function send(tunnel: Tunnel, records: Uint8Array, offset: number): TunnelStep {
  const size = tunnel.options.channel === 'outer' ? fragmentSize : innerFragmentSize;
  const { typeData, next } =
    records.length === 0
      ? { typeData: writeAcknowledgement(), next: 0 }
      : writeFragment(records, offset, size, tunnel.options.announceLength);
  if (next < records.length) return { tunnel: { ...tunnel, phase: { kind: 'sending', records, next } }, reply: typeData };
  const waiting: Tunnel = { ...tunnel, phase: { kind: 'server', assembly: undefined } };
  return tunnel.session ? { tunnel: waiting, reply: typeData, news: { kind: 'sent' } } : { tunnel: waiting, reply: typeData };
}

/** Sends the alert, if the engine has one for the server, and ends with the engine's reason. */
function giveUp(tunnel: Tunnel, failure: NonNullable<EapFailure['tls']>, records: Uint8Array): TunnelStep {
  const step: TunnelStep = {
    tunnel: { ...tunnel, phase: { kind: 'ended' } },
    news: { kind: 'failed', failure: { kind: 'tls', detail: failure.detail, tls: failure } },
  };
  if (records.length === 0 || records.length > flightLimit) return step;
  return { ...step, reply: writeFragment(records, 0, fragmentSize, tunnel.options.announceLength).typeData };
}

function fail(tunnel: Tunnel, kind: EapFailure['kind'], problem: string): TunnelStep {
  const failure = { kind, detail: `${tunnel.options.name}: ${problem}` };
  return { tunnel: { ...tunnel, phase: { kind: 'ended' } }, news: { kind: 'failed', failure } };
}
