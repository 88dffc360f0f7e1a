import { createHash, randomBytes, type KeyObject } from 'node:crypto';
import { encodeUtf8, equal } from '@aovpn/bytes';
import type { CertificateNames, EnrolmentKey } from '@aovpn/policy';
import * as asn1js from 'asn1js';
import type { Enrolled } from './enrolled-file.ts';
import type { AnchorStore } from '../trust/anchor-store.ts';
import { CertificateError, parseCertificate, type ParsedCertificate } from '../trust/certificate.ts';
import { weaknessOf } from '../trust/signature-algorithm.ts';
import { acceptCertificate, type Authorities } from './accept-certificate.ts';
import { createCertificateRequest, nameOf, spkiOf } from './certificate-request.ts';
import { readCertsOnly } from './certs-only.ts';
import { decryptWith, encryptFor, signMessage, verifyMessage, type MessageSigner, type SignedAttribute } from './cms.ts';
import { EnrolError, usable } from './enrol-error.ts';
import { exchange, pageWords, type Answer, type Exchange } from './http-exchange.ts';
import type { Issue } from './issue.ts';
import { namesOf } from './names-of.ts';
import { newKey } from './new-key.ts';
import { pinnedAuthority } from './pinned-authority.ts';
import { selfSigned } from './self-signed.ts';
import { serverWords } from './server-words.ts';

export interface ScepRequest {
  readonly url: URL;
  /** SHA-256 of the authority's certificate: with plain HTTP underneath, it alone says whom we believe. */
  readonly fingerprint: Uint8Array;
  /** For an https server. */
  readonly anchors: AnchorStore;
  /** The challenge of a first request. */
  readonly secret?: string;
  readonly names: CertificateNames;
  /** RSA: answers are encrypted for it. */
  readonly keyKind: EnrolmentKey | undefined;
  /** Of a request that the authority has not decided on: it is polled. */
  readonly key?: KeyObject;
  /** Renews this one. */
  readonly current?: Enrolled;
  /** DES, 3DES and SHA-1 will do in answers. */
  readonly weak: boolean;
  readonly signal: AbortSignal;
}

/** Certificates that an authority may have. */
const certificateCount = 8;
/** RFC 8894 §3.2.1 */
const attribute = {
  messageType: '2.16.840.1.113733.1.9.2',
  pkiStatus: '2.16.840.1.113733.1.9.3',
  failInfo: '2.16.840.1.113733.1.9.4',
  senderNonce: '2.16.840.1.113733.1.9.5',
  recipientNonce: '2.16.840.1.113733.1.9.6',
  transactionId: '2.16.840.1.113733.1.9.7',
  failInfoText: '1.3.6.1.5.5.7.24.1',
} as const;
const messageType = { certRep: '3', renewalReq: '17', pkcsReq: '19', certPoll: '20' } as const;
const status = { success: '0', failure: '2', pending: '3' } as const;
/** §3.2.1 */
const failures: Readonly<Record<string, string>> = {
  '0': 'badAlg: an algorithm that it does not know or want',
  '1': 'badMessageCheck: the signature could not be checked',
  '2': 'badRequest: it does not permit or support this request',
  '3': 'badTime: its clock and ours differ',
  '4': 'badCertId: it knows no such certificate',
};

/**
 * Has a certificate issued, or renewed, by SCEP (RFC 8894).
 * @throws {EnrolError}
 */
