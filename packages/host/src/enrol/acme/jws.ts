import { createHash, createHmac, createPublicKey, sign, type KeyObject } from 'node:crypto';

/** A JWS in flattened JSON serialisation (RFC 7515 §7.2.2), as ACME sends nothing else (RFC 8555 §6.2). */
export interface FlattenedJws {
  readonly protected: string;
  readonly payload: string;
  readonly signature: string;
}

/** Public half of an account key (RFC 7518 §6.2.1), members in the order in which its thumbprint has them (RFC 7638 §3.2). */
export interface PublicJwk {
  readonly crv: 'P-256';
  readonly kty: 'EC';
  readonly x: string;
  readonly y: string;
}

/** Base64url without padding (RFC 7515 §2). */
export function toBase64Url(octets: Uint8Array): string {
  return Buffer.from(octets).toString('base64url');
}

/** Whether it is one octet or more in base64url, without padding and anything else. @param longest characters */
export function isBase64Url(text: string, longest: number): boolean {
  return text.length <= longest && /^[A-Za-z0-9_-]+$/.test(text);
}

/** @param key private or public, on P-256 @throws {TypeError} for another one */
export function publicJwk(key: KeyObject): PublicJwk {
  const { kty, crv, x, y } = createPublicKey(key).export({ format: 'jwk' });
  if (kty !== 'EC' || crv !== 'P-256' || x === undefined || y === undefined) throw new TypeError('an account key is on P-256');
  return { crv, kty, x, y };
}

/** SHA-256 thumbprint of a key, base64url (RFC 7638 §3). */
export function thumbprint({ crv, kty, x, y }: PublicJwk): string {
  return createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url');
}

/** What a TXT record says for `dns-01`: the digest of the key authorisation (RFC 8555 §8.1, §8.4). */
export function dnsProof(token: string, key: PublicJwk): string {
  return createHash('sha256')
    .update(`${token}.${thumbprint(key)}`)
    .digest('base64url');
}

/**
 * Signs with ES256 (RFC 7518 §3.4).
 * @param header members of the protected header besides `alg`
 * @param payload a value that becomes JSON; undefined: no octets at all, which asks for a resource (RFC 8555 §6.3)
 */
export function signJws(key: KeyObject, header: Readonly<Record<string, unknown>>, payload: unknown): FlattenedJws {
  return flattened({ alg: 'ES256', ...header }, payload, (input) => sign('sha256', input, { key, dsaEncoding: 'ieee-p1363' }));
}

/**
 * External account binding (RFC 8555 §7.3.4): the account key, under the MAC key that the authority has given out (HS256).
 * @param url of newAccount, as in the outer JWS
 */
export function bindAccount(macKey: Uint8Array, keyId: string, url: string, accountKey: PublicJwk): FlattenedJws {
  return flattened({ alg: 'HS256', kid: keyId, url }, accountKey, (input) => createHmac('sha256', macKey).update(input).digest());
}

function flattened(header: unknown, payload: unknown, signing: (input: Buffer) => Uint8Array): FlattenedJws {
  const parts = {
    protected: toBase64Url(Buffer.from(JSON.stringify(header))),
    payload: payload === undefined ? '' : toBase64Url(Buffer.from(JSON.stringify(payload))),
  };
  return { ...parts, signature: toBase64Url(signing(Buffer.from(`${parts.protected}.${parts.payload}`, 'latin1'))) };
}
