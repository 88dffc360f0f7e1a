import { concat, encodeUtf8 } from '@aovpn/bytes';
import { chooseScheme, encodeSignatureAuth, ownAnnouncements } from '../crypto/auth-signature.ts';
import { sharedKeyAuth, signedOctets } from '../crypto/keymat.ts';
import { encodeAuthAnnouncements } from '../message/auth-announcement.ts';
import { encodeConfigurationRequest } from '../message/configuration.ts';
import { encodePayloadBody } from '../message/encode.ts';
import type { Identity, Payload } from '../message/payload.ts';
import { buildChildProposals } from '../message/proposal.ts';
import { AuthMethod } from '../registry/auth-method.ts';
import { CertEncoding } from '../registry/cert-encoding.ts';
import { ConfigType } from '../registry/config-attribute.ts';
import { ExchangeType } from '../registry/exchange.ts';
import { IdentityType } from '../registry/identity-type.ts';
import { NotifyType, nameOfNotify } from '../registry/notify.ts';
import { newSpi } from './child.ts';
import type { IkeFailure, IkeSaConfig, KeyAuthentication } from './contract.ts';
import { isFitForEapOnly } from './eap-round.ts';
import { notify } from './pick.ts';
import { buildPpk, mixPpkKeys } from './ppk.ts';
import type { AuthData, Handshake, IkeProofKeys, InitOffer, Protection, SignatureChoice } from './state.ts';
import { ask, currentOf, emit, fail, finish, info, update, type Turn } from './turn.ts';
import { sendLastWords, sendRequest } from './window.ts';

/**
 * The first IKE_AUTH exchange (RFC 7296 §1.2, §2.15) and the AUTH payloads. The order is the promise: certificate verdict and AUTH
 * signature of the gateway are accepted before any EAP answer, and with it any identity or secret of the user, is sent. The one
 * exception is asked for by name (`allowEapOnly`), and then EAP proves the gateway first.
 */
export function startAuth(
  turn: Turn,
  init: InitOffer,
  nonceR: Uint8Array,
  initResponse: Uint8Array,
  intAuth: Uint8Array,
  solution?: Uint8Array,
): void {
  const { config, peer } = turn.sa;
  const { auth } = config;
  const machine = auth.kind === 'eap' ? auth.machine : undefined;
  if (machine && !peer.multipleAuth) return fail(turn, { kind: 'not-supported', what: 'multiple-authentication' });
  const user = auth.identity ?? outerIdentity(turn);
  const spiIn = newSpi(turn);
  const handshake: Handshake = {
    initRequest: init.request,
    initResponse,
    nonceI: init.nonce,
    nonceR,
    intAuth,
    identity: machine ? machine.identity : user,
    spiIn,
    childProposals: buildChildProposals(config.childProposals, spiIn, false),
    gatewayIdentity: undefined,
    next: machine && user,
    solution,
    withPpk: mixPpkKeys(turn),
  };
  const key = ownKey(config);
  if (key) return askForSignature(turn, handshake, key, undefined);
  if (auth.kind !== 'shared-key') return sendAuth(turn, handshake, undefined, undefined);
  const proof = (keys: IkeProofKeys): AuthData => ({
    method: AuthMethod.SHARED_KEY,
    data: sharedKeyAuth(turn.crypto, protectionOf(turn).suite.prf, auth.key, ownOctets(turn, handshake, keys)),
  });
  const plain = withoutPpk(turn, handshake) ? proof(protectionOf(turn)) : undefined;
  sendAuth(turn, handshake, proof(proofKeys(turn, handshake)), plain);
}

/** The host's key has signed. */
export function processSigned(
  turn: Turn,
  question: number,
  signature: Uint8Array | undefined,
  problem: string | undefined,
): void {
  const { phase, config } = turn.sa;
  const key = ownKey(config);
  if (phase.name !== 'auth-await-signature' || phase.question !== question || !key) return;
  if (!signature) return fail(turn, { kind: 'signing', problem: problem ?? 'the key did not sign' });
  const { handshake, choice, withPpk } = phase;
  let auth: AuthData;
  try {
    auth = encodeSignatureAuth(choice.scheme, signature, choice.rfc7427);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return fail(turn, { kind: 'signing', problem: error.message });
  }
  if (withPpk) return sendAuth(turn, handshake, withPpk, auth);
  if (withoutPpk(turn, handshake)) return askForSignature(turn, handshake, key, auth);
  sendAuth(turn, handshake, auth, undefined);
}