export async function enrolByScep(request: ScepRequest): Promise<Issue> {
  const { current, names, signal, weak } = request;
  const capabilities = await readCapabilities(request);
  if (current && !capabilities.has('renewal'))
    throw new EnrolError('refused', 'the server does not renew certificates (GetCACaps)');
  const authority = await readAuthority(request);
  const key = request.key ?? (await newKey(request.keyKind ?? 'rsa2048'));
  const spki = spkiOf(key);
  const own = current?.certificates[0];
  const subjectDn = own ? own.subjectDn : new Uint8Array(nameOf(names.subject).toSchema().toBER());
  const signer: MessageSigner =
    current && own ? { certificate: own, key: current.key } : { certificate: selfSigned(key, subjectDn, spki), key };
  const isPoll = request.key !== undefined;
  const plain = isPoll
    ? issuerAndSubject(authority.recipient, subjectDn)
    : createCertificateRequest({
        ...names,
        ...(own && namesOf(own)),
        key,
        ...(!own && request.secret !== undefined && { challenge: request.secret }),
      });
  const nonce = randomBytes(16);
  const transactionId = createHash('sha256').update(spki).digest('hex');
  const type = isPoll ? messageType.certPoll : own ? messageType.renewalReq : messageType.pkcsReq;
  const message = signMessage(signer, encryptFor(authority.recipient, plain), [
    text(attribute.messageType, type),
    text(attribute.transactionId, transactionId),
    { type: attribute.senderNonce, value: new asn1js.OctetString({ valueHex: new Uint8Array(nonce).buffer }) },
  ]);
  const answer = await send(request, message, capabilities);
  const reply = usable(() => readReply(answer, authority, transactionId, nonce, weak));
  switch (reply.status) {
    case status.pending:
      return { kind: 'pending', key };
    case status.failure:
      throw refusal(reply, request);
    case status.success:
      break;
    default:
      throw new EnrolError('unusable', `an answer with the status "${reply.status.slice(0, 20)}"`);
  }
  const certificates = usable(() => {
    if (!reply.content) throw new CertificateError('an answer without a certificate');
    return readCertsOnly(decryptWith(signer.key, reply.content, weak));
  });
  const chain = await acceptCertificate({ certificates, authorities: authority.authorities, key, ...(own && { current: own }) });
  signal.throwIfAborted();
  return { kind: 'issued', key, certificates: chain };
}

/** Words of `GetCACaps` (§3.5), in lower case. */
async function readCapabilities(request: ScepRequest): Promise<ReadonlySet<string>> {
  const answer = await get(request, 'GetCACaps');
  // An error means that it can do none of it (§3.5.2), if it is not one that passes.
  const silent = answer.status >= 400 && answer.status < 500 && answer.status !== 429;
  if (answer.status !== 200 && !silent) throw unexpected(answer, 'it was asked what it can do');
  const list = silent ? '' : Buffer.from(answer.body.subarray(0, 4096)).toString('latin1');
  const words = list.toLowerCase().split(/\s+/);
  const capabilities = new Set(words);
  // §3.5: the standard includes these.
  if (capabilities.has('scepstandard')) for (const word of ['aes', 'postpkioperation', 'sha-256']) capabilities.add(word);
  const missing = ['aes', 'sha-256'].filter((word) => !capabilities.has(word));
  if (missing.length > 0 && !request.weak)
    throw new EnrolError(
      'refused',
      `the server can do neither or not both of AES and SHA-256 (${missing.join(', ')} is missing)`,
    );
  return capabilities;
}

interface Authority {
  readonly authorities: Authorities;
  /** For whom requests are encrypted. */
  readonly recipient: ParsedCertificate;
  /** Who may sign answers. */
  readonly signers: readonly ParsedCertificate[];
}

/** `GetCACert` (§4.2): the authority with the fingerprint, and what stands below it. */
async function readAuthority(request: ScepRequest): Promise<Authority> {
  const answer = await get(request, 'GetCACert');
  if (answer.status !== 200) throw unexpected(answer, "the authority's certificate was asked for");
  const all = usable(() =>
    /^application\/x-x509-ca-cert\b/i.test(answer.contentType) ? [parseCertificate(answer.body)] : readCertsOnly(answer.body),
  );
  const pinned = pinnedAuthority(all, request.fingerprint);
  const believed = below(pinned, all);
  const isAuthority = ({ basicConstraints }: ParsedCertificate): boolean => basicConstraints?.ca === true;
  const agents = believed.filter((one) => !isAuthority(one));
  const issuing = believed.filter(isAuthority);
  // The lowest authority issues, where there is no registration authority.
  const lowest = issuing.find((one) => !issuing.some((other) => other !== one && other.x509.checkIssued(one.x509))) ?? pinned;
  const recipient =
    agents.find(({ keyUsage, key }) => key.asymmetricKeyType === 'rsa' && keyUsage?.keyEncipherment !== false) ?? lowest;
  if (recipient.key.asymmetricKeyType !== 'rsa')
    throw new EnrolError('unusable', 'the authority has no RSA key that requests could be encrypted for');
  const signs = ({ keyUsage }: ParsedCertificate): boolean => !keyUsage || keyUsage.digitalSignature;
  return {
    authorities: { anchors: [pinned], others: issuing.filter((one) => one !== pinned) },
    recipient,
    signers: [...agents.filter(signs), ...issuing],
  };
}

