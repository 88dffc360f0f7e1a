import { encodeUtf8, equal } from '@aovpn/bytes';
import { deriveChildKeys, deriveIkeKeys, deriveRekeyedIkeKeys } from '../src/crypto/keymat.ts';
import type { KeyPair } from '../src/crypto/port.ts';
import type { ChildProposalConfig, IkeProposalConfig } from '../src/machine/contract.ts';
import {
  compareNonces,
  lowerNonce,
  notify,
  pick,
  pickAll,
  pickError,
  pickNotify,
  spiNumber,
  spiOctets,
} from '../src/machine/pick.ts';
import { encodeAuthAnnouncements, type AuthAnnouncement } from '../src/message/auth-announcement.ts';
import { encodeMessage } from '../src/message/encode.ts';
import { decodeHeader } from '../src/message/header.ts';
import { openDatagram } from '../src/message/open.ts';
import type { ConfigAttribute, Identity, Message, Payload, TrafficSelector } from '../src/message/payload.ts';
import {
  acceptChildProposal,
  acceptIkeProposal,
  buildChildProposals,
  buildIkeProposals,
  selectChildProposal,
  selectIkeProposal,
} from '../src/message/proposal.ts';
import { emptyReassembly } from '../src/message/reassembly.ts';
import { sealMessage } from '../src/message/seal.ts';
import type { EapServer } from './tls-method.ts';
import { newSpi, ResponderAuth, type InitExchange, type ResponderCredentials } from './responder-auth.ts';
import { ResponderAdditional } from './responder-additional.ts';
import { answerResume, crashTokenOf, grantTicket, type TicketStore } from './responder-memory.ts';
import { freshIke, type ResponderChild, type ResponderIke } from './responder-sa.ts';
import type { TestCrypto } from './test-crypto.ts';
import { childProposals, ikeProposals } from './world.ts';

const [INIT, AUTH, CREATE, INFO, RESUME, INTERMEDIATE, FOLLOWUP] = [34, 35, 36, 37, 38, 43, 44];

export interface ResponderOptions {
  ikeProposals?: readonly IkeProposalConfig[];
  childProposals?: readonly ChildProposalConfig[];
  cookie?: boolean;
  fragmentation?: boolean;
  mobike?: boolean;
  eap?: boolean;
  /** EAP-MSCHAPv2 without it. */
  eapServer?: EapServer;
  /** Leaves certificate and signature out when the client allows it (RFC 5998), or `always`. */
  eapOnly?: boolean | 'always';
  tsi?: readonly TrafficSelector[];
  tsr?: readonly TrafficSelector[];
  configuration?: readonly ConfigAttribute[];
  credentials?: ResponderCredentials;
  /** Changes what the responder's own AUTH covers of IKE_INTERMEDIATE exchanges. */
  changeIntAuth?: (intAuth: Uint8Array) => Uint8Array;
  /** IDr, when it is not the name of the credentials. */
  identity?: Identity;
  /** Proves itself with it, and wants the same of clients that show no certificate. */
  sharedKey?: Uint8Array;
  /** Sends its key without a certificate (RFC 7670): in a CERT payload, or not at all. */
  rawKey?: 'sent' | 'known';
  /** RFC 4739: a certificate first, then EAP. */
  multipleAuth?: boolean;
  /** RFC 6023 */
  childless?: boolean;
  /** RFC 8784 */
  ppk?: { readonly identity: Uint8Array; readonly key: Uint8Array };
  /** RFC 6290: what tokens are made from. */
  crashSecret?: Uint8Array;
  /** RFC 5723: what it remembers of tickets, across restarts and IKE SAs. */
  tickets?: TicketStore;
  /** RFC 4478, seconds. */
  authLifetime?: number;
  /** RFC 9593 */
  authMethods?: readonly AuthAnnouncement[];
  /** RFC 4806: OCSP responses for clients that ask. */
  ocspResponses?: readonly Uint8Array[];
  /** Impairs an answer before it is protected; undefined sends nothing. */
  impair?: (payloads: readonly Payload[], request: Message) => readonly Payload[] | undefined;
}

