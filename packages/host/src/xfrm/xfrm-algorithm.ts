import type { EspSa, EspTransform } from '@aovpn/esp';
import { littleEndian } from '../sys/index.ts';
import type { Attribute } from '../network/rtnetlink.ts';
import * as nl from './xfrm-number.ts';

const nameLength = 64;

const ciphers = {
  'aes-128-gcm': 'rfc4106(gcm(aes))',
  'aes-192-gcm': 'rfc4106(gcm(aes))',
  'aes-256-gcm': 'rfc4106(gcm(aes))',
  'chacha20-poly1305': 'rfc7539esp(chacha20,poly1305)',
  'aes-128-cbc': 'cbc(aes)',
  'aes-192-cbc': 'cbc(aes)',
  'aes-256-cbc': 'cbc(aes)',
  'des-ede3-cbc': 'cbc(des3_ede)',
} as const satisfies Record<EspTransform['cipher'], string>;

const digests = {
  sha1: 'hmac(sha1)',
  sha256: 'hmac(sha256)',
  sha384: 'hmac(sha384)',
  sha512: 'hmac(sha512)',
} as const satisfies Record<NonNullable<EspTransform['digest']>, string>;

/**
 * The algorithms of one direction as attributes, keys included: whoever sends them overwrites them. An AEAD has its salt behind the key, as
 * ours do. The length of the ICV is always said: the kernel's own choice for SHA-256 is the 96 bits of an old draft.
 */
export function algorithmAttributes(
  transform: EspTransform,
  { encryptionKey, integrityKey }: Omit<EspSa, 'spi'>,
): readonly Attribute[] {
  const name = ciphers[transform.cipher];
  // struct xfrm_algo_aead and struct xfrm_algo_auth: name, bits of the key, bits of the ICV, key; struct xfrm_algo: without the ICV.
  if (!transform.digest) return [[nl.XFRMA_ALG_AEAD, algorithm(name, encryptionKey, transform.icvLength * 8)]];
  return [
    [nl.XFRMA_ALG_CRYPT, algorithm(name, encryptionKey)],
    [nl.XFRMA_ALG_AUTH_TRUNC, algorithm(digests[transform.digest], integrityKey, transform.icvLength * 8)],
  ];
}

function algorithm(name: string, key: Uint8Array, icvBits?: number): Uint8Array {
  const keyAt = nameLength + (icvBits === undefined ? 4 : 8);
  // A buffer of its own: overwriting it overwrites the only copy.
  const octets = new Uint8Array(new ArrayBuffer(keyAt + key.length));
  const view = new DataView(octets.buffer);
  for (let i = 0; i < name.length; i++) octets[i] = name.charCodeAt(i);
  view.setUint32(nameLength, key.length * 8, littleEndian);
  if (icvBits !== undefined) view.setUint32(nameLength + 4, icvBits, littleEndian);
  octets.set(key, keyAt);
  return octets;
}
