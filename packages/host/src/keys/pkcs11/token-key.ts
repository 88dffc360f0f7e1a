import { createHash, type KeyObject } from 'node:crypto';
import type { SecureContextOptions } from 'node:tls';
import { concat } from '@aovpn/bytes';
import type { SignatureScheme } from '@aovpn/ike';
import { verifySignature } from '../../crypto/signature.ts';
import { HostError } from '../../host-error.ts';
import { registerForeignKey, type ForeignKey } from '../../sys/openssl-engine.ts';
import type { ParsedCertificate } from '../../trust/certificate.ts';
import { keysError } from '../keys-error.ts';
import type { PrivateKey } from '../private-key.ts';
import { schemesOf } from '../software-key.ts';
import { CKM, pssHashes } from './constant.ts';
import type { Mechanism } from './cryptoki.ts';
import type { Token } from './token.ts';

/** DER of DigestInfo up to the digest (RFC 8017 §9.2, note 1). */
const digestInfos: Readonly<Record<string, string>> = {
  sha1: '3021300906052b0e03021a05000414',
  sha256: '3031300d060960864801650304020105000420',
  sha384: '3041300d060960864801650304020205000430',
  sha512: '3051300d060960864801650304020305000440',
};

/** Signatures of TLS 1.2 but for RSA-PSS; the list is for the server's as well as for ours. */
const pkcs1SignatureAlgorithms = 'ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:RSA+SHA256:RSA+SHA384:RSA+SHA512';

/**
 * The key on a token that belongs to a certificate, found by CKA_ID.
 * @throws {HostError} 115 for a weak key or one that tokens are not used with here
 */
export function tokenKey(
  token: Token,
  id: Uint8Array,
  certificate: ParsedCertificate,
  mechanisms: ReadonlySet<number>,
  place: string,
): PrivateKey {
  const type = certificate.key.asymmetricKeyType;
  if (type !== 'rsa' && type !== 'ec') throw keysError('AOV-HOST-115', `${place}: a key of type ${type ?? 'unknown'} on a token`);
  const schemes = schemesOf(certificate.key, place).filter((scheme) => mechanisms.has(mechanismOf(scheme).type));
  if (schemes.length === 0) throw keysError('AOV-HOST-156', `${place}: the token cannot sign with a key of type ${type}`);
  return new TokenKey(token, id, certificate, schemes, type === 'ec' || mechanisms.has(CKM.RSA_X_509));
}

class TokenKey implements PrivateKey {
  readonly onToken = true;
  readonly schemes: readonly SignatureScheme[];
  readonly #token: Token;
  readonly #id: Uint8Array;
  readonly #certificate: ParsedCertificate;
  readonly #isRsa: boolean;
  /** OpenSSL pads RSA-PSS itself and wants the bare RSA operation then. */
  readonly #canPadAnyhow: boolean;
  /** Apart from the key itself, which OpenSSL's callbacks must not keep alive. */
  readonly #trouble: Trouble = { failure: undefined };

  constructor(
    token: Token,
    id: Uint8Array,
    certificate: ParsedCertificate,
    schemes: readonly SignatureScheme[],
    canPadAnyhow: boolean,
  ) {
    this.#token = token;
    this.#id = id;
    this.#certificate = certificate;
    this.schemes = schemes;
    this.#isRsa = certificate.key.asymmetricKeyType === 'rsa';
    this.#canPadAnyhow = canPadAnyhow;
  }

  async unlock(): Promise<void> {
    this.#trouble.failure = undefined;
    await this.#token.unlock(this.#id);
  }

