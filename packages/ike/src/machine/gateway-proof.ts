import { decodeUtf8, equal } from '@aovpn/bytes';
import { decodeSignatureAuth, spkiKindOf } from '../crypto/auth-signature.ts';
import { sharedKeyAuth } from '../crypto/keymat.ts';
import type { Identity, Message, Payload } from '../message/payload.ts';
import { AuthMethod } from '../registry/auth-method.ts';
import { CertEncoding } from '../registry/cert-encoding.ts';
import { checkExchange } from '../registry/exchange-rule.ts';
import { IdentityType } from '../registry/identity-type.ts';
import { authError, gatewayOctets, isChildless, offersEapOnly, protectionOf, refuse } from './auth.ts';
import { completeAuth } from './child-create.ts';
import { certificateLimit, ocspLimit, referenceLimit } from './choice.ts';
import type { CertificateReference, GatewayVerdict } from './contract.ts';
import { startEap } from './eap-round.ts';
import { formatIdentity } from './facts.ts';
import { startNextRound } from './multi-auth.ts';
import { pick, pickAll, pickError } from './pick.ts';
import { settlePpk } from './ppk.ts';
import { follow, redirectedTo } from './redirect.ts';
import type { Handshake } from './state.ts';
import { ask, emit, fail, info, update, type Turn } from './turn.ts';

/** Octets of the SHA-1 in front of a URL (RFC 7296 §3.6). */
const certificateHashLength = 20;

/** How the gateway proves itself in its first answer of IKE_AUTH: by certificate, by a key that was handed to us, by a shared key. */

/** The answer to the first IKE_AUTH request. */
export function processAuth(turn: Turn, handshake: Handshake, message: Message): void {
  const { payloads } = message;
  const { config } = turn.sa;
  const auth = pick(payloads, 'AUTH');
  const error = pickError(payloads);
  if (error && !auth) return fail(turn, authError(turn, error.type, handshake.next !== undefined));
  if (!auth && offersEapOnly(config) && pick(payloads, 'EAP')) return processEapOnly(turn, handshake, message);
  const topic = handshake.next ? 'ike-auth-round' : isChildless(turn.sa) ? 'ike-auth-childless' : 'ike-auth-first';
  const violation = checkExchange(message, topic)[0];
  if (violation)
    return refuse(turn, { kind: 'invalid-syntax', detail: `IKE_AUTH answer: ${violation.payload} ${violation.what}` });
  const identity = pick(payloads, 'IDr')?.identity;
  if (!auth || !identity)
    return refuse(turn, {
      kind: 'gateway-refused',
      refusal: 'no-certificate',
      detail: 'the gateway did not authenticate itself',
    });
  if (config.auth.kind !== 'eap' && !settlePpk(turn, handshake, payloads))
    return refuse(turn, { kind: 'not-supported', what: 'ppk' });
  // Never NULL (RFC 7619), and a shared key only where that is what the profile has: whoever holds it could play the gateway.
  if (auth.method === AuthMethod.SHARED_KEY) return processSharedKey(turn, handshake, identity, payloads);
  const certificates = ofEncoding(payloads, CertEncoding.X509_SIGNATURE).slice(0, certificateLimit);
  const references = config.fetchesCertificates === true ? referencesIn(payloads) : [];
  const none = certificates.length + references.length === 0;
  if (none && config.gatewayKeys?.length) return processRawKey(turn, handshake, identity, payloads);
  if (none)
    return refuse(turn, { kind: 'gateway-refused', refusal: 'no-certificate', detail: 'the gateway sent no certificate' });
  const question = ask(turn);
  update(turn, { phase: { name: 'auth-await-verdict', handshake, question, payloads } });
  const ocspResponses = ofEncoding(payloads, CertEncoding.OCSP_CONTENT).slice(0, ocspLimit);
  const names = config.gatewayNames;
  emit(turn, { kind: 'verify-gateway', request: question, certificates, references, identity, names, ocspResponses });
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
  if (!isWanted(turn, identity)) return;
  const name = formatIdentity(identity);
  update(turn, { gateway: { identity: name, subject: '', authentication: 'EAP only' } });
  info(turn, `the gateway, ${name} by its own word, is to be proven by EAP alone`);
  startEap(turn, { ...handshake, gatewayIdentity: identity }, config.auth.peer, pick(message.payloads, 'EAP')!.packet);
}

/** The host has judged the certificate; now the signature, and only then what else the gateway said. */
export function processVerdict(turn: Turn, question: number, verdict: GatewayVerdict): void {
  const { phase } = turn.sa;
  if (phase.name !== 'auth-await-verdict' || phase.question !== question) return;
  if (!verdict.accepted) return refuse(turn, { kind: 'gateway-refused', refusal: verdict.reason, detail: verdict.detail });
  const { payloads, handshake } = phase;
  const { identity } = pick(payloads, 'IDr')!;
  const scheme = checkSignature(turn, handshake, identity, payloads, verdict.spki);
  if (!scheme) return refuse(turn, { kind: 'gateway-signature' });
  accept(turn, handshake, identity, payloads, { subject: verdict.subject, authentication: `certificate, ${scheme}` });
}

/** A key without a certificate (RFC 7670): one of those that the administrator has from the gateway. Its name says nothing then. */
function processRawKey(turn: Turn, handshake: Handshake, identity: Identity, payloads: readonly Payload[]): void {
  const sent = ofEncoding(payloads, CertEncoding.RAW_PUBLIC_KEY)[0];
  for (const spki of turn.sa.config.gatewayKeys!) {
    if (sent && !equal(sent, spki)) continue;
    const scheme = checkSignature(turn, handshake, identity, payloads, spki);
    if (!scheme) continue;
    return accept(turn, handshake, identity, payloads, { subject: '', authentication: `raw public key, ${scheme}` });
  }
  if (!sent) return refuse(turn, { kind: 'gateway-signature' });
  const detail = 'the gateway has another key than the one that was handed to us';
  refuse(turn, { kind: 'gateway-refused', refusal: 'untrusted', detail });
}