/** An error that ended IKE_AUTH. It came protected, but possibly from somebody who is not the gateway: all it can do is end the attempt. */
export function authError(turn: Turn, type: number, machine = false): IkeFailure {
  info(turn, `the gateway ends IKE_AUTH with ${nameOfNotify(type)}`);
  if (type === NotifyType.AUTHENTICATION_FAILED) {
    if (machine) return { kind: 'authentication-failed', detail: "the gateway refuses the machine's certificate", machine };
    const { kind } = turn.sa.config.auth;
    const who =
      kind === 'certificate' ? 'our certificate or signature' : kind === 'shared-key' ? 'our name or shared key' : 'our identity';
    return { kind: 'authentication-failed', detail: `the gateway refuses ${who}` };
  }
  return childError(type, 'IKE_AUTH');
}

/** The failure that stands for an error Notify where a CHILD_SA was asked for. */
export function childError(type: number, phase: string): IkeFailure {
  if (type === NotifyType.NO_PROPOSAL_CHOSEN) return { kind: 'no-proposal-chosen', what: 'child' };
  if (type === NotifyType.TS_UNACCEPTABLE) return { kind: 'ts-unacceptable' };
  if (type === NotifyType.INTERNAL_ADDRESS_FAILURE || type === NotifyType.FAILED_CP_REQUIRED) return { kind: 'no-address' };
  return { kind: 'notify', type, name: nameOfNotify(type), phase };
}

/** We do not accept the gateway: it is told (RFC 7296 §2.21.2), and nothing is awaited. */
export function refuse(turn: Turn, failure: IkeFailure): void {
  sendLastWords(turn, currentOf(turn.sa), ExchangeType.INFORMATIONAL, [notify(NotifyType.AUTHENTICATION_FAILED)]);
  finish(turn, { kind: 'failed', failure });
}

export function offersEapOnly({ auth }: IkeSaConfig): boolean {
  return auth.kind === 'eap' && auth.allowEapOnly === true && auth.machine === undefined && isFitForEapOnly(auth.peer);
}

/** Whether this handshake leaves the CHILD_SA to CREATE_CHILD_SA (RFC 6023). */
export function isChildless({ config, peer }: Turn['sa']): boolean {
  return config.childless === true && peer.childless;
}

/** What our AUTH covers (RFC 7296 §2.15). */
export function ownOctets(turn: Turn, handshake: Handshake, { skPi }: IkeProofKeys): Uint8Array {
  const { suite } = protectionOf(turn);
  const body = encodePayloadBody({ kind: 'IDi', identity: handshake.identity });
  return signedOctets(turn.crypto, suite.prf, skPi, handshake.initRequest, handshake.nonceR, body, handshake.intAuth);
}

/** What the gateway's AUTH covers. */
export function gatewayOctets(turn: Turn, handshake: Handshake, identity: Identity): Uint8Array {
  const { suite, skPr } = protectionOf(turn);
  const body = encodePayloadBody({ kind: 'IDr', identity });
  return signedOctets(turn.crypto, suite.prf, skPr, handshake.initResponse, handshake.nonceI, body, handshake.intAuth);
}

/** The keys that our AUTH is made with: in the last round those with the PPK, if there is one. */
export function proofKeys(turn: Turn, { next, withPpk }: Handshake): IkeProofKeys {
  return (next ? undefined : withPpk) ?? protectionOf(turn);
}

/** Whether a second AUTH goes along, for a gateway that does not have the PPK. */
export function withoutPpk(turn: Turn, { next, withPpk }: Handshake): boolean {
  return next === undefined && withPpk !== undefined && turn.sa.config.ppk?.required === false;
}

export function protectionOf(turn: Turn): Protection {
  const { protection } = currentOf(turn.sa);
  if (!protection) throw new Error('IKE_AUTH without keys');
  return protection;
}

/** What asks for addresses, names and the CHILD_SA. */
export function buildChildRequest(turn: Turn, handshake: Handshake): Payload[] {
  const { request, trafficSelectors, replaces } = turn.sa.config;
  return [
    ...(request.v4 || request.v6
      ? [{ kind: 'CP', type: ConfigType.REQUEST, attributes: encodeConfigurationRequest(request, replaces) } as const]
      : []),
    ...(isChildless(turn.sa)
      ? []
      : [
          { kind: 'SA', proposals: handshake.childProposals } as const,
          { kind: 'TSi', selectors: trafficSelectors.tsi } as const,
          { kind: 'TSr', selectors: trafficSelectors.tsr } as const,
        ]),
  ];
}

function outerIdentity({ sa: { path } }: Turn): Identity {
  return {
    type: path.local.family === 4 ? IdentityType.IPV4_ADDR : IdentityType.IPV6_ADDR,
    data: path.local.bytes,
  };
}

function ownKey({ auth }: IkeSaConfig): KeyAuthentication | undefined {
  return auth.kind === 'certificate' ? auth : auth.kind === 'eap' ? auth.machine : undefined;
}

