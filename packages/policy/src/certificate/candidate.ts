/** A certificate that could speak for this machine or user, as the key room found it; no secrets. */
export interface CertificateCandidate {
  /** SHA-256 of the certificate, lower-case hexadecimal. */
  readonly id: string;
  /** Where it lies, for people: `file /etc/…`, `PKCS#12 /etc/…`, `token "…", object "…"`. */
  readonly source: string;
  /** In a PKCS#11 token, which is what `CredentialsSource/SmartCard` means here. */
  readonly onToken: boolean;
  /** The private key of it is there. */
  readonly hasKey: boolean;
  /** RFC 4514 text. */
  readonly subject: string;
  readonly issuer: string;
  readonly commonName?: string;
  readonly userPrincipalNames: readonly string[];
  readonly emailAddresses: readonly string[];
  readonly dnsNames: readonly string[];
  /** Milliseconds since 1970. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** OIDs; undefined when the certificate has no extended key usage at all ("all purposes"). */
  readonly extendedKeyUsage: readonly string[] | undefined;
  /** Undefined when the certificate has no key usage extension. */
  readonly digitalSignature: boolean | undefined;
  /** SHA-1 of every CA certificate above it that is known here, nearest first, lower-case hexadecimal. */
  readonly issuerHashes: readonly string[];
  /** Subjects of the same certificates, RFC 4514 text. */
  readonly issuerSubjects: readonly string[];
  /**
   * How long the same certificates are valid. An authority that has been renewed with the same name and key counts for as long as any of its
   * certificates that are known here.
   */
  readonly issuerValidity?: readonly { readonly notAfter: number; readonly isRoot: boolean }[];
}
