import { concat } from '@aovpn/bytes';
import { chooseScheme, decodeSignatureAuth, encodeSignatureAuth, spkiKindOf } from '../crypto/auth-signature.ts';
import { sharedKeyAuth, signedOctets } from '../crypto/keymat.ts';
import { encodeConfigurationRequest } from '../message/configuration.ts';
import { encodePayloadBody } from '../message/encode.ts';
import type { Identity, Message, Payload } from '../message/payload.ts';
import { buildChildProposals } from '../message/proposal.ts';
import { AuthMethod } from '../registry/auth-method.ts';
import { CertEncoding } from '../registry/cert-encoding.ts';
import { ConfigType } from '../registry/config-attribute.ts';
import { checkExchange } from '../registry/exchange-rule.ts';
import { ExchangeType } from '../registry/exchange.ts';
import { IdentityType } from '../registry/identity-type.ts';
import { NotifyType, nameOfNotify } from '../registry/notify.ts';
import { certificateLimit } from './choice.ts';
import { newSpi } from './child.ts';
import type { GatewayVerdict, IkeFailure, IkeSaConfig } from './contract.ts';
import { completeAuth } from './child-create.ts';
import { isFitForEapOnly, startEap } from './eap-round.ts';
import { formatIdentity } from './facts.ts';
import { notify, pick, pickAll, pickError } from './pick.ts';
import type { Handshake, InitOffer, Protection } from './state.ts';
import { ask, currentOf, emit, fail, finish, info, update, type Turn } from './turn.ts';
import { sendLastWords, sendRequest } from './window.ts';
import { equalConstantTime, wipe } from '@aovpn/bytes';

/**
 * The first IKE_AUTH exchange (RFC 7296 §1.2, §2.15) and the AUTH payloads. The order is the promise: certificate verdict and AUTH
 * signature of the gateway are accepted before any EAP answer, and with it any identity or secret of the user, is sent. The one
 * exception is asked for by name (`allowEapOnly`), and then EAP proves the gateway first.
 */
export function startAuth(turn: Turn, init: InitOffer, nonceR: Uint8Array, initResponse: Uint8Array, intAuth: Uint8Array): void {
  const { config, path, peer } = turn.sa;
  const spiIn = newSpi(turn);
  const outer: Identity = {
    type: path.local.family === 4 ? IdentityType.IPV4_ADDR : IdentityType.IPV6_ADDR,
    data: path.local.bytes,
  };
  const handshake: Handshake = {
    initRequest: init.request,
    initResponse,
    nonceI: init.nonce,
    nonceR,
    intAuth,
    identity: config.auth.identity ?? outer,
    spiIn,
    childProposals: buildChildProposals(config.childProposals, spiIn, false),
    gatewayIdentity: undefined,
  };
  if (config.auth.kind === 'eap') return sendAuth(turn, handshake, undefined);
  const choice = chooseScheme(config.auth.schemes, peer.hashes);
  if (!choice) return fail(turn, { kind: 'signing', problem: 'the key can do no signature that the gateway accepts' });
  const question = ask(turn);
  update(turn, { phase: { name: 'auth-await-signature', handshake, question, rfc7427: choice.rfc7427 } });
  emit(turn, { kind: 'sign', request: question, scheme: choice.scheme, data: ownOctets(turn, handshake) });
}

/** The host's key has signed. */
export function processSigned(
  turn: Turn,
  question: number,
  signature: Uint8Array | undefined,
  problem: string | undefined,
): void {
  const { phase, config, peer } = turn.sa;
  if (phase.name !== 'auth-await-signature' || phase.question !== question || config.auth.kind !== 'certificate') return;
  const choice = chooseScheme(config.auth.schemes, peer.hashes);
  if (!signature || !choice) return fail(turn, { kind: 'signing', problem: problem ?? 'the key did not sign' });
  let auth: { readonly method: number; readonly data: Uint8Array };
  try {
    auth = encodeSignatureAuth(choice.scheme, signature, phase.rfc7427);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return fail(turn, { kind: 'signing', problem: error.message });
  }
  sendAuth(turn, phase.handshake, auth);
}