function askForSignature(turn: Turn, handshake: Handshake, key: KeyAuthentication, withPpk: AuthData | undefined): void {
  const choice: SignatureChoice | undefined = chooseScheme(key.schemes, turn.sa.peer.hashes, turn.sa.peer.authMethods);
  if (!choice) return fail(turn, { kind: 'signing', problem: 'the key can do no signature that the gateway accepts' });
  const question = ask(turn);
  update(turn, { phase: { name: 'auth-await-signature', handshake, question, choice, withPpk } });
  const keys = withPpk ? protectionOf(turn) : proofKeys(turn, handshake);
  emit(turn, { kind: 'sign', request: question, scheme: choice.scheme, data: ownOctets(turn, handshake, keys) });
}

function sendAuth(turn: Turn, handshake: Handshake, auth: AuthData | undefined, authWithoutPpk: AuthData | undefined): void {
  update(turn, { phase: { name: 'auth-await-response', handshake } });
  const payloads = buildAuth(turn, handshake, auth, authWithoutPpk);
  sendRequest(turn, currentOf(turn.sa).id, ExchangeType.IKE_AUTH, payloads, { kind: 'auth' });
}

function buildAuth(
  turn: Turn,
  handshake: Handshake,
  auth: AuthData | undefined,
  authWithoutPpk: AuthData | undefined,
): Payload[] {
  const { config, peer } = turn.sa;
  const { certificateAuthorities, gatewayKeys = [] } = config;
  return [
    ...(handshake.solution ? [{ kind: 'PS', solution: handshake.solution } as const] : []),
    { kind: 'IDi', identity: handshake.identity },
    ...ownCertificates(turn, ownKey(config)),
    ...(config.replaces || config.beside ? [] : [notify(NotifyType.INITIAL_CONTACT)]),
    { kind: 'CERTREQ', encoding: CertEncoding.X509_SIGNATURE, authorities: concat(...certificateAuthorities) },
    ...(config.fetchesCertificates === true ? [notify(NotifyType.HTTP_CERT_LOOKUP_SUPPORTED)] : []),
    // RFC 7670 §3, RFC 4806 §3.1: without a list, anything that we know.
    ...(gatewayKeys.length > 0 ? [request(CertEncoding.RAW_PUBLIC_KEY)] : []),
    ...(config.ocsp ? [request(CertEncoding.OCSP_CONTENT)] : []),
    ...(config.gatewayIdentity ? [{ kind: 'IDr', identity: config.gatewayIdentity } as const] : []),
    ...(auth ? [{ kind: 'AUTH', method: auth.method, data: auth.data } as const] : []),
    ...buildChildRequest(turn, handshake),
    ...(config.mobike ? [notify(NotifyType.MOBIKE_SUPPORTED)] : []),
    notify(NotifyType.IKEV2_MESSAGE_ID_SYNC_SUPPORTED),
    ...(offersEapOnly(config) ? [notify(NotifyType.EAP_ONLY_AUTHENTICATION)] : []),
    ...(handshake.next ? [notify(NotifyType.MULTIPLE_AUTH_SUPPORTED), notify(NotifyType.ANOTHER_AUTH_FOLLOWS)] : []),
    ...(auth && !handshake.next ? buildPpk(turn, handshake, authWithoutPpk) : []),
    ...(config.askTicket ? [notify(NotifyType.TICKET_REQUEST)] : []),
    ...(peer.authMethods ? [notify(NotifyType.SUPPORTED_AUTH_METHODS, encodeAuthAnnouncements(ownAnnouncements()))] : []),
  ];
}

/** Ours as they are, or where the first of them is for a gateway that fetches it (RFC 7296 §3.6). */
function ownCertificates({ crypto, sa }: Turn, key: KeyAuthentication | undefined): Payload[] {
  if (!key) return [];
  if (key.rawKey) return [{ kind: 'CERT', encoding: CertEncoding.RAW_PUBLIC_KEY, data: key.rawKey }];
  const { certificates, certificateUrl } = key;
  const [first, ...others] = certificates;
  const inline = (data: Uint8Array): Payload => ({ kind: 'CERT', encoding: CertEncoding.X509_SIGNATURE, data });
  if (!first || certificateUrl === undefined || !sa.peer.fetchesCertificates) return certificates.map(inline);
  const data = concat(crypto.hash('sha1', first), encodeUtf8(certificateUrl));
  return [{ kind: 'CERT', encoding: CertEncoding.HASH_AND_URL, data }, ...others.map(inline)];
}

function request(encoding: number): Payload {
  return { kind: 'CERTREQ', encoding, authorities: new Uint8Array(0) };
}