/** Those of `all` that come from `pinned`, whatever they are for: Microsoft's server has one certificate to sign with and another one to encrypt for. */
function below(pinned: ParsedCertificate, all: readonly ParsedCertificate[]): readonly ParsedCertificate[] {
  if (all.length > certificateCount) throw new EnrolError('unusable', `${all.length} certificates of the authority`);
  const now = new Date();
  const believed = [pinned];
  // What is pushed while this goes on has its turn as well.
  for (const issuer of believed) {
    if (issuer.basicConstraints?.ca !== true || weaknessOf(issuer.key) !== undefined) continue;
    for (const one of all) {
      const inDate = one.notBefore <= now && now <= one.notAfter && weaknessOf(one.key) === undefined;
      if (!inDate || believed.includes(one)) continue;
      if (one.x509.checkIssued(issuer.x509) && one.x509.verify(issuer.key)) believed.push(one);
    }
  }
  return believed;
}

interface Reply {
  readonly status: string;
  readonly failInfo: string | undefined;
  readonly words: string | undefined;
  readonly content: Uint8Array | undefined;
}

/** A CertRep (§3.3.2) to this very request. @throws {CertificateError} */
function readReply(answer: Answer, { signers }: Authority, transactionId: string, nonce: Uint8Array, weak: boolean): Reply {
  const { content, attributes } = verifyMessage(answer.body, signers, weak);
  const word = (type: string): string | undefined => {
    const value = attributes.get(type);
    return value instanceof asn1js.PrintableString || value instanceof asn1js.Utf8String ? value.valueBlock.value : undefined;
  };
  if (word(attribute.messageType) !== messageType.certRep) throw new CertificateError('a message that is no CertRep');
  if (word(attribute.transactionId) !== transactionId) throw new CertificateError('an answer to another transaction');
  const echoed = attributes.get(attribute.recipientNonce);
  if (!(echoed instanceof asn1js.OctetString) || !equal(echoed.valueBlock.valueHexView, nonce))
    throw new CertificateError('an answer to another request: its nonce is not ours');
  return {
    status: word(attribute.pkiStatus) ?? '',
    failInfo: word(attribute.failInfo),
    words: word(attribute.failInfoText),
    content,
  };
}

function refusal({ failInfo = '', words }: Reply, { secret, current, key }: ScepRequest): EnrolError {
  const what = failures[failInfo] ?? `failInfo ${failInfo.slice(0, 20)}`;
  const said = words === undefined ? '' : serverWords(encodeUtf8(words), secret === undefined ? [] : [secret]);
  // It does not say whether the secret or something else was wrong: trying it again could use it up, or lock it.
  const isSecret = failInfo === '2' && secret !== undefined && !current && !key;
  return new EnrolError(isSecret ? 'secret-refused' : 'refused', `${what}${said}`);
}

async function get(request: ScepRequest, operation: string): Promise<Answer> {
  return await exchange({ ...base(request, { operation }), method: 'GET' });
}

/** §4.1: by POST where the server can, else in the URL. */
async function send(request: ScepRequest, message: Uint8Array, capabilities: ReadonlySet<string>): Promise<Answer> {
  const answer = capabilities.has('postpkioperation')
    ? await exchange({
        ...base(request, { operation: 'PKIOperation' }),
        method: 'POST',
        contentType: 'application/x-pki-message',
        body: () => message,
      })
    : await exchange({
        ...base(request, { operation: 'PKIOperation', message: Buffer.from(message).toString('base64') }),
        method: 'GET',
      });
  if (answer.status !== 200) throw unexpected(answer, 'it was asked for a certificate');
  return answer;
}

function base(
  { url, anchors, signal }: ScepRequest,
  query: Readonly<Record<string, string>>,
): Pick<Exchange, 'url' | 'anchors' | 'signal'> {
  const whole = new URL(url);
  for (const [name, value] of Object.entries(query)) whole.searchParams.set(name, value);
  return { url: whole, anchors, signal };
}

function unexpected(answer: Answer, what: string): EnrolError {
  const failure = answer.status === 429 || answer.status >= 500 ? 'unreachable' : 'refused';
  return new EnrolError(failure, `HTTP ${answer.status} when ${what}${pageWords(answer)}`, { retryAfter: answer.retryAfter });
}

/** §3.3.3 */
function issuerAndSubject({ subjectDn: issuer }: ParsedCertificate, subject: Uint8Array): Uint8Array {
  return new Uint8Array(new asn1js.Sequence({ value: [asn1js.fromBER(issuer).result, asn1js.fromBER(subject).result] }).toBER());
}

function text(type: string, value: string): SignedAttribute {
  return { type, value: new asn1js.PrintableString({ value }) };
}
