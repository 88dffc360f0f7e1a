import { concat, encodeUtf8, equal, Writer } from '@aovpn/bytes';
import { decodeSignatureAuth, encodeSignatureAuth } from '../src/crypto/auth-signature.ts';
import { deriveChildKeys, mixPpk, resumedAuth, sharedKeyAuth, signedOctets } from '../src/crypto/keymat.ts';
import { notify, pick, pickAll, pickNotify, spiNumber, spiOctets } from '../src/machine/pick.ts';
import { encodePayloadBody } from '../src/message/encode.ts';
import type { Identity, Message, Payload } from '../src/message/payload.ts';
import { selectChildProposal } from '../src/message/proposal.ts';
import { writeSeconds } from '../src/message/ticket.ts';
import { MsChapServer } from './ms-chap-server.ts';
import type { EapServer } from './tls-method.ts';
import type { ResponderOptions } from './responder-options.ts';
import { crashTokenOf, grantTicket } from './responder-memory.ts';
import type { ResponderChild, ResponderIke } from './responder-sa.ts';
import type { TestCrypto } from './test-crypto.ts';
import { childProposals, clientKey, everything, gatewayKey, gatewayName, password, selector, user } from './world.ts';

/** Who the responder is, and whom it knows. Without them it is the gateway of the exchange scripts. */
export interface ResponderCredentials {
  /** Its IDr, an FQDN. */
  readonly name: string;
  /** What goes into its CERT payloads, leaf first. */
  readonly certificates: readonly Uint8Array[];
  /** SubjectPublicKeyInfo of its key. */
  readonly spki: Uint8Array;
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
  spki: gatewayKey.spki,
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

/** The responder's side of IKE_AUTH: certificate, shared key, EAP or several of them, and the first CHILD_SA. */
export class ResponderAuth {
  readonly #crypto: TestCrypto;
  readonly #options: ResponderOptions;
  readonly #children: Map<number, ResponderChild>;
  /** The request that asked for the CHILD_SA. */
  #authRequest: Message | undefined;
  /** The newest IDi. */
  #identity: Identity | undefined;
  #eap: EapServer | undefined;
  #ike: ResponderIke | undefined;

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
    if (ike !== this.#ike) this.#authRequest = undefined;
    this.#ike = ike;
    if (idi) this.#identity = idi.identity;
    // The second IDi of several authentications comes alone (RFC 4739 §2.1).
    if (idi && !auth && this.#authRequest) return this.#startEap();
    if (idi) this.#authRequest = message;
    if (ike.resumed) return this.#answerResumed(ike, message, init);
    if (idi && !auth) return this.#answerEapStart(ike, payloads, init);
    if (idi) return this.#answerFirst(ike, message, init);
    return this.#answerProof(ike, message, init);
  }

  #answerEapStart(ike: ResponderIke, payloads: readonly Payload[], init: InitExchange): readonly Payload[] {
    const { eapOnly = false } = this.#options;
    const [begin] = this.#startEap();
    if (!begin || begin.kind !== 'EAP') return [notify(24)];
    if (eapOnly === 'always' || (eapOnly && pickNotify(payloads, 16417))) return [this.#idr(), begin];
    return [...this.#ownProof(ike, payloads, init), begin];
  }

  #answerFirst(ike: ResponderIke, { payloads }: Message, init: InitExchange): readonly Payload[] {
    const auth = pick(payloads, 'AUTH')!;
    const follows = pickNotify(payloads, 16405) !== undefined;
    const ppk = follows ? undefined : this.#settlePpk(ike, payloads);
    if (ppk === 'unknown') return [notify(24)];
    const data = ppk === 'declined' ? pickNotify(payloads, 16437)!.data : auth.data;
    const octets = this.#octetsI(ike, init);
    const { sharedKey } = this.#options;
    if (auth.method === 2) {
      if (!sharedKey || !equal(data, sharedKeyAuth(this.#crypto, ike.suite.prf, sharedKey, octets))) return [notify(24)];
    } else {
      const signed = decodeSignatureAuth(auth.method, data);
      const certificate = pick(payloads, 'CERT');
      const { credentials = scripted } = this.#options;
      const spki = certificate && (certificate.encoding === 15 ? certificate.data : credentials.clientSpki(certificate.data));
      if ('problem' in signed || !spki || !this.#crypto.verify(spki, signed.scheme, octets, signed.signature))
        return [notify(24)];
    }
    const own = this.#ownProof(ike, payloads, init);
    if (follows) return this.#options.multipleAuth ? own : [notify(24)];
    return [...own, ...(ppk === 'agreed' ? [notify(16436)] : []), ...this.#firstChild(ike, init)];
  }

  #answerProof(ike: ResponderIke, { payloads }: Message, init: InitExchange): readonly Payload[] {
    const msk = this.#eap?.msk;
    const ppk = this.#settlePpk(ike, payloads);
    if (ppk === 'unknown') return [notify(24)];
    const data = ppk === 'declined' ? pickNotify(payloads, 16437)!.data : pick(payloads, 'AUTH')!.data;
    if (!msk || !equal(data, sharedKeyAuth(this.#crypto, ike.suite.prf, msk, this.#octetsI(ike, init)))) return [notify(24)];
    return [
      { kind: 'AUTH', method: 2, data: sharedKeyAuth(this.#crypto, ike.suite.prf, msk, this.#octetsR(ike, init)) },
      ...(ppk === 'agreed' ? [notify(16436)] : []),
      ...this.#firstChild(ike, init),
    ];
  }

  /** RFC 5723 §5.1 */
  #answerResumed(ike: ResponderIke, { payloads }: Message, init: InitExchange): readonly Payload[] {
    const expected = resumedAuth(this.#crypto, ike.suite.prf, ike.skPi, init.request);
    const sameClient = equal(encodeId(this.#identity!), encodeId(ike.identities!.client));
    if (!sameClient || !equal(pick(payloads, 'AUTH')!.data, expected)) return [notify(24)];
    return [
      { kind: 'IDr', identity: ike.identities!.own },
      { kind: 'AUTH', method: 2, data: resumedAuth(this.#crypto, ike.suite.prf, ike.skPr, init.response) },
      ...this.#firstChild(ike, init),
    ];
  }

  #startEap(): readonly Payload[] {
    const { credentials = scripted } = this.#options;
    if (!this.#options.eap) return [notify(24)];
    this.#eap = this.#options.eapServer ?? new MsChapServer(credentials.user, credentials.password, this.#crypto.random(16));
    return [{ kind: 'EAP', packet: this.#eap.answer(undefined) }];
  }

  /** What the client's PPK_IDENTITY comes to; with an agreement the keys change from here on. */
  #settlePpk(ike: ResponderIke, payloads: readonly Payload[]): 'none' | 'agreed' | 'declined' | 'unknown' {
    const named = pickNotify(payloads, 16436)?.data;
    if (!named) return 'none';
    const { ppk } = this.#options;
    if (!ppk || !equal(named, ppk.identity)) return pickNotify(payloads, 16437) ? 'declined' : 'unknown';
    Object.assign(ike, mixPpk(this.#crypto, ike.suite.prf, ppk.key, ike));
    return 'agreed';
  }

  #idr(): Payload & { readonly kind: 'IDi' | 'IDr' } {
    const { credentials = scripted, identity } = this.#options;
    return { kind: 'IDr', identity: identity ?? { type: 2, data: encodeUtf8(credentials.name) } };
  }

  /** RFC 9242 §3.3.2 */
  #intAuth({ saidI, saidR }: InitExchange): Uint8Array {
    const mid = new Writer(4).u32(this.#authRequest!.header.messageId).finish();
    return saidI.length > 0 ? concat(saidI, saidR, mid) : new Uint8Array(0);
  }

  #octetsI(ike: ResponderIke, init: InitExchange): Uint8Array {
    const id = encodeId(this.#identity!);
    return signedOctets(this.#crypto, ike.suite.prf, ike.skPi, init.request, init.nonceR, id, this.#intAuth(init));
  }

  #octetsR(ike: ResponderIke, init: InitExchange): Uint8Array {
    const id = encodeId(this.#idr().identity);
    const intAuth = this.#intAuth(init);
    const covered = this.#options.changeIntAuth?.(intAuth) ?? intAuth;
    return signedOctets(this.#crypto, ike.suite.prf, ike.skPr, init.response, init.nonceI, id, covered);
  }

  /** IDr, CERT and AUTH of the gateway. */
  #ownProof(ike: ResponderIke, request: readonly Payload[], init: InitExchange): Payload[] {
    const { credentials = scripted, sharedKey, rawKey, ocspResponses = [] } = this.#options;
    const octets = this.#octetsR(ike, init);
    if (sharedKey) {
      const data = sharedKeyAuth(this.#crypto, ike.suite.prf, sharedKey, octets);
      return [this.#idr(), { kind: 'AUTH', method: 2, data }];
    }
    const asks = (encoding: number): boolean => pickAll(request, 'CERTREQ').some((payload) => payload.encoding === encoding);
    const certificates = rawKey
      ? rawKey === 'sent'
        ? [{ kind: 'CERT', encoding: 15, data: credentials.spki } as const]
        : []
      : credentials.certificates.map((data) => ({ kind: 'CERT', encoding: 4, data }) as const);
    return [
      this.#idr(),
      ...certificates,
      ...(asks(14) ? ocspResponses.map((data) => ({ kind: 'CERT', encoding: 14, data }) as const) : []),
      { kind: 'AUTH', ...encodeSignatureAuth('ecdsa-sha256', credentials.sign(octets), true) },
    ];
  }

  #firstChild(ike: ResponderIke, init: InitExchange): readonly Payload[] {
    const { payloads } = this.#authRequest!;
    ike.identities = { own: this.#idr().identity, client: this.#identity! };
    const { tickets, authLifetime, crashSecret } = this.#options;
    const extras = [
      ...(this.#options.mobike === false ? [] : [notify(16396)]),
      ...(authLifetime === undefined ? [] : [notify(16403, writeSeconds(authLifetime))]),
      ...(pickNotify(payloads, 16410) ? grantTicket(this.#crypto, ike, tickets) : []),
      ...crashTokenOf(this.#crypto, ike, crashSecret),
    ];
    const configuration = this.#options.configuration ?? [{ type: 1, value: Uint8Array.of(10, 9, 0, 5) }];
    const reply = { kind: 'CP', type: 2, attributes: configuration } as const;
    if (!pick(payloads, 'SA')) return [reply, ...extras];
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
      reply,
      { kind: 'SA', proposals: [{ ...chosen.reply, spi: spiOctets(spiIn) }] },
      { kind: 'TSi', selectors: tsi },
      { kind: 'TSr', selectors: tsr },
      ...extras,
    ];
  }
}

function encodeId(identity: Identity): Uint8Array {
  return encodePayloadBody({ kind: 'IDi', identity });
}

/** An inbound SPI that is not reserved. */
export function newSpi(crypto: TestCrypto): number {
  return 256 + Math.floor(((spiNumber(crypto.random(4)) ?? 1) / 0x1_0000_0000) * 0xffff_fe00);
}