/** A small IKEv2 responder, written apart from the machine that it tests: mutable, talkative, and easily told to misbehave. */
export class Responder {
  readonly options: ResponderOptions;
  /** Everything that came in and could be read, newest last. */
  readonly heard: Message[] = [];
  readonly children = new Map<number, ResponderChild>();
  /** Newest last; the one in use is {@link current}. */
  readonly ikes: ResponderIke[] = [];
  /** Requests and answers to be delivered, in order. */
  readonly sent: Uint8Array[] = [];
  readonly crypto: TestCrypto;
  closed = false;
  /** After a rekey of its own: delete what was replaced, or what lost (RFC 7296 §2.8.1). */
  tidy = true;
  #init: InitExchange | undefined;
  readonly #auth: ResponderAuth;
  readonly #additional: ResponderAdditional;
  /** Own rekeys under way: what the peer did to the same SA meanwhile. */
  #childRival: { readonly old: number; lowest: Uint8Array; spiIn: number } | undefined;
  #childRekeying: number | undefined;
  #ikeRival: { lowest: Uint8Array; ike: ResponderIke } | undefined;
  #ikeRekeying = false;
  #deleting: number | undefined;
  /** CHILD_SAs to be deleted when the window is free. */
  readonly #owed: number[] = [];
  #vanished = false;

  constructor(crypto: TestCrypto, options: ResponderOptions = {}) {
    this.crypto = crypto;
    this.options = options;
    this.#auth = new ResponderAuth(crypto, options, this.children);
    this.#additional = new ResponderAdditional(crypto);
  }

  get current(): ResponderIke {
    const ike = this.ikes.findLast(({ gone }) => !gone);
    if (!ike) throw new Error('the responder has no IKE SA');
    return ike;
  }

  take(): Uint8Array[] {
    return this.sent.splice(0);
  }

  /** Answers the next IKE_SA_INIT anew, even when it is a repetition. */
  forgetInit(): void {
    this.#init = undefined;
  }

  receive(...datagrams: readonly Uint8Array[]): void {
    for (const datagram of datagrams) this.#receive(datagram);
  }

  /** Sends a request; `done` sees the answer. */
  request(exchange: number, payloads: readonly Payload[], done: (message: Message) => void = () => {}, ike = this.current): void {
    if (ike.outstanding) throw new Error('the responder has a request out');
    const messageId = ike.nextRequest++;
    const datagrams = this.seal(ike, exchange, messageId, false, payloads);
    ike.outstanding = { messageId, datagrams, done };
    this.sent.push(...datagrams);
  }

  retransmit(): void {
    const isFree = this.ikes.some(({ gone }) => !gone) && !this.current.outstanding;
    const owed = isFree ? this.#owed.shift() : undefined;
    if (owed !== undefined) this.deleteChild(owed);
    for (const ike of this.ikes) if (ike.outstanding && !ike.gone) this.sent.push(...ike.outstanding.datagrams);
  }

  /** Gives up without a word, and is not heard of again. */
  vanish(): void {
    this.#vanished = true;
    for (const ike of this.ikes) ike.gone = true;
    this.children.clear();
    this.closed = true;
  }

  seal(ike: ResponderIke, exchange: number, messageId: number, response: boolean, payloads: readonly Payload[]): Uint8Array[] {
    const header = { spiI: ike.spiI, spiR: ike.spiR, exchange, fromInitiator: ike.initiator, response, messageId };
    return sealMessage(
      this.crypto,
      ike.suite,
      ike.send,
      { header, payloads },
      this.options.fragmentation === false ? undefined : 1280,
    );
  }