/** The answer to the first IKE_AUTH request. */
export function processAuth(turn: Turn, handshake: Handshake, message: Message): void {
  const { payloads } = message;
  const auth = pick(payloads, 'AUTH');
  const error = pickError(payloads);
  if (error && !auth) return fail(turn, authError(turn, error.type));
  if (!auth && offersEapOnly(turn.sa.config) && pick(payloads, 'EAP')) return processEapOnly(turn, handshake, message);
  const violation = checkExchange(message, 'ike-auth-first')[0];
  if (violation)
    return refuse(turn, { kind: 'invalid-syntax', detail: `IKE_AUTH answer: ${violation.payload} ${violation.what}` });
  const identity = pick(payloads, 'IDr')?.identity;
  if (!auth || !identity)
    return refuse(turn, {
      kind: 'gateway-refused',
      refusal: 'no-certificate',
      detail: 'the gateway did not authenticate itself',
    });
  const certificates = pickAll(payloads, 'CERT')
    .filter(({ encoding }) => encoding === CertEncoding.X509_SIGNATURE)
    .slice(0, certificateLimit)
    .map(({ data }) => data.slice());
  if (certificates.length === 0)
    return refuse(turn, { kind: 'gateway-refused', refusal: 'no-certificate', detail: 'the gateway sent no certificate' });
  const question = ask(turn);
  update(turn, { phase: { name: 'auth-await-verdict', handshake, question, payloads } });
  emit(turn, { kind: 'verify-gateway', request: question, certificates, identity, names: turn.sa.config.gatewayNames });
}

/**
 * The gateway leaves its proof to EAP (RFC 5998 §3). All that it has then is a name; what proves it is that the RADIUS server, whose
 * certificate is checked, hands it the key from which the final AUTH payloads are made.
 */
function processEapOnly(turn: Turn, handshake: Handshake, message: Message): void {
  const { config } = turn.sa;
  const violation = checkExchange(message, 'ike-auth-eap-only')[0];
  if (violation || config.auth.kind !== 'eap')
    return refuse(turn, { kind: 'invalid-syntax', detail: `IKE_AUTH answer: ${violation?.payload} ${violation?.what}` });
  const { identity } = pick(message.payloads, 'IDr')!;
  const name = formatIdentity(identity);
  if (!config.gatewayNames.some((wanted) => wanted.toLowerCase() === name.toLowerCase())) {
    const detail = `the gateway calls itself ${name}; the profile wants ${config.gatewayNames.join(', ')}`;
    return refuse(turn, { kind: 'gateway-refused', refusal: 'wrong-name', detail });
  }
  update(turn, { gateway: { identity: name, subject: '', authentication: 'EAP only' } });
  info(turn, `the gateway, ${name} by its own word, is to be proven by EAP alone`);
  startEap(turn, { ...handshake, gatewayIdentity: identity }, config.auth.peer, pick(message.payloads, 'EAP')!.packet);
}

function offersEapOnly({ auth }: IkeSaConfig): boolean {
  return auth.kind === 'eap' && auth.allowEapOnly === true && isFitForEapOnly(auth.peer);
}

/** The host has judged the certificate; now the signature, and only then what else the gateway said. */
export function processVerdict(turn: Turn, question: number, verdict: GatewayVerdict): void {
  const { phase, config } = turn.sa;
  if (phase.name !== 'auth-await-verdict' || phase.question !== question) return;
  if (!verdict.accepted) return refuse(turn, { kind: 'gateway-refused', refusal: verdict.reason, detail: verdict.detail });
  const { payloads } = phase;
  const auth = pick(payloads, 'AUTH')!;
  const { identity } = pick(payloads, 'IDr')!;
  const signed = decodeSignatureAuth(auth.method, auth.data, spkiKindOf(verdict.spki));
  if ('problem' in signed) {
    info(turn, `AUTH of the gateway: ${signed.problem}`);
    return refuse(turn, { kind: 'gateway-signature' });
  }
  // SHA-1 is for gateways that know RFC 7296 alone; we never announce it for RFC 7427.
  const weak = signed.scheme === 'rsa-pkcs1-sha1' && auth.method === AuthMethod.DIGITAL_SIGNATURE;
  const octets = gatewayOctets(turn, phase.handshake, identity);
  if (weak || !turn.crypto.verify(verdict.spki, signed.scheme, octets, signed.signature)) {
    return refuse(turn, { kind: 'gateway-signature' });
  }
  const handshake: Handshake = { ...phase.handshake, gatewayIdentity: identity };
  update(turn, {
    gateway: { identity: formatIdentity(identity), subject: verdict.subject, authentication: `certificate, ${signed.scheme}` },
  });
  info(turn, `the gateway is ${verdict.subject} (${signed.scheme})`);
  const eap = pick(payloads, 'EAP');
  if (config.auth.kind === 'certificate') {
    if (eap)
      return refuse(turn, { kind: 'authentication-failed', detail: 'the gateway demands EAP, the profile has a certificate' });
    return completeAuth(turn, handshake, payloads);
  }
  if (!eap) return refuse(turn, { kind: 'protocol', detail: 'the gateway did not begin EAP' });
  startEap(turn, handshake, config.auth.peer, eap.packet);
}

/** EAP is over and gave a key: both sides prove that they have it (RFC 7296 §2.16). */
export function sendProof(turn: Turn, handshake: Handshake, msk: Uint8Array): void {
  const { suite } = protectionOf(turn);
  const data = sharedKeyAuth(turn.crypto, suite.prf, msk, ownOctets(turn, handshake));
  update(turn, { phase: { name: 'proof-await-response', handshake, msk } });
  sendRequest(turn, currentOf(turn.sa).id, ExchangeType.IKE_AUTH, [{ kind: 'AUTH', method: AuthMethod.SHARED_KEY, data }], {
    kind: 'auth',
  });
}

