import type { SignatureScheme } from './port.ts';

/** What a SubjectPublicKeyInfo holds, as far as signature methods care. */
export type SpkiKind = 'rsa' | 'rsa-pss' | 'p256' | 'p384' | 'p521' | 'ed25519';

/** Signatures at the port are what the algorithm's DER form is: ECDSA as ECDSA-Sig-Value, RSA and Ed25519 as their octets. */
export function encodeSignatureAuth(
  scheme: SignatureScheme,
  signature: Uint8Array,
  rfc7427: boolean,
): { readonly method: number; readonly data: Uint8Array } {
  throw new Error(`not filled in yet ${scheme} ${signature} ${rfc7427}`);
}

export function decodeSignatureAuth(
  method: number,
  data: Uint8Array,
  spkiKind?: SpkiKind,
): { readonly scheme: SignatureScheme; readonly signature: Uint8Array } | { readonly problem: string } {
  throw new Error(`not filled in yet ${method} ${data} ${spkiKind}`);
}

/** `peerHashes`: content of the peer's N(SIGNATURE_HASH_ALGORITHMS); undefined when it sent none. */
export function chooseScheme(
  own: readonly SignatureScheme[],
  peerHashes: readonly number[] | undefined,
): { readonly scheme: SignatureScheme; readonly rfc7427: boolean } | undefined {
  throw new Error(`not filled in yet ${own} ${peerHashes}`);
}

/** undefined for keys that no method of ours can use. */
export function spkiKindOf(spki: Uint8Array): SpkiKind | undefined {
  throw new Error(`not filled in yet ${spki}`);
}
