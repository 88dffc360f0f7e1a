/** Object identifiers of RFC 5280 and its companions, as far as they decide something here. */
export const oid = {
  commonName: '2.5.4.3',
  emailAddress: '1.2.840.113549.1.9.1',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  crlReason: '2.5.29.21',
  invalidityDate: '2.5.29.24',
  deltaCrlIndicator: '2.5.29.27',
  issuingDistributionPoint: '2.5.29.28',
  nameConstraints: '2.5.29.30',
  crlDistributionPoints: '2.5.29.31',
  certificatePolicies: '2.5.29.32',
  policyMappings: '2.5.29.33',
  authorityKeyIdentifier: '2.5.29.35',
  policyConstraints: '2.5.29.36',
  extendedKeyUsage: '2.5.29.37',
  anyExtendedKeyUsage: '2.5.29.37.0',
  inhibitAnyPolicy: '2.5.29.54',
  authorityInfoAccess: '1.3.6.1.5.5.7.1.1',
  ocspAccess: '1.3.6.1.5.5.7.48.1',
  ocspBasic: '1.3.6.1.5.5.7.48.1.1',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  ocspSigning: '1.3.6.1.5.5.7.3.9',
  /** RFC 4945 §5.1.3.12 and RFC 4809. */
  ipsecIke: '1.3.6.1.5.5.7.3.17',
  /** The older one, which Windows and macOS know. */
  ikeIntermediate: '1.3.6.1.5.5.8.2.2',
  /** User principal name, an otherName (Microsoft). */
  upn: '1.3.6.1.4.1.311.20.2.3',
} as const;