/** The answer to our proof. */
export function processProof(turn: Turn, handshake: Handshake, msk: Uint8Array, message: Message): void {
  const { payloads } = message;
  const auth = pick(payloads, 'AUTH');
  const error = pickError(payloads);
  if (error && !auth) return fail(turn, authError(turn, error.type));
  const violation = checkExchange(message, 'ike-auth-final')[0];
  if (violation)
    return refuse(turn, { kind: 'invalid-syntax', detail: `IKE_AUTH answer: ${violation.payload} ${violation.what}` });
  const expected = sharedKeyAuth(
    turn.crypto,
    protectionOf(turn).suite.prf,
    msk,
    gatewayOctets(turn, handshake, handshake.gatewayIdentity!),
  );
  const proven = auth?.method === AuthMethod.SHARED_KEY && equalConstantTime(auth.data, expected);
  if (!proven) return refuse(turn, { kind: 'gateway-signature' });
  wipe(msk);
  completeAuth(turn, handshake, payloads);
}

/** An error that ended IKE_AUTH. It came protected, but possibly from somebody who is not the gateway: all it can do is end the attempt. */
export function authError(turn: Turn, type: number): IkeFailure {
  info(turn, `the gateway ends IKE_AUTH with ${nameOfNotify(type)}`);
  if (type === NotifyType.AUTHENTICATION_FAILED) {
    const who = turn.sa.config.auth.kind === 'certificate' ? 'our certificate or signature' : 'our identity';
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
  sendLastWords(turn, ExchangeType.INFORMATIONAL, [notify(NotifyType.AUTHENTICATION_FAILED)]);
  finish(turn, { kind: 'failed', failure });
}

function sendAuth(
  turn: Turn,
  handshake: Handshake,
  auth: { readonly method: number; readonly data: Uint8Array } | undefined,
): void {
  update(turn, { phase: { name: 'auth-await-response', handshake } });
  sendRequest(turn, currentOf(turn.sa).id, ExchangeType.IKE_AUTH, buildAuth(turn, handshake, auth), { kind: 'auth' });
}

function buildAuth(
  turn: Turn,
  handshake: Handshake,
  auth: { readonly method: number; readonly data: Uint8Array } | undefined,
): Payload[] {
  const { config } = turn.sa;
  const certificates = config.auth.kind === 'certificate' ? config.auth.certificates : [];
  const { request, trafficSelectors, certificateAuthorities } = config;
  return [
    { kind: 'IDi', identity: handshake.identity },
    ...certificates.map((data): Payload => ({ kind: 'CERT', encoding: CertEncoding.X509_SIGNATURE, data })),
    notify(NotifyType.INITIAL_CONTACT),
    { kind: 'CERTREQ', encoding: CertEncoding.X509_SIGNATURE, authorities: concat(...certificateAuthorities) },
    ...(auth ? [{ kind: 'AUTH', method: auth.method, data: auth.data } as const] : []),
    ...(request.v4 || request.v6
      ? [{ kind: 'CP', type: ConfigType.REQUEST, attributes: encodeConfigurationRequest(request) } as const]
      : []),
    { kind: 'SA', proposals: handshake.childProposals },
    { kind: 'TSi', selectors: trafficSelectors.tsi },
    { kind: 'TSr', selectors: trafficSelectors.tsr },
    ...(config.mobike ? [notify(NotifyType.MOBIKE_SUPPORTED)] : []),
    ...(offersEapOnly(config) ? [notify(NotifyType.EAP_ONLY_AUTHENTICATION)] : []),
  ];
}

/** What our AUTH covers (RFC 7296 §2.15). */
function ownOctets(turn: Turn, handshake: Handshake): Uint8Array {
  const { suite, skPi } = protectionOf(turn);
  const body = encodePayloadBody({ kind: 'IDi', identity: handshake.identity });
  return signedOctets(turn.crypto, suite.prf, skPi, handshake.initRequest, handshake.nonceR, body, handshake.intAuth);
}

/** What the gateway's AUTH covers. */
function gatewayOctets(turn: Turn, handshake: Handshake, identity: Identity): Uint8Array {
  const { suite, skPr } = protectionOf(turn);
  const body = encodePayloadBody({ kind: 'IDr', identity });
  return signedOctets(turn.crypto, suite.prf, skPr, handshake.initResponse, handshake.nonceI, body, handshake.intAuth);
}

function protectionOf(turn: Turn): Protection {
  const { protection } = currentOf(turn.sa);
  if (!protection) throw new Error('IKE_AUTH without keys');
  return protection;
}