/** A key that both ends share (RFC 7296 §2.15). The name says which of several gateways with one key it is; it proves nothing more. */
function processSharedKey(turn: Turn, handshake: Handshake, identity: Identity, payloads: readonly Payload[]): void {
  const { auth } = turn.sa.config;
  if (auth.kind !== 'shared-key') {
    info(turn, 'the gateway proves itself with a shared key, which the profile does not have');
    return refuse(turn, { kind: 'gateway-signature' });
  }
  const octets = gatewayOctets(turn, handshake, identity);
  const expected = sharedKeyAuth(turn.crypto, protectionOf(turn).suite.prf, auth.key, octets);
  if (!equal(pick(payloads, 'AUTH')!.data, expected)) return refuse(turn, { kind: 'gateway-signature' });
  // Many gateways call themselves by an address, behind a NAT by one that nobody outside knows.
  const isAddress = identity.type === IdentityType.IPV4_ADDR || identity.type === IdentityType.IPV6_ADDR;
  if (!(isAddress && turn.sa.config.gatewayIdentity === undefined) && !isWanted(turn, identity)) return;
  accept(turn, handshake, identity, payloads, { subject: '', authentication: 'shared key' });
}

/** The gateway has proven itself. */
function accept(
  turn: Turn,
  before: Handshake,
  identity: Identity,
  payloads: readonly Payload[],
  how: { readonly subject: string; readonly authentication: string },
): void {
  const { auth } = turn.sa.config;
  const handshake: Handshake = { ...before, gatewayIdentity: identity };
  const name = formatIdentity(identity);
  update(turn, { gateway: { identity: name, ...how } });
  info(turn, `the gateway is ${how.subject === '' ? name : how.subject} (${how.authentication})`);
  if (handshake.next) return startNextRound(turn, handshake, payloads);
  const eap = pick(payloads, 'EAP');
  if (auth.kind !== 'eap') {
    if (eap)
      return refuse(turn, { kind: 'authentication-failed', detail: 'the gateway demands EAP, the profile has a certificate' });
    return completeAuth(turn, handshake, payloads);
  }
  // RFC 5685 §6: it may send us away instead.
  const to = eap ? undefined : redirectedTo(turn, payloads);
  if (to) return follow(turn, to);
  if (!eap) return refuse(turn, { kind: 'protocol', detail: 'the gateway did not begin EAP' });
  startEap(turn, handshake, auth.peer, eap.packet);
}

/** The scheme of a good signature. */
function checkSignature(
  turn: Turn,
  handshake: Handshake,
  identity: Identity,
  payloads: readonly Payload[],
  spki: Uint8Array,
): string | undefined {
  const auth = pick(payloads, 'AUTH')!;
  const signed = decodeSignatureAuth(auth.method, auth.data, spkiKindOf(spki));
  if ('problem' in signed) {
    info(turn, `AUTH of the gateway: ${signed.problem}`);
    return undefined;
  }
  // SHA-1 is for gateways that know RFC 7296 alone; we never announce it for RFC 7427.
  const weak = signed.scheme === 'rsa-pkcs1-sha1' && auth.method === AuthMethod.DIGITAL_SIGNATURE;
  const good = !weak && turn.crypto.verify(spki, signed.scheme, gatewayOctets(turn, handshake, identity), signed.signature);
  return good ? signed.scheme : undefined;
}

/** Whether the gateway's name, which nobody vouches for, is one that the profile wants; otherwise it is refused. */
function isWanted(turn: Turn, identity: Identity): boolean {
  const { gatewayNames: servers, gatewayIdentity } = turn.sa.config;
  const gatewayNames = gatewayIdentity ? [formatIdentity(gatewayIdentity)] : servers;
  const name = formatIdentity(identity);
  if (gatewayNames.some((wanted) => wanted.toLowerCase() === name.toLowerCase())) return true;
  const detail = `the gateway calls itself ${name}; the profile wants ${gatewayNames.join(', ')}`;
  refuse(turn, { kind: 'gateway-refused', refusal: 'wrong-name', detail });
  return false;
}

/** Certificates that the gateway says are elsewhere: SHA-1 of 20 octets, and a URL of printable ASCII (RFC 7296 §3.6). */
function referencesIn(payloads: readonly Payload[]): CertificateReference[] {
  const references: CertificateReference[] = [];
  let before = 0;
  for (const { encoding, data } of pickAll(payloads, 'CERT')) {
    if (encoding === CertEncoding.X509_SIGNATURE) before++;
    const bundle = encoding === CertEncoding.HASH_AND_URL_BUNDLE;
    if (!bundle && encoding !== CertEncoding.HASH_AND_URL) continue;
    const url = decodeUtf8(data.subarray(certificateHashLength));
    if (references.length === referenceLimit || !/^[\u0021-\u007e]{1,1024}$/.test(url)) continue;
    references.push({ before, bundle, hash: data.slice(0, certificateHashLength), url });
  }
  return references;
}

function ofEncoding(payloads: readonly Payload[], wanted: number): Uint8Array[] {
  return pickAll(payloads, 'CERT')
    .filter(({ encoding }) => encoding === wanted)
    .map(({ data }) => data.slice());
}
