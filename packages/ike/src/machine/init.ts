import { concat, equal, sameAddress, wipe, type IpAddress } from '@aovpn/bytes';
import type { KeyPair } from '../crypto/port.ts';
import { deriveIkeKeys } from '../crypto/keymat.ts';
import type { Puzzle } from '../crypto/puzzle.ts';
import { decodeAuthAnnouncements, type AuthAnnouncement } from '../message/auth-announcement.ts';
import { encodeMessage } from '../message/encode.ts';
import type { DecodedHeader } from '../message/header.ts';
import { openDatagram } from '../message/open.ts';
import type { Message, Payload } from '../message/payload.ts';
import { acceptIkeProposal, buildIkeProposals, ikeSuiteOf } from '../message/proposal.ts';
import { emptyReassembly } from '../message/reassembly.ts';
import { announcedSignatureHashes } from '../registry/auth-method.ts';
import { describeError } from '../registry/error.ts';
import { checkExchange } from '../registry/exchange-rule.ts';
import { ExchangeType } from '../registry/exchange.ts';
import { NotifyType, nameOfNotify } from '../registry/notify.ts';
import { betterAnswerMs, cookieLimit, cookieWaitMs, nonceLength, puzzleMs } from './choice.ts';
import type { IkeFailure } from './contract.ts';
import { startIntermediate } from './intermediate.ts';
import { recordReceived, recordSent } from '../trace/message-record.ts';
import { buildNatDetection, processNatDetection } from './natd.ts';
import { notify, pick, pickAll, pickError, pickNonce, pickNotify } from './pick.ts';
import { mixesPpkEarly } from './ppk.ts';
import { askForSolution, readPuzzle } from './puzzle.ts';
import { buildRedirectSupport, processInitRedirect } from './redirect.ts';
import type { InitOffer, Phase } from './state.ts';
import { currentOf, debug, emit, fail, finish, info, update, updateAssociation, type Turn } from './turn.ts';
import { sendFirst } from './window.ts';

type AwaitBetter = Extract<Phase, { readonly name: 'init-await-better' }>;

/**
 * IKE_SA_INIT (RFC 7296 §1.2). Nothing in its answer is authenticated until IKE_AUTH is done, so no answer ends the SA at once:
 * errors and nonsense wait for something better ({@link betterAnswerMs}), cookies for a moment ({@link cookieWaitMs}).
 */
export function startInit(turn: Turn): void {
  const { ikeProposals } = turn.sa.config;
  const group = ikeProposals[0]?.ke[0];
  if (group === undefined) return fail(turn, { kind: 'no-proposal-chosen', what: 'ike' });
  sendInit(turn, {
    proposals: buildIkeProposals(ikeProposals),
    nonce: turn.crypto.random(nonceLength),
    keyPair: turn.crypto.generateKeyPair(group),
    triedGroups: [group],
    cookie: undefined,
    cookies: 0,
    solution: undefined,
    earlier: [],
  });
}

/** A datagram while nothing is protected yet. */
export function processInit(turn: Turn, datagram: Uint8Array, header: DecodedHeader, from: IpAddress, fromPort: number): void {
  const { phase, path } = turn.sa;
  if (phase.name !== 'init-await-response' && phase.name !== 'init-await-better') return;
  if (!sameAddress(from, path.remote) || fromPort !== path.remotePort) return debug(turn, 'not from the gateway: ignored');
  if (header.exchange !== ExchangeType.IKE_SA_INIT || !header.response || header.fromInitiator || header.messageId !== 0) {
    return debug(turn, 'not an answer to IKE_SA_INIT: ignored');
  }
  const outcome = openDatagram(turn.crypto, datagram, { reassembly: emptyReassembly });
  switch (outcome.kind) {
    case 'message':
      emit(turn, {
        kind: 'message',
        record: recordReceived(datagram, 'unproven', { payloads: outcome.message.payloads, tookMs: sinceFirst(turn) }),
      });
      return processAnswer(turn, phase.init, outcome.message, datagram);
    case 'refuse':
      return doubt(turn, { kind: 'invalid-syntax', detail: describeError(outcome.error) });
    case 'partial':
      return debug(turn, 'a fragment in IKE_SA_INIT: ignored');
    case 'ignore':
      return debug(turn, `ignored: ${outcome.why}`);
  }
}

