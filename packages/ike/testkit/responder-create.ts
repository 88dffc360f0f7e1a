import { concat, equal } from '@aovpn/bytes';
import { deriveChildKeys, deriveRekeyedIkeKeys, ppkConfirmation } from '../src/crypto/keymat.ts';
import type { KeyPair } from '../src/crypto/port.ts';
import type { NamedPpk } from '../src/machine/contract.ts';
import { lowerNonce, notify, pick, pickAll, pickNotify, spiNumber, spiOctets } from '../src/machine/pick.ts';
import type { Message, Payload } from '../src/message/payload.ts';
import { selectChildProposal, selectIkeProposal } from '../src/message/proposal.ts';
import type { Responder } from './responder.ts';
import type { ResponderAdditional } from './responder-additional.ts';
import { newSpi } from './responder-auth.ts';
import { crashTokenOf, grantTicket } from './responder-memory.ts';
import type { ResponderRekey } from './responder-rekey.ts';
import { freshIke, type ResponderIke } from './responder-sa.ts';

/** Answers to CREATE_CHILD_SA: new CHILD_SAs, and rekeys of both kinds of SA. */
export class ResponderCreate {
  readonly #responder: Responder;
  readonly #own: ResponderRekey;
  readonly #additional: ResponderAdditional;

  constructor(responder: Responder, own: ResponderRekey, additional: ResponderAdditional) {
    this.#responder = responder;
    this.#own = own;
    this.#additional = additional;
  }

  answer(ike: ResponderIke, { payloads }: Message): readonly Payload[] {
    // RFC 7296 §2.25.2: not on one that is being deleted, or has been replaced.
    const rekeying = ike.outstanding?.about.kind === 'rekey-ike';
    if (ike.deleting || (ike !== this.#responder.current && !rekeying)) return [notify(43)];
    // A rekey of its own goes on in several exchanges.
    if (this.#own.isAsking('follow-up')) return [notify(43)];
    const offered = pick(payloads, 'SA')!.proposals;
    return offered[0]?.protocol === 1 ? this.#answerIkeRekey(ike, payloads) : this.#answerChild(ike, payloads);
  }

  #answerChild(ike: ResponderIke, payloads: readonly Payload[]): readonly Payload[] {
    const { crypto } = this.#responder;
    const rekey = pickNotify(payloads, 16393);
    const old = rekey && [...this.#responder.children.values()].find(({ spiOut }) => spiOut === spiNumber(rekey.spi));
    if (rekey && !old) return [{ ...notify(44), protocol: 3, spi: rekey.spi }];
    if (this.#own.isAsking('rekey-ike') || (old && this.#own.isDeleting(old.spiIn))) return [notify(43)];
    const ke = pick(payloads, 'KE');
    const chosen = selectChildProposal(this.#responder.childProposals, pick(payloads, 'SA')!.proposals, {
      ikeGroup: ike.suite.ke,
    });
    if ('problem' in chosen) return [notify(14)];
    if (chosen.ke !== 0 && chosen.ke !== ke?.group) return [notify(17, Uint8Array.of(0, chosen.ke))];
    const asking = ike.outstanding?.about;
    const rival = asking?.kind === 'rekey-child' && asking.old === old?.spiIn ? asking : undefined;
    if (rival && chosen.additionalKe.length > 0) return [notify(43)];
    const pair: KeyPair | undefined = chosen.ke === 0 ? undefined : crypto.generateKeyPair(chosen.ke);
    const sharedSecret = pair && crypto.sharedSecret(pair, ke!.data);
    const nonceI = pick(payloads, 'NONCE')!.data;
    const nonceR = crypto.random(32);
    const spiIn = newSpi(this.#responder.crypto);
    const tsi = pick(payloads, 'TSi')!.selectors;
    const tsr = pick(payloads, 'TSr')!.selectors;
    const ppk = this.#takePpk(ike, payloads, nonceI);
    const links = this.#additional.begin(chosen.additionalKe, (additionalSecrets) => {
      const input = { nonceI, nonceR, sharedSecret, additionalSecrets, ppk: ppk?.key };
      const keys = deriveChildKeys(crypto, ike.suite.prf, ike.skD, chosen.suite, input);
      this.#responder.children.set(spiIn, {
        spiIn,
        spiOut: chosen.spi,
        inbound: keys.initiator,
        outbound: keys.responder,
        tsi,
        tsr,
      });
    });
    if (rival) rival.rival = lowerNonce(nonceI, nonceR);
    return [
      { kind: 'SA', proposals: [{ ...chosen.reply, spi: spiOctets(spiIn) }] },
      { kind: 'NONCE', data: nonceR },
      ...(pair ? [{ kind: 'KE', group: pair.group, data: pair.publicValue } as const] : []),
      { kind: 'TSi', selectors: tsi },
      { kind: 'TSr', selectors: tsr },
      ...(ppk ? [notify(16436, ppk.identity)] : []),
      ...links,
    ];
  }

