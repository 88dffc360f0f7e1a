import { concat, equal } from '@aovpn/bytes';
import type { ChildProposalConfig, IkeProposalConfig } from '../src/machine/contract.ts';
import { solvesPuzzle } from '../src/crypto/puzzle.ts';
import { notify, pickAll, pickNotify, spiNumber, spiOctets } from '../src/machine/pick.ts';
import { decodeHeader, type DecodedHeader } from '../src/message/header.ts';
import { openDatagram } from '../src/message/open.ts';
import type { Message, Payload } from '../src/message/payload.ts';
import { sealMessage } from '../src/message/seal.ts';
import { ResponderAdditional } from './responder-additional.ts';
import { ResponderAuth } from './responder-auth.ts';
import { ResponderCreate } from './responder-create.ts';
import { ResponderInit } from './responder-init.ts';
import type { ResponderOptions } from './responder-options.ts';
import { grantTicket } from './responder-memory.ts';
import { ResponderRekey, type ChildRekeyChange } from './responder-rekey.ts';
import type { Asking, ResponderChild, ResponderIke } from './responder-sa.ts';
import type { TestCrypto } from './test-crypto.ts';
import { childProposals, ikeProposals } from './world.ts';

const [INIT, AUTH, CREATE, RESUME, INTERMEDIATE, FOLLOWUP] = [34, 35, 36, 38, 43, 44];

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
  readonly #init: ResponderInit;
  readonly #auth: ResponderAuth;
  readonly #additional: ResponderAdditional;
  readonly #create: ResponderCreate;
  readonly #rekey: ResponderRekey;
  #vanished = false;

  constructor(crypto: TestCrypto, options: ResponderOptions = {}) {
    this.crypto = crypto;
    this.options = options;
    this.#init = new ResponderInit(this);
    this.#auth = new ResponderAuth(crypto, options, this.children);
    this.#additional = new ResponderAdditional(crypto, options.ppk);
    this.#rekey = new ResponderRekey(this);
    this.#create = new ResponderCreate(this, this.#rekey, this.#additional);
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
    this.#init.exchange = undefined;
  }

  receive(...datagrams: readonly Uint8Array[]): void {
    for (const datagram of datagrams) this.#receive(datagram);
  }

  /** Sends a request; `done` sees the answer. */
  request(
    exchange: number,
    payloads: readonly Payload[],
    done: (message: Message) => void = () => {},
    about: Asking = { kind: 'other' },
    ike = this.current,
  ): void {
    if (ike.outstanding) throw new Error('the responder has a request out');
    const messageId = ike.nextRequest++;
    const datagrams = this.seal(ike, exchange, messageId, false, payloads);
    ike.outstanding = { messageId, datagrams, done, about };
    this.sent.push(...datagrams);
  }

  retransmit(): void {
    const isFree = this.ikes.some(({ gone }) => !gone) && !this.current.outstanding;
    if (isFree) this.#rekey.deleteOwed();
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

  rekeyChild(old: ResponderChild, more?: ChildRekeyChange): void {
    this.#rekey.rekeyChild(old, more);
  }

  deleteChild(spiIn: number): void {
    this.#rekey.deleteChild(spiIn);
  }

  rekeyIke(group?: number): void {
    this.#rekey.rekeyIke(group);
  }

  deleteIke(ike?: ResponderIke): void {
    this.#rekey.deleteIke(ike);
  }

  get ikeProposals(): readonly IkeProposalConfig[] {
    return this.options.ikeProposals ?? ikeProposals;
  }

  get childProposals(): readonly ChildProposalConfig[] {
    return this.options.childProposals ?? childProposals;
  }

  #receive(datagram: Uint8Array): void {
    if (this.#vanished) return;
    const header = decodeHeader(datagram);
    if (!header) return;
    if (header.exchange === INIT) return this.#init.receive(datagram);
    if (header.exchange === RESUME) return this.#init.receiveResume(datagram);
    const ike = this.ikes.find(({ spiI, spiR }) => equal(spiI, header.spiI) && equal(spiR, header.spiR));
    if (!ike) return;
    if (!this.#isWorkDone(ike, header, datagram)) return;
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
      this.#additional.complete(ike, this.#init.exchange!, message, outcome.authenticated!, impaired);
  }

  /**
   * Whether the first IKE_AUTH request brings what was asked for, as can be seen before anything is decrypted (RFC 8019 §7.2.2): a PS payload
   * right behind the header. Of fragments the first one has it, and these come in order.
   */
  #isWorkDone(ike: ResponderIke, header: DecodedHeader, datagram: Uint8Array): boolean {
    const { puzzle } = this.options;
    const isFirst = !this.heard.some((message) => message.header.exchange === AUTH) && !ike.reassembly.request;
    if (puzzle?.where !== 'auth' || header.exchange !== AUTH || !isFirst) return true;
    if (header.nextPayload !== 54 || (datagram[28] !== 46 && datagram[28] !== 53)) return false;
    const solution = datagram.subarray(32, 28 + ((datagram[30]! << 8) | datagram[31]!));
    const text = concat(this.#init.exchange!.nonceR, ike.spiR);
    return solvesPuzzle(this.crypto, { prf: puzzle.prf ?? 5, difficulty: puzzle.difficulty }, text, solution);
  }

  #answer(ike: ResponderIke, message: Message): readonly Payload[] {
    if (message.header.exchange === AUTH) return this.#auth.answer(ike, message, this.#init.exchange!);
    if (message.header.exchange === CREATE) return this.#create.answer(ike, message);
    if (message.header.exchange === INTERMEDIATE) return this.#additional.answer(ike, this.#init.exchange!, message);
    if (message.header.exchange === FOLLOWUP) return this.#additional.followUp(message);
    const { payloads } = message;
    if (pickAll(payloads, 'D').some(({ protocol }) => protocol === 1)) {
      // Only the Delete of the last one ends everything.
      if (!ike.gone && this.ikes.filter((other) => !other.gone).length === 1) this.closed = true;
      ike.gone = true;
      this.#rekey.abandon(ike);
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
}