/** No better answer came. */
export function processInitDeadline(turn: Turn): void {
  const { phase } = turn.sa;
  if (phase.name !== 'init-await-better' || phase.until > turn.now) return;
  const { cookie, failure, redirect, puzzle } = phase;
  if (redirect) return finish(turn, { kind: 'redirected', to: redirect, proven: false });
  if (!cookie) return fail(turn, failure);
  if (!puzzle || phase.question !== undefined) return sendSolved(turn, phase, undefined);
  const question = askForSolution(turn, puzzle, cookie);
  update(turn, { phase: { ...phase, question, until: turn.now + puzzleMs } });
}

/** The cookie goes back, with the solution of the puzzle that came with it, if there is one. */
export function sendSolved(turn: Turn, { init, cookie }: AwaitBetter, solution: Uint8Array | undefined): void {
  sendInit(turn, { ...init, ...before(init), cookie, cookies: init.cookies + 1, solution });
}

function processAnswer(turn: Turn, init: InitOffer, message: Message, datagram: Uint8Array): void {
  const { payloads } = message;
  const cookie = pickNotify(payloads, NotifyType.COOKIE);
  if (cookie && !pick(payloads, 'SA')) return processCookie(turn, init, cookie.data, readPuzzle(payloads));
  // RFC 8019 §7.1.2: a puzzle without the cookie that it is about is malformed.
  if (!pick(payloads, 'SA') && pickNotify(payloads, NotifyType.PUZZLE)) return debug(turn, 'a puzzle without a cookie: ignored');
  const redirect = pickNotify(payloads, NotifyType.REDIRECT);
  if (redirect && !pick(payloads, 'SA')) return processInitRedirect(turn, init, redirect.data);
  const error = pickError(payloads);
  if (error) {
    if (error.type === NotifyType.INVALID_KE_PAYLOAD) return processInvalidKe(turn, init, error.data);
    // Once is enough for a log: whoever forges one forges many.
    const tell = turn.sa.phase.name === 'init-await-response' ? info : debug;
    tell(turn, `the gateway, or somebody in its name, says ${nameOfNotify(error.type)}`);
    return doubt(
      turn,
      error.type === NotifyType.NO_PROPOSAL_CHOSEN
        ? { kind: 'no-proposal-chosen', what: 'ike' }
        : { kind: 'notify', type: error.type, name: nameOfNotify(error.type), phase: 'IKE_SA_INIT' },
    );
  }
  const violation = checkExchange(message, 'ike-sa-init')[0];
  if (violation) return doubt(turn, { kind: 'invalid-syntax', detail: `${violation.payload} ${violation.what}` });
  const sa = pick(payloads, 'SA');
  const ke = pick(payloads, 'KE');
  const nonceR = pickNonce(payloads);
  if (!sa || !ke || !nonceR || message.header.spiR.every((octet) => octet === 0)) {
    return doubt(turn, { kind: 'invalid-syntax', detail: 'IKE_SA_INIT answer without SA, KE, nonce or SPI' });
  }
  // RFC 8784 §3: whoever needs the PPK stops here; AUTH would tell whether somebody took the word out.
  if (turn.sa.config.ppk?.required && !pickNotify(payloads, NotifyType.USE_PPK) && !mixesPpkEarly(turn, payloads))
    return doubt(turn, { kind: 'not-supported', what: 'ppk' });
  const suite = acceptIkeProposal(init.proposals, sa.proposals);
  if ('problem' in suite) return doubt(turn, { kind: 'protocol', detail: suite.problem });
  // The answer to an earlier request is as good: whatever made us send another one may have been forged.
  const asked = [init, ...init.earlier].find(({ keyPair }) => keyPair.group === ke.group);
  if (!asked || suite.ke !== ke.group) {
    return doubt(turn, { kind: 'protocol', detail: `key exchange with group ${ke.group}, ours was ${init.keyPair.group}` });
  }
  const sharedSecret = turn.crypto.sharedSecret(asked.keyPair, ke.data);
  if (!sharedSecret) return doubt(turn, { kind: 'protocol', detail: 'the public value is not acceptable' });
  // RFC 9370 §2.2.2: more key exchanges need an exchange for them.
  if (suite.additionalKe && !pickNotify(payloads, NotifyType.INTERMEDIATE_EXCHANGE_SUPPORTED))
    return doubt(turn, { kind: 'protocol', detail: 'additional key exchanges without IKE_INTERMEDIATE' });
  const current = currentOf(turn.sa);
  const { spiI } = current;
  const { spiR } = message.header;
  const keys = deriveIkeKeys(turn.crypto, suite, { sharedSecret, nonceI: init.nonce, nonceR, spiI, spiR });
  wipe(sharedSecret);
  updateAssociation(turn, current.id, {
    spiR: spiR.slice(),
    outstanding: undefined,
    protection: {
      suite: ikeSuiteOf(suite),
      send: keys.initiator,
      receive: keys.responder,
      skD: keys.skD,
      skPi: keys.skPi,
      skPr: keys.skPr,
    },
  });
  learnPeer(turn, payloads);
  emit(turn, { kind: 'answered' });
  startIntermediate(turn, { ...init, request: asked.request, keyPair: asked.keyPair }, nonceR.slice(), datagram.slice());
}

