import { concat, encodeUtf8, equal, Writer } from '@aovpn/bytes';
import { decodeSignatureAuth, encodeSignatureAuth } from '../src/crypto/auth-signature.ts';
import { deriveChildKeys, sharedKeyAuth, signedOctets } from '../src/crypto/keymat.ts';
import { notify, pick, pickNotify, spiNumber, spiOctets } from '../src/machine/pick.ts';
import { encodePayloadBody } from '../src/message/encode.ts';
import type { Message, Payload } from '../src/message/payload.ts';
import { selectChildProposal } from '../src/message/proposal.ts';
import { MsChapServer } from './ms-chap-server.ts';
import type { EapServer } from './tls-method.ts';
import type { ResponderOptions } from './responder.ts';
import type { ResponderChild, ResponderIke } from './responder-sa.ts';
import type { TestCrypto } from './test-crypto.ts';
import { childProposals, clientKey, everything, gatewayKey, gatewayName, password, selector, user } from './world.ts';

/** Who the responder is, and whom it knows. Without them it is the gateway of the exchange scripts. */
export interface ResponderCredentials {
  /** Its IDr, an FQDN. */
  readonly name: string;
  /** What goes into its CERT payloads, leaf first. */
  readonly certificates: readonly Uint8Array[];
  /** ECDSA with SHA-256, as DER. */
  sign(data: Uint8Array): Uint8Array;
  /** The SubjectPublicKeyInfo of a client certificate that is accepted. */
  clientSpki(certificate: Uint8Array): Uint8Array | undefined;
  /** SHA-1 of the SubjectPublicKeyInfo of each accepted authority, for CERTREQ. */
  readonly authorities?: Uint8Array;
  readonly user: string;
  readonly password: string;
}

const scripted: ResponderCredentials = {
  name: gatewayName,
  certificates: [gatewayKey.spki],
  sign: (data) => gatewayKey.sign(data),
  clientSpki: () => clientKey.spki,
  user,
  password,
};

/** What IKE_AUTH needs of IKE_SA_INIT. */
export interface InitExchange {
  readonly request: Uint8Array;
  readonly response: Uint8Array;
  readonly nonceI: Uint8Array;
  readonly nonceR: Uint8Array;
  /** IntAuth_i and IntAuth_r so far (RFC 9242 §3.3.2). */
  saidI: Uint8Array;
  saidR: Uint8Array;
}

/** The responder's side of IKE_AUTH: certificate or EAP, and the first CHILD_SA. */
export class ResponderAuth {
  readonly #crypto: TestCrypto;
  readonly #options: ResponderOptions;
  readonly #children: Map<number, ResponderChild>;
  #authRequest: Message | undefined;
  #eap: EapServer | undefined;

  constructor(crypto: TestCrypto, options: ResponderOptions, children: Map<number, ResponderChild>) {
    this.#crypto = crypto;
    this.#options = options;
    this.#children = children;
  }

  answer(ike: ResponderIke, message: Message, init: InitExchange): readonly Payload[] {
    const { payloads } = message;
    const eap = pick(payloads, 'EAP');
    const auth = pick(payloads, 'AUTH');
    if (eap) return [{ kind: 'EAP', packet: this.#eap!.answer(eap.packet) }];
    const idi = pick(payloads, 'IDi');
    if (idi) this.#authRequest = message;
    const mid = new Writer(4).u32(this.#authRequest!.header.messageId).finish();
    const intAuth = init.saidI.length > 0 ? concat(init.saidI, init.saidR, mid) : new Uint8Array(0);
    const octetsI = (): Uint8Array =>
      signedOctets(
        this.#crypto,
        ike.suite.prf,
        ike.skPi,
        init.request,
        init.nonceR,
        encodePayloadBody(pick(this.#authRequest!.payloads, 'IDi')!),
        intAuth,
      );
    const { credentials = scripted } = this.#options;
    const idr = { kind: 'IDr', identity: { type: 2, data: encodeUtf8(credentials.name) } } as const;
    const body = encodePayloadBody(idr);
    const covered = this.#options.changeIntAuth?.(intAuth) ?? intAuth;
    const octetsR = signedOctets(this.#crypto, ike.suite.prf, ike.skPr, init.response, init.nonceI, body, covered);
    const own: Payload[] = [
      idr,
      ...credentials.certificates.map((data): Payload => ({ kind: 'CERT', encoding: 4, data })),
      { kind: 'AUTH', ...encodeSignatureAuth('ecdsa-sha256', credentials.sign(octetsR), true) },
    ];
    if (idi && !auth) {
      if (!this.#options.eap) return [notify(24)];
      this.#eap = this.#options.eapServer ?? new MsChapServer(credentials.user, credentials.password, this.#crypto.random(16));
      const { eapOnly = false } = this.#options;
      if (eapOnly === 'always' || (eapOnly && pickNotify(payloads, 16417)))
        return [idr, { kind: 'EAP', packet: this.#eap.answer(undefined) }];
      return [...own, { kind: 'EAP', packet: this.#eap.answer(undefined) }];
    }
    if (idi) {
      const signed = decodeSignatureAuth(auth!.method, auth!.data);
      const certificate = pick(payloads, 'CERT')?.data;
      const spki = certificate && credentials.clientSpki(certificate);
      if ('problem' in signed || !spki || !this.#crypto.verify(spki, signed.scheme, octetsI(), signed.signature))
        return [notify(24)];
      return [...own, ...this.#firstChild(ike, init)];
    }
    const msk = this.#eap?.msk;
    if (!msk || !equal(auth!.data, sharedKeyAuth(this.#crypto, ike.suite.prf, msk, octetsI()))) return [notify(24)];
    return [
      { kind: 'AUTH', method: 2, data: sharedKeyAuth(this.#crypto, ike.suite.prf, msk, octetsR) },
      ...this.#firstChild(ike, init),
    ];
  }

  #firstChild(ike: ResponderIke, init: InitExchange): readonly Payload[] {
    const { payloads } = this.#authRequest!;
    const configs = (this.#options.childProposals ?? childProposals).map((config) => ({ ...config, ke: [] }));
    const chosen = selectChildProposal(configs, pick(payloads, 'SA')!.proposals);
    if ('problem' in chosen) return [notify(14)];
    const spiIn = newSpi(this.#crypto);
    const keys = deriveChildKeys(this.#crypto, ike.suite.prf, ike.skD, chosen.suite, {
      nonceI: init.nonceI,
      nonceR: init.nonceR,
    });
    const tsi = this.#options.tsi ?? [selector('10.9.0.5', '10.9.0.5')];
    const tsr = this.#options.tsr ?? everything;
    this.#children.set(spiIn, { spiIn, spiOut: chosen.spi, inbound: keys.initiator, outbound: keys.responder, tsi, tsr });
    return [
      { kind: 'CP', type: 2, attributes: this.#options.configuration ?? [{ type: 1, value: Uint8Array.of(10, 9, 0, 5) }] },
      { kind: 'SA', proposals: [{ ...chosen.reply, spi: spiOctets(spiIn) }] },
      { kind: 'TSi', selectors: tsi },
      { kind: 'TSr', selectors: tsr },
      ...(this.#options.mobike === false ? [] : [notify(16396)]),
    ];
  }
}

/** An inbound SPI that is not reserved. */
export function newSpi(crypto: TestCrypto): number {
  return 256 + Math.floor(((spiNumber(crypto.random(4)) ?? 1) / 0x1_0000_0000) * 0xffff_fe00);
}
