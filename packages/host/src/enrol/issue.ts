import type { KeyObject } from 'node:crypto';
import type { AnchorStore } from '../trust/anchor-store.ts';
import type { ParsedCertificate } from '../trust/certificate.ts';

/** What came of asking for a certificate. */
export type Issue =
  | {
      readonly kind: 'issued';
      readonly key: KeyObject;
      /** Leaf first, its chain without the root. */
      readonly certificates: readonly ParsedCertificate[];
    }
  /** Somebody has to approve it; `key` is to ask with again. `retryAfter`: milliseconds. `why`: what else is waited for. */
  | { readonly kind: 'pending'; readonly key: KeyObject; readonly retryAfter?: number; readonly why?: string };

/** Whom an enrolment server must come from: at least one of the two, as nobody is believed at first sight. */
export interface ServerTrust {
  /** For the server's TLS certificate. */
  readonly anchors?: AnchorStore;
  /** SHA-256 of the authority's certificate. */
  readonly fingerprint?: Uint8Array;
}