/** What the gateway says of itself while nothing is protected yet. */
export function learnPeer(turn: Turn, payloads: readonly Payload[]): void {
  const { config, peer } = turn.sa;
  const hashes = pickNotify(payloads, NotifyType.SIGNATURE_HASH_ALGORITHMS);
  const nat = processNatDetection(turn, currentOf(turn.sa), payloads);
  if (!nat) info(turn, 'the gateway does not detect NATs');
  update(turn, {
    peer: {
      ...peer,
      ...nat,
      fragmentation: config.fragmentation && pickNotify(payloads, NotifyType.IKEV2_FRAGMENTATION_SUPPORTED) !== undefined,
      hashes: hashes && readHashes(hashes.data),
      authMethods: readAuthMethods(payloads),
      multipleAuth: pickNotify(payloads, NotifyType.MULTIPLE_AUTH_SUPPORTED) !== undefined,
      fetchesCertificates: pickNotify(payloads, NotifyType.HTTP_CERT_LOOKUP_SUPPORTED) !== undefined,
      childless: pickNotify(payloads, NotifyType.CHILDLESS_IKEV2_SUPPORTED) !== undefined,
      ppk: pickNotify(payloads, NotifyType.USE_PPK) !== undefined,
      ppkEarly: mixesPpkEarly(turn, payloads),
      puzzle: readPuzzle(payloads),
    },
  });
}

/**
 * Which methods the gateway understands (RFC 9593 §3.1); several notifications are one list. Undefined: it says nothing of them. An empty list only
 * says that it comes in IKE_INTERMEDIATE, should there be one.
 */
export function readAuthMethods(payloads: readonly Payload[]): readonly AuthAnnouncement[] | undefined {
  const lists = pickAll(payloads, 'N').filter(({ type }) => type === NotifyType.SUPPORTED_AUTH_METHODS);
  return lists.length > 0 ? decodeAuthAnnouncements(concat(...lists.map(({ data }) => data))) : undefined;
}

function processCookie(turn: Turn, init: InitOffer, cookie: Uint8Array, puzzle: Puzzle | undefined): void {
  // RFC 7296 §2.6: 1 to 64 octets.
  if (cookie.length < 1 || cookie.length > 64) return doubt(turn, { kind: 'invalid-syntax', detail: 'cookie' });
  if (init.cookie && equal(init.cookie, cookie)) return debug(turn, 'the same cookie again: ignored');
  if (init.cookies >= cookieLimit) return doubt(turn, { kind: 'protocol', detail: 'one cookie after the other' });
  const { phase } = turn.sa;
  // What is being worked for is finished first; a gateway that meant another says so again.
  if (phase.name === 'init-await-better' && phase.question !== undefined) return;
  debug(turn, 'the gateway, or somebody in its name, asks for a cookie');
  const waiting = phase.name === 'init-await-better' && phase.cookie !== undefined;
  update(turn, {
    phase: {
      name: 'init-await-better',
      init,
      failure: { kind: 'protocol', detail: 'one cookie after the other' },
      cookie: cookie.slice(),
      ...(puzzle && { puzzle }),
      until: waiting ? phase.until : turn.now + cookieWaitMs,
    },
  });
}

