import type { SignatureScheme } from '@aovpn/ike';
import type { Problem } from './problem.ts';

/** A name that a certificate carries besides its subject. */
export interface AlternativeName {
  readonly kind: 'dns' | 'email' | 'upn' | 'ip';
  readonly value: string;
}

/** What a certificate says of us. */
export interface CertificateFacts {
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[];
  /** Most wanted first. */
  readonly schemes: readonly SignatureScheme[];
  /** DER of the subject; undefined when it is empty. */
  readonly subject?: Uint8Array;
  readonly commonName?: string;
  readonly alternativeNames: readonly AlternativeName[];
}

/** Keys that both ends have. Secret: they go into the IKE machine and nowhere else. */
export interface SharedSecrets {
  readonly sharedKey?: Uint8Array;
  readonly ppk?: Uint8Array;
}

/** What the host found beside the profile; no secrets. */
export interface CredentialFacts {
  /** The one that was chosen. */
  readonly certificate?: CertificateFacts;
  /** The machine's own, which proves itself before the user does. */
  readonly machine?: CertificateFacts;
  /** A key of ours that has no certificate. */
  readonly rawKey?: { readonly spki: Uint8Array; readonly schemes: readonly SignatureScheme[] };
  /** SubjectPublicKeyInfo of keys that the gateway may have without a certificate. */
  readonly gatewayKeys?: readonly Uint8Array[];
  /** Why there is no `certificate`, when more is known than that. */
  readonly certificateProblem?: Problem;
  /** There is somebody or something to ask for the password: a file, a keyring, or a person at a prompt. */
  readonly hasPassword: boolean;
  /** The RADIUS server's root may be any that the system trusts: no list of our own narrows it down. */
  readonly anyRadiusRoot?: boolean;
  /** SHA-1 of the SubjectPublicKeyInfo of each authority that may have issued the gateway's certificate. */
  readonly gatewayAuthorities: readonly Uint8Array[];
}
