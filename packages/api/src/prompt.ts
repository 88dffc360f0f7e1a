/** A question that only a person can answer. It holds no secret; the answer never comes back out of the daemon. */
export interface Prompt {
  /** Unguessable, so that an answer meant for one question never reaches another. */
  readonly id: string;
  readonly connection: string;
  readonly kind: PromptKind;
  /** The question, one sentence without full stop. */
  readonly text: string;
  readonly userName?: string;
  /** What the server (or the token) says about it. It comes from the network: print it with care. */
  readonly message?: string;
  /** The previous answer was wrong. */
  readonly retry: boolean;
  /** `trust` only: who asks to be believed. */
  readonly server?: PromptServer;
  /** `certificate` only. */
  readonly choices?: readonly PromptChoice[];
  readonly askedAt: string;
  /** From then on it counts as refused. */
  readonly expiresAt: string;
}

export type PromptKind =
  | 'password'
  /** The old one has expired; the server wants another one. */
  | 'new-password'
  /** A one-time code, or whatever else EAP-GTC asks for. */
  | 'token'
  /** Of a PKCS#11 token. */
  | 'pin'
  /** The profile allows a person to say that a RADIUS server is the right one. */
  | 'trust'
  /** Several certificates fit. */
  | 'certificate';

export interface PromptServer {
  readonly subject: string;
  readonly issuer: string;
  readonly names: readonly string[];
  /** SHA-256 of the certificate, lower-case hexadecimal. */
  readonly sha256: string;
  /** Why it is not believed without being asked for. */
  readonly why: string;
}

export interface PromptChoice {
  readonly id: string;
  readonly text: string;
}

/**
 * The answer of a person as JSON. Secrets (`password`, `new-password`, `token`, `pin`) are not JSON: they are the body itself, as UTF-8
 * with `content-type: application/octet-stream`, so that both ends can overwrite every copy.
 */
export type PromptAnswer =
  | { readonly answer: 'refuse' }
  /** To `trust`. */
  | { readonly answer: 'accept' }
  /** To `certificate`: the id of the choice. */
  | { readonly answer: 'choose'; readonly choice: string };

/** What became of a prompt. */
export type PromptOutcome = 'answered' | 'refused' | 'expired' | 'withdrawn';

/** Longest secret, octets. */
export const maxSecretBytes = 1024;

/** Kinds that are answered by a secret. */
export const secretPromptKinds: readonly PromptKind[] = ['password', 'new-password', 'token', 'pin'];
