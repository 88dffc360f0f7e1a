import type { SignatureScheme } from '@aovpn/ike';
import type { Problem } from './problem.ts';

/** A name that a certificate carries besides its subject. */
export interface AlternativeName {
  readonly kind: 'dns' | 'email' | 'upn' | 'ip';
  readonly value: string;
}

/** What the host found beside the profile; no secrets. */
export interface CredentialFacts {
  /** The one that was chosen. */
  readonly certificate?: {
    /** DER, leaf first. */
    readonly chain: readonly Uint8Array[];
    /** Most wanted first. */
    readonly schemes: readonly SignatureScheme[];
    /** DER of the subject; undefined when it is empty. */
    readonly subject?: Uint8Array;
    readonly commonName?: string;
    readonly alternativeNames: readonly AlternativeName[];
  };
  /** Why there is no `certificate`, when more is known than that. */
  readonly certificateProblem?: Problem;
  /** There is somebody or something to ask for the password: a file, a keyring, or a person at a prompt. */
  readonly hasPassword: boolean;
  /** The RADIUS server's root may be any that the system trusts: no list of our own narrows it down. */
  readonly anyRadiusRoot?: boolean;
  /** SHA-1 of the SubjectPublicKeyInfo of each authority that may have issued the gateway's certificate. */
  readonly gatewayAuthorities: readonly Uint8Array[];
}
