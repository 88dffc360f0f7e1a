import { compareOctets, concat, equal } from '@aovpn/bytes';
import { deriveChildKeys, deriveRekeyedIkeKeys, ppkConfirmation } from '../src/crypto/keymat.ts';
import { lowerNonce, notify, pick, pickError, pickNotify, spiOctets } from '../src/machine/pick.ts';
import type { Message, Payload, TrafficSelector } from '../src/message/payload.ts';
import { acceptChildProposal, acceptIkeProposal, buildChildProposals, buildIkeProposals } from '../src/message/proposal.ts';
import type { Responder } from './responder.ts';
import { newSpi } from './responder-auth.ts';
import { freshIke, type Asking, type ResponderChild, type ResponderIke } from './responder-sa.ts';

const [CREATE, INFO, FOLLOWUP] = [36, 37, 44];

/** What a rekey of a CHILD_SA asks for that the old one does not have. */
export interface ChildRekeyChange {
  readonly group?: number;
  readonly tsi?: readonly TrafficSelector[];
  readonly tsr?: readonly TrafficSelector[];
}

/** Rekeys and Deletes that the responder begins. */
export class ResponderRekey {
  /** CHILD_SAs to be deleted when the window is free. */
  readonly #owed: number[] = [];
  readonly #responder: Responder;

  constructor(responder: Responder) {
    this.#responder = responder;
  }

  /** Whether a request about that is out. */
  isAsking(kind: Asking['kind']): boolean {
    return this.#responder.ikes.some(({ gone, outstanding }) => !gone && outstanding?.about.kind === kind);
  }

  /** Whether a CHILD_SA is on its way out. */
  isDeleting(spiIn: number): boolean {
    const deleting = ({ gone, outstanding }: ResponderIke): boolean =>
      !gone && outstanding?.about.kind === 'delete-child' && outstanding.about.spiIn === spiIn;
    return this.#owed.includes(spiIn) || this.#responder.ikes.some(deleting);
  }

  rekeyChild(old: ResponderChild, more: ChildRekeyChange = {}): void {
    const { crypto } = this.#responder;
    const spiIn = newSpi(this.#responder.crypto);
    const nonceI = crypto.random(32);
    const pair = crypto.generateKeyPair(more.group ?? 31);
    const offered = buildChildProposals(this.#responder.childProposals, spiIn, true, 31);
    const ike = this.#responder.current;
    const about: Asking = { kind: 'rekey-child', old: old.spiIn, rival: undefined };
    const payloads: Payload[] = [
      { ...notify(16393), protocol: 3, spi: spiOctets(old.spiIn) },
      { kind: 'SA', proposals: offered },
      { kind: 'NONCE', data: nonceI },
      { kind: 'KE', group: pair.group, data: pair.publicValue },
      { kind: 'TSi', selectors: more.tsr ?? old.tsr },
      { kind: 'TSr', selectors: more.tsi ?? old.tsi },
      ...this.#offerPpks(ike, nonceI),
    ];
    const done = (message: Message): void => {
      if (pickError(message.payloads)) return;
      const made = acceptChildProposal(offered, pick(message.payloads, 'SA')!.proposals);
      if ('problem' in made) throw new Error(made.problem);
      const nonceR = pick(message.payloads, 'NONCE')!.data;
      const sharedSecret = made.ke === 0 ? undefined : crypto.sharedSecret(pair, pick(message.payloads, 'KE')!.data);
      this.#followUp(made.additionalKe, message.payloads, [], (additionalSecrets) => {
        const input = { nonceI, nonceR, sharedSecret, additionalSecrets, ppk: this.#takenPpk(message.payloads) };
        const keys = deriveChildKeys(crypto, ike.suite.prf, ike.skD, made.suite, input);
        const tsr = pick(message.payloads, 'TSi')!.selectors;
        const tsi = pick(message.payloads, 'TSr')!.selectors;
        this.#responder.children.set(spiIn, {
          spiIn,
          spiOut: made.spi,
          inbound: keys.responder,
          outbound: keys.initiator,
          tsi,
          tsr,
        });
        if (!this.#responder.tidy || this.#responder.ikes.every(({ gone }) => gone)) return;
        const lost = about.rival && compareOctets(lowerNonce(nonceI, nonceR), about.rival) < 0;
        this.deleteChild(lost ? spiIn : old.spiIn);
      });
    };
    this.#responder.request(CREATE, payloads, done, about);
  }

