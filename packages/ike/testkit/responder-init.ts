import { encodeUtf8, equal } from '@aovpn/bytes';
import { deriveIkeKeys } from '../src/crypto/keymat.ts';
import { solvesPuzzle } from '../src/crypto/puzzle.ts';
import { notify, pick, pickNotify } from '../src/machine/pick.ts';
import { encodeAuthAnnouncements } from '../src/message/auth-announcement.ts';
import { encodeMessage } from '../src/message/encode.ts';
import { openDatagram } from '../src/message/open.ts';
import type { Payload } from '../src/message/payload.ts';
import { selectIkeProposal } from '../src/message/proposal.ts';
import { emptyReassembly } from '../src/message/reassembly.ts';
import type { Responder } from './responder.ts';
import type { InitExchange } from './responder-auth.ts';
import { answerResume } from './responder-memory.ts';
import { freshIke } from './responder-sa.ts';

/** What is answered in the clear: IKE_SA_INIT, and IKE_SESSION_RESUME (RFC 5723). */
export class ResponderInit {
  /** The last one that made an IKE SA. */
  exchange: InitExchange | undefined;
  readonly #responder: Responder;

  constructor(responder: Responder) {
    this.#responder = responder;
  }

  receive(datagram: Uint8Array): void {
    const { crypto } = this.#responder;
    if (this.exchange && equal(this.exchange.request, datagram)) {
      this.#responder.sent.push(this.exchange.response);
      return;
    }
    const outcome = openDatagram(crypto, datagram, { reassembly: emptyReassembly });
    if (outcome.kind !== 'message') throw new Error(`IKE_SA_INIT: ${outcome.kind}`);
    const { message } = outcome;
    const { payloads, header } = message;
    this.#responder.heard.push(message);
    const reply = (spiR: Uint8Array, answer: readonly Payload[]): Uint8Array | undefined => {
      const impaired = this.#responder.options.impair ? this.#responder.options.impair(answer, message) : answer;
      if (!impaired) return undefined;
      const response = encodeMessage({ header: { ...header, spiR, fromInitiator: false, response: true }, payloads: impaired });
      this.#responder.sent.push(response);
      return response;
    };
    const none = new Uint8Array(8);
    const cookie = encodeUtf8('a cookie from the gateway');
    const given = pickNotify(payloads, 16390);
    const { puzzle } = this.#responder.options;
    if (puzzle?.where === 'init' && !(given && equal(given.data, cookie) && this.#isSolved(payloads, cookie)))
      return void reply(none, [notify(16390, cookie), notify(16434, Uint8Array.of(0, puzzle.prf ?? 5, puzzle.difficulty))]);
    if (this.#responder.options.cookie && !(given && equal(given.data, cookie))) return void reply(none, [notify(16390, cookie)]);
    const ke = pick(payloads, 'KE')!;
    const offered = pick(payloads, 'SA')!.proposals.map((proposal) => ({ ...proposal, spi: new Uint8Array(8).fill(1) }));
    const chosen = selectIkeProposal(this.#responder.ikeProposals, offered);
    if ('problem' in chosen) return void reply(none, [notify(14)]);
    if (chosen.ke !== ke.group) return void reply(none, [notify(17, Uint8Array.of(0, chosen.ke))]);
    const exchange = crypto.answerKeyExchange(chosen.ke, ke.data);
    if (!exchange) throw new Error('the client’s public value');
    const { sharedSecret } = exchange;
    const nonceI = pick(payloads, 'NONCE')!.data;
    const nonceR = crypto.random(32);
    const spis = { spiI: header.spiI, spiR: crypto.random(8) };
    const keys = deriveIkeKeys(crypto, chosen, { sharedSecret, nonceI, nonceR, ...spis });
    this.#begin();
    this.#responder.ikes.push({ ...freshIke(spis, chosen, keys.responder, keys.initiator, keys, false), nextExpected: 1 });
    const { authorities } = this.#responder.options.credentials ?? {};
    const response = reply(spis.spiR, [
      { kind: 'SA', proposals: [{ ...chosen.reply, spi: new Uint8Array(0) }] },
      { kind: 'KE', group: chosen.ke, data: exchange.publicValue },
      { kind: 'NONCE', data: nonceR },
      ...(pickNotify(payloads, 16438) ? [notify(16438)] : []),
      notify(16388, new Uint8Array(20)),
      notify(16389, new Uint8Array(20)),
      ...(this.#responder.options.fragmentation === false ? [] : [notify(16430)]),
      notify(16431, Uint8Array.of(0, 2, 0, 3, 0, 4)),
      ...(authorities ? [{ kind: 'CERTREQ', encoding: 4, authorities } as const] : []),
      ...(this.#responder.options.multipleAuth ? [notify(16404)] : []),
      ...(this.#responder.options.childless ? [notify(16418)] : []),
      ...this.#ppkNotify(payloads),
      ...(puzzle?.where === 'auth' ? [notify(16434, Uint8Array.of(0, puzzle.prf ?? 5, puzzle.difficulty))] : []),
      ...(this.#responder.options.authMethods
        ? [notify(16443, encodeAuthAnnouncements(this.#responder.options.authMethods))]
        : []),
    ]);
    const none8 = new Uint8Array(0);
    this.exchange = { request: datagram, response: response ?? none8, nonceI, nonceR, saidI: none8, saidR: none8 };
  }

  receiveResume(datagram: Uint8Array): void {
    if (this.exchange && equal(this.exchange.request, datagram)) {
      this.#responder.sent.push(this.exchange.response);
      return;
    }
    const outcome = openDatagram(this.#responder.crypto, datagram, { reassembly: emptyReassembly });
    if (outcome.kind !== 'message') throw new Error(`IKE_SESSION_RESUME: ${outcome.kind}`);
    const { message } = outcome;
    this.#responder.heard.push(message);
    const answer = answerResume(this.#responder.crypto, message, this.#responder.options.tickets);
    const impaired = this.#responder.options.impair ? this.#responder.options.impair(answer.payloads, message) : answer.payloads;
    if (!impaired) return;
    const header = { ...message.header, spiR: answer.ike?.spiR ?? new Uint8Array(8), fromInitiator: false, response: true };
    const response = encodeMessage({ header, payloads: impaired });
    this.#responder.sent.push(response);
    if (!answer.ike) return;
    this.#begin();
    this.#responder.ikes.push({ ...answer.ike, nextExpected: 1 });
    const none = new Uint8Array(0);
    this.exchange = { request: datagram, response, nonceI: answer.nonceI, nonceR: answer.nonceR, saidI: none, saidR: none };
  }

  /** There is one client: what it had before is gone, as by INITIAL_CONTACT (RFC 7296 §2.4). */
  #begin(): void {
    this.#responder.ikes.length = 0;
    this.#responder.children.clear();
  }

  /** Whoever brings no solution is a client that does not know puzzles, and is served when there is time: here, always. */
  #isSolved(payloads: readonly Payload[], cookie: Uint8Array): boolean {
    const solved = pick(payloads, 'PS');
    const { difficulty, prf = 5 } = this.#responder.options.puzzle!;
    return !solved || solvesPuzzle(this.#responder.crypto, { prf, difficulty }, cookie, solved.solution);
  }

  /** One of the two that the client knows (RFC 9867 §3.1). */
  #ppkNotify(payloads: readonly Payload[]): Payload[] {
    const { ppk, ppkEarly } = this.#responder.options;
    if (ppkEarly && pickNotify(payloads, 16438) && pickNotify(payloads, 16445)) return [notify(16445)];
    return ppk && pickNotify(payloads, 16435) ? [notify(16435)] : [];
  }
}
