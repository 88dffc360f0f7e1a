import type { SecureContextOptions } from 'node:tls';
import type { SignatureScheme } from '@aovpn/ike';
import type { HostError } from '../host-error.ts';

/** A private key, wherever it is. Only what it does is visible, also to the rest of this room. */
export interface PrivateKey {
  readonly onToken: boolean;
  /** What it can sign with, most wanted first. */
  readonly schemes: readonly SignatureScheme[];
  /**
   * Makes it ready to sign, for TLS, which cannot wait: a token asks for its PIN.
   * @throws {HostError} 151–157
   */
  unlock(): Promise<void>;
  /** @throws {HostError} 130, 151–157 */
  sign(scheme: SignatureScheme, data: Uint8Array): Promise<Uint8Array>;
  /** What makes `node:tls` use the key. */
  tlsOptions(): SecureContextOptions;
  /** Why it could not sign within TLS, when that was the reason that TLS failed; forgotten once told. */
  takeFailure(): HostError | undefined;
}