  rekeyChild(
    old: ResponderChild,
    more: { readonly group?: number; readonly tsi?: readonly TrafficSelector[]; readonly tsr?: readonly TrafficSelector[] } = {},
  ): void {
    const { crypto } = this;
    const spiIn = newSpi(this.crypto);
    const nonceI = crypto.random(32);
    const pair = crypto.generateKeyPair(more.group ?? 31);
    const offered = buildChildProposals(this.#childProposals, spiIn, true, 31);
    const ike = this.current;
    this.#childRekeying = old.spiIn;
    const payloads: Payload[] = [
      { ...notify(16393), protocol: 3, spi: spiOctets(old.spiIn) },
      { kind: 'SA', proposals: offered },
      { kind: 'NONCE', data: nonceI },
      { kind: 'KE', group: pair.group, data: pair.publicValue },
      { kind: 'TSi', selectors: more.tsr ?? old.tsr },
      { kind: 'TSr', selectors: more.tsi ?? old.tsi },
    ];
    this.request(CREATE, payloads, (message) => {
      this.#childRekeying = undefined;
      const rival = this.#childRival?.old === old.spiIn ? this.#childRival : undefined;
      this.#childRival = undefined;
      if (pickError(message.payloads)) return;
      const made = acceptChildProposal(offered, pick(message.payloads, 'SA')!.proposals);
      if ('problem' in made) throw new Error(made.problem);
      const nonceR = pick(message.payloads, 'NONCE')!.data;
      const sharedSecret = made.ke === 0 ? undefined : crypto.sharedSecret(pair, pick(message.payloads, 'KE')!.data);
      this.#followUp(made.additionalKe, message.payloads, [], (additionalSecrets) => {
        const input = { nonceI, nonceR, sharedSecret, additionalSecrets };
        const keys = deriveChildKeys(crypto, ike.suite.prf, ike.skD, made.suite, input);
        const tsr = pick(message.payloads, 'TSi')!.selectors;
        const tsi = pick(message.payloads, 'TSr')!.selectors;
        this.children.set(spiIn, { spiIn, spiOut: made.spi, inbound: keys.responder, outbound: keys.initiator, tsi, tsr });
        if (!this.tidy || this.ikes.every(({ gone }) => gone)) return;
        const lost = rival && compareNonces(lowerNonce(nonceI, nonceR), rival.lowest) < 0;
        this.deleteChild(lost ? spiIn : old.spiIn);
      });
    });
  }

  deleteChild(spiIn: number): void {
    if (this.current.outstanding) return void this.#owed.push(spiIn);
    this.#deleting = spiIn;
    this.request(INFO, [{ kind: 'D', protocol: 3, spis: [spiOctets(spiIn)] }], () => {
      this.#deleting = undefined;
      this.children.delete(spiIn);
    });
  }

  rekeyIke(group = 31): void {
    const { crypto } = this;
    const old = this.current;
    const spiI = crypto.random(8);
    const nonceI = crypto.random(32);
    const pair = crypto.generateKeyPair(group);
    const offered = buildIkeProposals(this.#ikeProposals, spiI);
    this.#ikeRekeying = true;
    const payloads: Payload[] = [
      { kind: 'SA', proposals: offered },
      { kind: 'NONCE', data: nonceI },
      { kind: 'KE', group: pair.group, data: pair.publicValue },
    ];
    this.request(CREATE, payloads, (message) => {
      const rival = this.#ikeRival;
      this.#ikeRekeying = false;
      this.#ikeRival = undefined;
      if (pickError(message.payloads)) return;
      const suite = acceptIkeProposal(offered, pick(message.payloads, 'SA')!.proposals);
      if ('problem' in suite) throw new Error(suite.problem);
      const nonceR = pick(message.payloads, 'NONCE')!.data;
      const sharedSecret = crypto.sharedSecret(pair, pick(message.payloads, 'KE')!.data)!;
      const spis = { spiI, spiR: suite.spi };
      this.#followUp(suite.additionalKe ?? [], message.payloads, [], (additionalSecrets) => {
        const input = { sharedSecret, additionalSecrets, nonceI, nonceR, ...spis };
        const keys = deriveRekeyedIkeKeys(crypto, { prf: old.suite.prf, skD: old.skD }, suite, input);
        const made = freshIke(spis, suite, keys.initiator, keys.responder, keys, true);
        const lost = rival && compareNonces(lowerNonce(nonceI, nonceR), rival.lowest) < 0;
        if (lost) this.ikes.splice(this.ikes.length - 1, 0, made);
        else this.ikes.push(made);
        if (this.tidy) this.deleteIke(lost ? made : old);
      });
    });
  }

  /** IKE_FOLLOWUP_KE requests for a rekey of ours, one after the other; `done` gets their secrets. */
  #followUp(
    [method, ...rest]: readonly number[],
    payloads: readonly Payload[],
    secrets: readonly Uint8Array[],
    done: (secrets: readonly Uint8Array[]) => void,
  ): void {
    if (method === undefined) return done(secrets);
    const pair = this.crypto.generateKeyPair(method);
    const link = pickNotify(payloads, 16441)!;
    this.request(FOLLOWUP, [{ kind: 'KE', group: method, data: pair.publicValue }, notify(16441, link.data)], (message) => {
      if (pickError(message.payloads)) return;
      const secret = this.crypto.sharedSecret(pair, pick(message.payloads, 'KE')!.data)!;
      this.#followUp(rest, message.payloads, [...secrets, secret], done);
    });
  }

  deleteIke(ike = this.current): void {
    ike.deleting = true;
    this.request(INFO, [{ kind: 'D', protocol: 1, spis: [] }], () => (ike.gone = true), ike);
  }

  #receive(datagram: Uint8Array): void {
    if (this.#vanished) return;
    const header = decodeHeader(datagram);
    if (!header) return;
    if (header.exchange === INIT) return this.#receiveInit(datagram);
    if (header.exchange === RESUME) return this.#receiveResume(datagram);
    const ike = this.ikes.find(({ spiI, spiR }) => equal(spiI, header.spiI) && equal(spiR, header.spiR));
    if (!ike) return;
    const outcome = openDatagram(this.crypto, datagram, { suite: ike.suite, keys: ike.receive, reassembly: ike.reassembly });
    if (outcome.kind === 'ignore') {
      // Asked under the keys of before an IKE_INTERMEDIATE: its answer is lost.
      if (ike.asked && equal(ike.asked, datagram)) this.sent.push(...ike.answer);
      return;
    }
    if (outcome.kind === 'refuse') throw new Error(`the client sent something malformed: ${JSON.stringify(outcome.error)}`);
    const old = !header.response && header.messageId === ike.nextExpected - 1;
    if (old) {
      if (outcome.kind === 'message' || (datagram[32] === 0 && datagram[33] === 1)) this.sent.push(...ike.answer);
      return;
    }
    ike.reassembly = outcome.reassembly;
    if (outcome.kind !== 'message') return;
    const { message } = outcome;
    if (header.response) {
      if (ike.outstanding?.messageId !== header.messageId) return;
      const { done } = ike.outstanding;
      ike.outstanding = undefined;
      this.heard.push(message);
      return done(message);
    }
    if (header.messageId !== ike.nextExpected || (ike.gone && header.exchange === CREATE)) return;
    ike.nextExpected++;
    this.heard.push(message);
    const answer = this.#answer(ike, message);
    const impaired = this.options.impair ? this.options.impair(answer, message) : answer;
    ike.answer = impaired ? this.seal(ike, header.exchange, header.messageId, true, impaired) : [];
    this.sent.push(...ike.answer);
    if (header.exchange === INTERMEDIATE && impaired) ike.asked = datagram;
    if (header.exchange === INTERMEDIATE && impaired)
      this.#additional.complete(ike, this.#init!, message, outcome.authenticated!, impaired);
  }

  #answer(ike: ResponderIke, message: Message): readonly Payload[] {
    if (message.header.exchange === AUTH) return this.#auth.answer(ike, message, this.#init!);
    if (message.header.exchange === CREATE) return this.#answerCreate(ike, message);
    if (message.header.exchange === INTERMEDIATE) return this.#additional.answer(message);
    if (message.header.exchange === FOLLOWUP) return this.#additional.followUp(message);
    const { payloads } = message;
    if (pickAll(payloads, 'D').some(({ protocol }) => protocol === 1)) {
      // Only the Delete of the last one ends everything.
      if (!ike.gone && this.ikes.filter((other) => !other.gone).length === 1) this.closed = true;
      ike.gone = true;
      this.#abandon(ike);
      return [];
    }
    const spis: Uint8Array[] = [];
    for (const octets of pickAll(payloads, 'D').flatMap((payload) => payload.spis)) {
      const child = [...this.children.values()].find(({ spiOut }) => spiOut === spiNumber(octets));
      if (!child) continue;
      this.children.delete(child.spiIn);
      spis.push(spiOctets(child.spiIn));
    }
    if (pickNotify(payloads, 16410)) return grantTicket(this.crypto, ike, this.options.tickets);
    const updated = pickNotify(payloads, 16400)
      ? [notify(16388, new Uint8Array(20)), notify(16389, new Uint8Array(20).fill(1))]
      : [];
    return [...(spis.length > 0 ? [{ kind: 'D', protocol: 3, spis } as const] : []), ...updated];
  }

  #receiveInit(datagram: Uint8Array): void {
    const { crypto } = this;
    if (this.#init && equal(this.#init.request, datagram)) {
      this.sent.push(this.#init.response);
      return;
    }
    const outcome = openDatagram(crypto, datagram, { reassembly: emptyReassembly });
    if (outcome.kind !== 'message') throw new Error(`IKE_SA_INIT: ${outcome.kind}`);
    const { message } = outcome;
    const { payloads, header } = message;
    this.heard.push(message);
    const reply = (spiR: Uint8Array, answer: readonly Payload[]): Uint8Array | undefined => {
      const impaired = this.options.impair ? this.options.impair(answer, message) : answer;
      if (!impaired) return undefined;
      const response = encodeMessage({ header: { ...header, spiR, fromInitiator: false, response: true }, payloads: impaired });
      this.sent.push(response);
      return response;
    };
    const none = new Uint8Array(8);
    const cookie = encodeUtf8('a cookie from the gateway');
    const given = pickNotify(payloads, 16390);
    if (this.options.cookie && !(given && equal(given.data, cookie))) return void reply(none, [notify(16390, cookie)]);
    const ke = pick(payloads, 'KE')!;
    const offered = pick(payloads, 'SA')!.proposals.map((proposal) => ({ ...proposal, spi: new Uint8Array(8).fill(1) }));
    const chosen = selectIkeProposal(this.#ikeProposals, offered);
    if ('problem' in chosen) return void reply(none, [notify(14)]);
    if (chosen.ke !== ke.group) return void reply(none, [notify(17, Uint8Array.of(0, chosen.ke))]);
    const exchange = crypto.answerKeyExchange(chosen.ke, ke.data);
    if (!exchange) throw new Error('the client’s public value');
    const { sharedSecret } = exchange;
    const nonceI = pick(payloads, 'NONCE')!.data;
    const nonceR = crypto.random(32);
    const spis = { spiI: header.spiI, spiR: crypto.random(8) };
    const keys = deriveIkeKeys(crypto, chosen, { sharedSecret, nonceI, nonceR, ...spis });
    this.ikes.length = 0;
    this.ikes.push({ ...freshIke(spis, chosen, keys.responder, keys.initiator, keys, false), nextExpected: 1 });
    const { authorities } = this.options.credentials ?? {};
    const response = reply(spis.spiR, [
      { kind: 'SA', proposals: [{ ...chosen.reply, spi: new Uint8Array(0) }] },
      { kind: 'KE', group: chosen.ke, data: exchange.publicValue },
      { kind: 'NONCE', data: nonceR },
      ...(pickNotify(payloads, 16438) ? [notify(16438)] : []),
      notify(16388, new Uint8Array(20)),
      notify(16389, new Uint8Array(20)),
      ...(this.options.fragmentation === false ? [] : [notify(16430)]),
      notify(16431, Uint8Array.of(0, 2, 0, 3, 0, 4)),
      ...(authorities ? [{ kind: 'CERTREQ', encoding: 4, authorities } as const] : []),
      ...(this.options.multipleAuth ? [notify(16404)] : []),
      ...(this.options.childless ? [notify(16418)] : []),
      ...(this.options.ppk && pickNotify(payloads, 16435) ? [notify(16435)] : []),
      ...(this.options.authMethods ? [notify(16443, encodeAuthAnnouncements(this.options.authMethods))] : []),
    ]);
    const none8 = new Uint8Array(0);
    this.#init = { request: datagram, response: response ?? none8, nonceI, nonceR, saidI: none8, saidR: none8 };
  }

  #receiveResume(datagram: Uint8Array): void {
    if (this.#init && equal(this.#init.request, datagram)) {
      this.sent.push(this.#init.response);
      return;
    }
    const outcome = openDatagram(this.crypto, datagram, { reassembly: emptyReassembly });
    if (outcome.kind !== 'message') throw new Error(`IKE_SESSION_RESUME: ${outcome.kind}`);
    const { message } = outcome;
    this.heard.push(message);
    const answer = answerResume(this.crypto, message, this.options.tickets);
    const impaired = this.options.impair ? this.options.impair(answer.payloads, message) : answer.payloads;
    if (!impaired) return;
    const header = { ...message.header, spiR: answer.ike?.spiR ?? new Uint8Array(8), fromInitiator: false, response: true };
    const response = encodeMessage({ header, payloads: impaired });
    this.sent.push(response);
    if (!answer.ike) return;
    this.ikes.length = 0;
    this.ikes.push({ ...answer.ike, nextExpected: 1 });
    const none = new Uint8Array(0);
    this.#init = { request: datagram, response, nonceI: answer.nonceI, nonceR: answer.nonceR, saidI: none, saidR: none };
  }

  #answerCreate(ike: ResponderIke, { payloads }: Message): readonly Payload[] {
    // RFC 7296 §2.25.2: not on one that is being deleted, or has been replaced.
    if (ike.deleting || (ike !== this.current && !this.#ikeRekeying)) return [notify(43)];
    const offered = pick(payloads, 'SA')!.proposals;
    return offered[0]?.protocol === 1 ? this.#answerIkeRekey(ike, payloads) : this.#answerChild(ike, payloads);
  }

  #answerChild(ike: ResponderIke, payloads: readonly Payload[]): readonly Payload[] {
    const { crypto } = this;
    const rekey = pickNotify(payloads, 16393);
    const old = rekey && [...this.children.values()].find(({ spiOut }) => spiOut === spiNumber(rekey.spi));
    if (rekey && !old) return [{ ...notify(44), protocol: 3, spi: rekey.spi }];
    if (this.#ikeRekeying || (old && this.#deleting === old.spiIn)) return [notify(43)];
    const ke = pick(payloads, 'KE');
    const chosen = selectChildProposal(this.#childProposals, pick(payloads, 'SA')!.proposals, { ikeGroup: ike.suite.ke });
    if ('problem' in chosen) return [notify(14)];
    if (chosen.ke !== 0 && chosen.ke !== ke?.group) return [notify(17, Uint8Array.of(0, chosen.ke))];
    const pair: KeyPair | undefined = chosen.ke === 0 ? undefined : crypto.generateKeyPair(chosen.ke);
    const sharedSecret = pair && crypto.sharedSecret(pair, ke!.data);
    const nonceI = pick(payloads, 'NONCE')!.data;
    const nonceR = crypto.random(32);
    const spiIn = newSpi(this.crypto);
    const tsi = pick(payloads, 'TSi')!.selectors;
    const tsr = pick(payloads, 'TSr')!.selectors;
    const links = this.#additional.begin(chosen.additionalKe, (additionalSecrets) => {
      const input = { nonceI, nonceR, sharedSecret, additionalSecrets };
      const keys = deriveChildKeys(crypto, ike.suite.prf, ike.skD, chosen.suite, input);
      this.children.set(spiIn, { spiIn, spiOut: chosen.spi, inbound: keys.initiator, outbound: keys.responder, tsi, tsr });
    });
    if (old && this.#childRekeying === old.spiIn)
      this.#childRival = { old: old.spiIn, lowest: lowerNonce(nonceI, nonceR), spiIn };
    return [
      { kind: 'SA', proposals: [{ ...chosen.reply, spi: spiOctets(spiIn) }] },
      { kind: 'NONCE', data: nonceR },
      ...(pair ? [{ kind: 'KE', group: pair.group, data: pair.publicValue } as const] : []),
      { kind: 'TSi', selectors: tsi },
      { kind: 'TSr', selectors: tsr },
      ...links,
    ];
  }

  #answerIkeRekey(old: ResponderIke, payloads: readonly Payload[]): readonly Payload[] {
    const { crypto } = this;
    if (this.#childRekeying !== undefined || this.#deleting !== undefined) return [notify(43)];
    const ke = pick(payloads, 'KE')!;
    const chosen = selectIkeProposal(this.#ikeProposals, pick(payloads, 'SA')!.proposals, ke.group);
    if ('problem' in chosen) return [notify(14)];
    if (chosen.ke !== ke.group) return [notify(17, Uint8Array.of(0, chosen.ke))];
    const pair = crypto.generateKeyPair(chosen.ke);
    const sharedSecret = crypto.sharedSecret(pair, ke.data)!;
    const nonceI = pick(payloads, 'NONCE')!.data;
    const nonceR = crypto.random(32);
    const spis = { spiI: chosen.spi, spiR: crypto.random(8) };
    let made: ResponderIke | undefined;
    const links = this.#additional.begin(chosen.additionalKe ?? [], (additionalSecrets) => {
      const input = { sharedSecret, additionalSecrets, nonceI, nonceR, ...spis };
      const keys = deriveRekeyedIkeKeys(crypto, { prf: old.suite.prf, skD: old.skD }, chosen, input);
      made = freshIke(spis, chosen, keys.responder, keys.initiator, keys, false);
      made.identities = old.identities;
      this.ikes.push(made);
      if (this.#ikeRekeying) this.#ikeRival = { lowest: lowerNonce(nonceI, nonceR), ike: made };
    });
    return [
      { kind: 'SA', proposals: [{ ...chosen.reply, spi: spis.spiR }] },
      { kind: 'NONCE', data: nonceR },
      { kind: 'KE', group: pair.group, data: pair.publicValue },
      ...links,
      ...(made && pickNotify(payloads, 16410) ? grantTicket(crypto, made, this.options.tickets) : []),
      ...(made ? crashTokenOf(crypto, made, this.options.crashSecret) : []),
    ];
  }

  /** What was being asked on an IKE SA that is gone is asked again, where it still matters. */
  #abandon(ike: ResponderIke): void {
    if (!ike.outstanding) return;
    ike.outstanding = undefined;
    const deleting = this.#deleting;
    this.#childRekeying = undefined;
    this.#childRival = undefined;
    this.#ikeRekeying = false;
    this.#ikeRival = undefined;
    this.#deleting = undefined;
    if (deleting !== undefined && !this.closed && !this.current.outstanding) this.deleteChild(deleting);
  }

  get #ikeProposals(): readonly IkeProposalConfig[] {
    return this.options.ikeProposals ?? ikeProposals;
  }

  get #childProposals(): readonly ChildProposalConfig[] {
    return this.options.childProposals ?? childProposals;
  }
}