  async sign(scheme: SignatureScheme, data: Uint8Array): Promise<Uint8Array> {
    if (!this.schemes.includes(scheme)) throw keysError('AOV-HOST-130', `this key cannot sign with ${scheme}`);
    const hash = scheme.slice(scheme.lastIndexOf('-') + 1);
    const digest = new Uint8Array(createHash(hash).update(data).digest());
    const raw = await this.#token.sign(this.#id, mechanismOf(scheme), inputOf(scheme, hash, digest));
    const signature = this.#isRsa ? raw : ecdsaToDer(raw);
    // A key under the same CKA_ID that is not this certificate's would only show at the gateway, as a mystery.
    if (!verifySignature(this.#certificate.spki, scheme, data, signature)) {
      throw keysError(
        'AOV-HOST-114',
        `the key on token "${this.#token.name.label}" does not belong to "${this.#certificate.subject}"`,
      );
    }
    return signature;
  }

  tlsOptions(): SecureContextOptions {
    const foreign = foreignKey(this.#token, this.#id, this.#certificate, this.#trouble);
    const options = registerForeignKey(this, this.#certificate.spki, foreign);
    // Without it there is still TLS 1.2 with the older padding.
    return this.#canPadAnyhow ? options : { ...options, maxVersion: 'TLSv1.2', sigalgs: pkcs1SignatureAlgorithms };
  }

  takeFailure(): HostError | undefined {
    const { failure } = this.#trouble;
    this.#trouble.failure = undefined;
    return failure;
  }
}

interface Trouble {
  failure: HostError | undefined;
}

function foreignKey(token: Token, id: Uint8Array, { key }: ParsedCertificate, trouble: Trouble): ForeignKey {
  const now = (type: number, data: Uint8Array): Uint8Array => {
    try {
      return token.signNow(id, { type }, data);
    } catch (error) {
      if (error instanceof HostError) trouble.failure = error;
      throw error;
    }
  };
  if (key.asymmetricKeyType === 'rsa') {
    return { rsaPrivate: (input, padding) => now(padding === 'pkcs1' ? CKM.RSA_PKCS : CKM.RSA_X_509, input) };
  }
  const length = orderLength(key);
  return { ecdsaSign: (digest) => ecdsaToDer(now(CKM.ECDSA, digest.subarray(0, length))) };
}

/** What of a digest counts (FIPS 186-5 §6.4.1), octets; orders and digests both have whole octets, but for P-521, which takes all. */
function orderLength(key: KeyObject): number {
  const sizes: Readonly<Record<string, number>> = { prime256v1: 32, secp384r1: 48 };
  return sizes[key.asymmetricKeyDetails?.namedCurve ?? ''] ?? 66;
}

function mechanismOf(scheme: SignatureScheme): Mechanism {
  if (scheme.startsWith('ecdsa-')) return { type: CKM.ECDSA };
  if (scheme.startsWith('rsa-pkcs1-')) return { type: CKM.RSA_PKCS };
  const hash = scheme.slice(scheme.lastIndexOf('-') + 1);
  return { type: CKM.RSA_PKCS_PSS, pss: pssHashes[hash as keyof typeof pssHashes] };
}

function inputOf(scheme: SignatureScheme, hash: string, digest: Uint8Array): Uint8Array {
  return scheme.startsWith('rsa-pkcs1-') ? concat(Buffer.from(digestInfos[hash]!, 'hex'), digest) : digest;
}

/** Tokens give r and s one behind the other, each as long as the order; the rest of the world has SEQUENCE { r, s } (RFC 3279 §2.2.3). */
function ecdsaToDer(raw: Uint8Array): Uint8Array {
  const half = raw.length >>> 1;
  const body = concat(integer(raw.subarray(0, half)), integer(raw.subarray(half)));
  const length = body.length < 0x80 ? Uint8Array.of(body.length) : Uint8Array.of(0x81, body.length);
  return concat(Uint8Array.of(0x30), length, body);
}

function integer(octets: Uint8Array): Uint8Array {
  let start = 0;
  while (start < octets.length - 1 && octets[start] === 0) start++;
  const digits = octets.subarray(start);
  const sign = (digits[0] ?? 0) >= 0x80 ? Uint8Array.of(0) : new Uint8Array();
  return concat(Uint8Array.of(2, sign.length + digits.length), sign, digits);
}
