import { createHash } from 'node:crypto';
import { equal } from '@aovpn/bytes';
import type { ParsedCertificate } from '../trust/certificate.ts';
import { EnrolError } from './enrol-error.ts';

/**
 * Of all certificates that a server names, the one that the administrator has named before: by its SHA-256 (RFC 7030 §4.1.1, RFC 8894 §2.2).
 * @throws {EnrolError} untrusted
 */
export function pinnedAuthority(all: readonly ParsedCertificate[], fingerprint: Uint8Array): ParsedCertificate {
  const pinned = all.find(({ der }) => equal(createHash('sha256').update(der).digest(), fingerprint));
  if (!pinned) throw new EnrolError('untrusted', "none of the authority's certificates has the fingerprint of ca-fingerprint");
  return pinned;
}