function processInvalidKe(turn: Turn, init: InitOffer, data: Uint8Array): void {
  const wanted = data.length === 2 ? (data[0]! << 8) | data[1]! : 0;
  const offered = turn.sa.config.ikeProposals.some(({ ke }) => ke.includes(wanted));
  // A group is tried once: a late copy of this answer must not end in a loop.
  if (!offered || init.triedGroups.includes(wanted)) return doubt(turn, { kind: 'invalid-ke', wanted });
  info(turn, `the gateway wants group ${wanted}`);
  const keyPair = turn.crypto.generateKeyPair(wanted);
  sendInit(turn, { ...init, ...before(init), keyPair, triedGroups: [...init.triedGroups, wanted] });
}

function before({ request, keyPair, earlier }: InitOffer): Pick<InitOffer, 'earlier'> {
  return { earlier: [{ request, keyPair }, ...earlier] };
}

/** Keeps a bad answer until a better one comes, or until no better one has come for a while. The first one counts. */
function doubt(turn: Turn, failure: IkeFailure): void {
  const { phase } = turn.sa;
  if (phase.name !== 'init-await-response') return;
  update(turn, {
    phase: { name: 'init-await-better', init: phase.init, failure, cookie: undefined, until: turn.now + betterAnswerMs },
  });
}

function sendInit(turn: Turn, offer: Omit<InitOffer, 'request'>): void {
  const current = currentOf(turn.sa);
  const header = {
    spiI: current.spiI,
    spiR: current.spiR,
    exchange: ExchangeType.IKE_SA_INIT,
    fromInitiator: true,
    response: false,
    messageId: 0,
  };
  const payloads = buildInit(turn, offer, offer.keyPair);
  const request = encodeMessage({ header, payloads });
  emit(turn, { kind: 'message', record: recordSent(header, payloads, [request]) });
  update(turn, { phase: { name: 'init-await-response', init: { ...offer, request } } });
  updateAssociation(turn, current.id, { nextRequest: 1 });
  sendFirst(turn, current.id, 0, ExchangeType.IKE_SA_INIT, [request], { kind: 'init' });
}

function buildInit(turn: Turn, { cookie, solution, proposals, nonce }: Omit<InitOffer, 'request'>, keyPair: KeyPair): Payload[] {
  const { spiI, spiR } = currentOf(turn.sa);
  return [
    ...(cookie ? [notify(NotifyType.COOKIE, cookie)] : []),
    ...(solution ? [{ kind: 'PS', solution } as const] : []),
    { kind: 'SA', proposals },
    { kind: 'KE', group: keyPair.group, data: keyPair.publicValue },
    { kind: 'NONCE', data: nonce },
    ...buildNatDetection(turn, spiI, spiR),
    ...buildRedirectSupport(turn.sa.config),
    ...(turn.sa.config.ppk || turn.sa.config.ikeProposals.some(({ additionalKe }) => additionalKe)
      ? [notify(NotifyType.INTERMEDIATE_EXCHANGE_SUPPORTED)]
      : []),
    ...(turn.sa.config.fragmentation ? [notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED)] : []),
    notify(
      NotifyType.SIGNATURE_HASH_ALGORITHMS,
      concat(...announcedSignatureHashes.map((hash) => Uint8Array.of(hash >> 8, hash & 0xff))),
    ),
    // The gateway chooses one of the two (RFC 9867 §3.1).
    ...(turn.sa.config.ppk ? [notify(NotifyType.USE_PPK), notify(NotifyType.USE_PPK_INT)] : []),
  ];
}

function readHashes(data: Uint8Array): number[] {
  const hashes: number[] = [];
  for (let i = 0; i + 1 < data.length; i += 2) hashes.push((data[i]! << 8) | data[i + 1]!);
  return hashes;
}

/** Milliseconds since the request that is out was sent for the first time. */
function sinceFirst(turn: Turn): number | undefined {
  const sentAt = currentOf(turn.sa).outstanding?.firstSentAt;
  return sentAt === undefined ? undefined : turn.now - sentAt;
}
