import { concat, encodeUtf8, wipe } from '@aovpn/bytes';
import type { EapCrypto } from '../peer-contract.ts';

/** TK: that many octets of what TLS exports ([MS-PEAP] §3.1.5.5.2.1). */
const tunnelKeyLength = 60;
/** The beginning of TK that keys the derivation of IPMK and CMK, and the length of IPMK, octets. */
const ipmkLength = 40;
const cmkLength = 20;
const iskLength = 32;
const cskLength = 128;

/** The keys that bind the inner method to the tunnel; their holder overwrites them. */
export interface CompoundKeys {
  /** Intermediate PEAP MAC Key, 40 octets. */
  readonly ipmk: Uint8Array;
  /** Compound MAC Key, 20 octets. */
  readonly cmk: Uint8Array;
}

/**
 * IPMK and CMK ([MS-PEAP] §3.1.5.5.2.2). `innerMsk` is what the inner method yields, empty if it yields no key; undefined when
 * the session was resumed and no inner method ran at all: then both come straight out of the tunnel key.
 *
 * The peer's ISK is its MS-MPPE-Send-Key followed by its MS-MPPE-Recv-Key, which is the order of the halves of an MSK.
 */
export function compoundKeys(crypto: EapCrypto, keyMaterial: Uint8Array, innerMsk: Uint8Array | undefined): CompoundKeys {
  const tunnelKey = keyMaterial.slice(0, tunnelKeyLength);
  if (!innerMsk) return split(tunnelKey);
  const isk = new Uint8Array(iskLength);
  isk.set(innerMsk.subarray(0, iskLength));
  const seed = concat(encodeUtf8('Inner Methods Compound Keys'), isk);
  const keys = prfPlus(crypto, tunnelKey.subarray(0, ipmkLength), seed, ipmkLength + cmkLength);
  wipe(tunnelKey, isk, seed);
  return split(keys);
}

/** CSK ([MS-PEAP] §3.1.5.7), 128 octets. Its first 64 are the MSK of a PEAP whose cryptobinding has been exchanged. */
export function compoundSessionKey(crypto: EapCrypto, ipmk: Uint8Array): Uint8Array {
  // This label ends with a NUL, the one above does not.
  return prfPlus(crypto, ipmk, encodeUtf8('Session Key Generating Function\0'), cskLength);
}

/** PRF+ over HMAC-SHA-1 as PEAP has it: like the one of RFC 4306 §2.13, with two octets of zero after the counter. */
function prfPlus(crypto: EapCrypto, key: Uint8Array, seed: Uint8Array, length: number): Uint8Array {
  const out = new Uint8Array(length);
  let block: Uint8Array = new Uint8Array();
  for (let offset = 0, counter = 1; offset < length; counter++) {
    const next = crypto.hmacSha1(key, block, seed, Uint8Array.of(counter, 0, 0));
    wipe(block);
    block = next;
    out.set(block.subarray(0, length - offset), offset);
    offset += block.length;
  }
  wipe(block);
  return out;
}

function split(keys: Uint8Array): CompoundKeys {
  const ipmk = keys.slice(0, ipmkLength);
  const cmk = keys.slice(ipmkLength, ipmkLength + cmkLength);
  wipe(keys);
  return { ipmk, cmk };
}
