import { concat, equal } from '@aovpn/bytes';
import { deriveNextIkeKeys, derivePpkIkeKeys, ppkConfirmation, type IkeKeys } from '../src/crypto/keymat.ts';
import { notify, pick, pickNotify } from '../src/machine/pick.ts';
import { intermediateOctetsOf } from '../src/message/intermediate-octets.ts';
import type { Message, Payload } from '../src/message/payload.ts';
import type { InitExchange } from './responder-auth.ts';
import type { ResponderOptions } from './responder-options.ts';
import type { ResponderIke } from './responder-sa.ts';
import type { TestCrypto } from './test-crypto.ts';

/** The responder's side of additional key exchanges: IKE_INTERMEDIATE and IKE_FOLLOWUP_KE (RFC 9242, RFC 9370), with the PPK of RFC 9867. */
export class ResponderAdditional {
  readonly #crypto: TestCrypto;
  readonly #ppk: ResponderOptions['ppk'];
  #intermediate: Uint8Array | undefined;
  /** The PPK that the exchange under way mixes in. */
  #mixing: ResponderOptions['ppk'];
  #pending:
    | {
        link: Uint8Array;
        rest: number[];
        readonly secrets: Uint8Array[];
        readonly done: (secrets: readonly Uint8Array[]) => void;
      }
    | undefined;

  constructor(crypto: TestCrypto, ppk: ResponderOptions['ppk']) {
    this.#crypto = crypto;
    this.#ppk = ppk;
  }

  /** IKE_INTERMEDIATE: an additional key exchange, a PPK, or both. */
  answer(ike: ResponderIke, { nonceI, nonceR }: InitExchange, { payloads }: Message): readonly Payload[] {
    const ke = pick(payloads, 'KE');
    const exchange = ke && this.#crypto.answerKeyExchange(ke.group, ke.data)!;
    this.#intermediate = exchange?.sharedSecret;
    const offered = pickNotify(payloads, 16446)?.data;
    const { spiI, spiR } = ike;
    const ppk = this.#ppk;
    const expected =
      ppk && concat(ppk.identity, ppkConfirmation(this.#crypto, ike.suite.prf, ppk.key, { nonceI, nonceR, spiI, spiR }));
    this.#mixing = offered && expected && equal(offered, expected) ? ppk : undefined;
    return [
      ...(ke && exchange ? [{ kind: 'KE', group: ke.group, data: exchange.publicValue } as const] : []),
      ...(this.#mixing ? [notify(16436, this.#mixing.identity)] : []),
    ];
  }

  /** After the answer is sent: what both have said is remembered, and there are new keys. */
  complete(ike: ResponderIke, init: InitExchange, request: Message, authenticated: Uint8Array, answer: readonly Payload[]): void {
    const { prf } = ike.suite;
    const header = { ...request.header, fromInitiator: false, response: true };
    init.saidI = this.#crypto.prf(prf, ike.skPi, init.saidI, authenticated);
    init.saidR = this.#crypto.prf(prf, ike.skPr, init.saidR, intermediateOctetsOf({ header, payloads: answer }));
    const { nonceI, nonceR } = init;
    const { spiI, spiR } = ike;
    const adopt = (keys: IkeKeys): void => {
      Object.assign(ike, { send: keys.responder, receive: keys.initiator, skD: keys.skD, skPi: keys.skPi, skPr: keys.skPr });
    };
    const input = { nonceI, nonceR, spiI, spiR };
    const sharedSecret = this.#intermediate;
    if (sharedSecret) adopt(deriveNextIkeKeys(this.#crypto, ike.suite, ike.skD, { ...input, sharedSecret }));
    if (this.#mixing) adopt(derivePpkIkeKeys(this.#crypto, ike.suite, this.#mixing.key, ike.skD, input));
  }

  /** A rekey of the client: what its answer adds. `done` runs with the last exchange, or at once. */
  begin(methods: readonly number[], done: (secrets: readonly Uint8Array[]) => void): readonly Payload[] {
    if (methods.length === 0) {
      done([]);
      return [];
    }
    const link = this.#crypto.random(8);
    this.#pending = { link, rest: [...methods], secrets: [], done };
    return [notify(16441, link)];
  }

  followUp({ payloads }: Message): readonly Payload[] {
    const pending = this.#pending;
    const link = pickNotify(payloads, 16441);
    if (!pending || !link || !equal(link.data, pending.link)) return [notify(47)];
    const ke = pick(payloads, 'KE')!;
    const method = pending.rest.shift();
    const exchange = this.#crypto.answerKeyExchange(ke.group, ke.data);
    if (method !== ke.group || !exchange) return [notify(7)];
    pending.secrets.push(exchange.sharedSecret);
    const value: Payload = { kind: 'KE', group: ke.group, data: exchange.publicValue };
    if (pending.rest.length > 0) {
      pending.link = this.#crypto.random(8);
      return [value, notify(16441, pending.link)];
    }
    this.#pending = undefined;
    pending.done(pending.secrets);
    return [value];
  }
}