  /** Of what the client offers the first that it has by that name and with that key (RFC 9867 §3.2). */
  #takePpk(ike: ResponderIke, payloads: readonly Payload[], nonceI: Uint8Array): NamedPpk | undefined {
    const { crypto, options } = this.#responder;
    const offered = pickAll(payloads, 'N').filter(({ type }) => type === 16446);
    return options.freshPpks?.find((ppk) => {
      const expected = concat(
        ppk.identity,
        ppkConfirmation(crypto, ike.suite.prf, ppk.key, { nonceI, spiI: ike.spiI, spiR: ike.spiR }),
      );
      return offered.some(({ data }) => equal(data, expected));
    });
  }

  #answerIkeRekey(old: ResponderIke, payloads: readonly Payload[]): readonly Payload[] {
    const { crypto } = this.#responder;
    if (this.#own.isAsking('rekey-child') || this.#own.isAsking('delete-child')) return [notify(43)];
    const ke = pick(payloads, 'KE')!;
    const chosen = selectIkeProposal(this.#responder.ikeProposals, pick(payloads, 'SA')!.proposals, ke.group);
    if ('problem' in chosen) return [notify(14)];
    if (chosen.ke !== ke.group) return [notify(17, Uint8Array.of(0, chosen.ke))];
    if (old.outstanding?.about.kind === 'rekey-ike' && chosen.additionalKe) return [notify(43)];
    const pair = crypto.generateKeyPair(chosen.ke);
    const sharedSecret = crypto.sharedSecret(pair, ke.data)!;
    const nonceI = pick(payloads, 'NONCE')!.data;
    const nonceR = crypto.random(32);
    const spis = { spiI: chosen.spi, spiR: crypto.random(8) };
    let made: ResponderIke | undefined;
    const ppk = this.#takePpk(old, payloads, nonceI);
    const links = this.#additional.begin(chosen.additionalKe ?? [], (additionalSecrets) => {
      const input = { sharedSecret, additionalSecrets, ppk: ppk?.key, nonceI, nonceR, ...spis };
      const keys = deriveRekeyedIkeKeys(crypto, { prf: old.suite.prf, skD: old.skD }, chosen, input);
      made = freshIke(spis, chosen, keys.responder, keys.initiator, keys, false);
      made.identities = old.identities;
      this.#responder.ikes.push(made);
      const asking = old.outstanding?.about;
      if (asking?.kind === 'rekey-ike') asking.rival = lowerNonce(nonceI, nonceR);
    });
    return [
      { kind: 'SA', proposals: [{ ...chosen.reply, spi: spis.spiR }] },
      { kind: 'NONCE', data: nonceR },
      { kind: 'KE', group: pair.group, data: pair.publicValue },
      ...(ppk ? [notify(16436, ppk.identity)] : []),
      ...links,
      ...(made && pickNotify(payloads, 16410) ? grantTicket(crypto, made, this.#responder.options.tickets) : []),
      ...(made ? crashTokenOf(crypto, made, this.#responder.options.crashSecret) : []),
    ];
  }
}
