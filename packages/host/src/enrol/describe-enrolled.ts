import { createHash } from 'node:crypto';
import { readEnrolled } from './enrolled-file.ts';

/** What people and decisions need of an enrolled certificate; its key stays here. */
export interface EnrolledCertificate {
  /** SHA-256, lower-case hexadecimal. */
  readonly id: string;
  readonly subject: string;
  readonly issuer: string;
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/** Undefined: there is none. @throws {HostError} 100–115 when the file cannot be used */
export async function describeEnrolled(directory: string, name: string): Promise<EnrolledCertificate | undefined> {
  const [leaf] = (await readEnrolled(directory, name))?.certificates ?? [];
  return (
    leaf && {
      id: createHash('sha256').update(leaf.der).digest('hex'),
      subject: leaf.subject,
      issuer: leaf.issuer,
      notBefore: leaf.notBefore.getTime(),
      notAfter: leaf.notAfter.getTime(),
    }
  );
}