  rekeyIke(group = 31): void {
    const { crypto } = this.#responder;
    const old = this.#responder.current;
    const spiI = crypto.random(8);
    const nonceI = crypto.random(32);
    const pair = crypto.generateKeyPair(group);
    const offered = buildIkeProposals(this.#responder.ikeProposals, spiI);
    const about: Asking = { kind: 'rekey-ike', rival: undefined };
    const payloads: Payload[] = [
      { kind: 'SA', proposals: offered },
      { kind: 'NONCE', data: nonceI },
      { kind: 'KE', group: pair.group, data: pair.publicValue },
      ...this.#offerPpks(old, nonceI),
    ];
    const done = (message: Message): void => {
      if (pickError(message.payloads)) return;
      const suite = acceptIkeProposal(offered, pick(message.payloads, 'SA')!.proposals);
      if ('problem' in suite) throw new Error(suite.problem);
      const nonceR = pick(message.payloads, 'NONCE')!.data;
      const sharedSecret = crypto.sharedSecret(pair, pick(message.payloads, 'KE')!.data)!;
      const spis = { spiI, spiR: suite.spi };
      this.#followUp(suite.additionalKe ?? [], message.payloads, [], (additionalSecrets) => {
        const input = { sharedSecret, additionalSecrets, ppk: this.#takenPpk(message.payloads), nonceI, nonceR, ...spis };
        const keys = deriveRekeyedIkeKeys(crypto, { prf: old.suite.prf, skD: old.skD }, suite, input);
        const made = freshIke(spis, suite, keys.initiator, keys.responder, keys, true);
        made.identities = old.identities;
        const lost = about.rival && compareOctets(lowerNonce(nonceI, nonceR), about.rival) < 0;
        if (lost) this.#responder.ikes.splice(this.#responder.ikes.length - 1, 0, made);
        else this.#responder.ikes.push(made);
        if (this.#responder.tidy) this.deleteIke(lost ? made : old);
      });
    };
    this.#responder.request(CREATE, payloads, done, about);
  }

  /** Every PPK that it has for CREATE_CHILD_SA (RFC 9867 §3.2). */
  #offerPpks({ suite, spiI, spiR }: ResponderIke, nonceI: Uint8Array): Payload[] {
    const { crypto, options } = this.#responder;
    const offered = options.offersPpks === true ? (options.freshPpks ?? []) : [];
    return offered.map(({ identity, key }) =>
      notify(16446, concat(identity, ppkConfirmation(crypto, suite.prf, key, { nonceI, spiI, spiR }))),
    );
  }

  /** The key that the client's answer names. */
  #takenPpk(payloads: readonly Payload[]): Uint8Array | undefined {
    const named = pickNotify(payloads, 16436);
    return named && this.#responder.options.freshPpks?.find(({ identity }) => equal(identity, named.data))?.key;
  }

  deleteChild(spiIn: number): void {
    if (this.#responder.current.outstanding) return void this.#owed.push(spiIn);
    const done = (): void => void this.#responder.children.delete(spiIn);
    const about: Asking = { kind: 'delete-child', spiIn };
    this.#responder.request(INFO, [{ kind: 'D', protocol: 3, spis: [spiOctets(spiIn)] }], done, about);
  }

  deleteIke(ike = this.#responder.current): void {
    ike.deleting = true;
    this.#responder.request(INFO, [{ kind: 'D', protocol: 1, spis: [] }], () => void (ike.gone = true), { kind: 'other' }, ike);
  }

  /** IKE_FOLLOWUP_KE requests for a rekey of ours, one after the other; `done` gets their secrets. */
  #followUp(
    [method, ...rest]: readonly number[],
    payloads: readonly Payload[],
    secrets: readonly Uint8Array[],
    done: (secrets: readonly Uint8Array[]) => void,
  ): void {
    if (method === undefined) return done(secrets);
    const pair = this.#responder.crypto.generateKeyPair(method);
    const link = pickNotify(payloads, 16441)!;
    const next = (message: Message): void => {
      if (pickError(message.payloads)) return;
      const secret = this.#responder.crypto.sharedSecret(pair, pick(message.payloads, 'KE')!.data)!;
      this.#followUp(rest, message.payloads, [...secrets, secret], done);
    };
    const asked: Payload[] = [{ kind: 'KE', group: method, data: pair.publicValue }, notify(16441, link.data)];
    this.#responder.request(FOLLOWUP, asked, next, { kind: 'follow-up' });
  }

  /** What was being asked on an IKE SA that is gone is asked again, where it still matters. */
  abandon(ike: ResponderIke): void {
    const about = ike.outstanding?.about;
    ike.outstanding = undefined;
    if (about?.kind === 'delete-child' && !this.#responder.closed) this.deleteChild(about.spiIn);
  }

  /** What had to wait for the window. */
  deleteOwed(): void {
    const owed = this.#owed.shift();
    if (owed !== undefined) this.deleteChild(owed);
  }
}
