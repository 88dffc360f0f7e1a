/** IANA "IKEv2 Identification Payload ID Types" (RFC 7296 §3.5). */
export const IdentityType = {
  IPV4_ADDR: 1,
  FQDN: 2,
  RFC822_ADDR: 3,
  IPV6_ADDR: 5,
  DER_ASN1_DN: 9,
  DER_ASN1_GN: 10,
  KEY_ID: 11,
  NULL: 13,
} as const;

const names: Readonly<Record<number, string>> = {
  1: 'ID_IPV4_ADDR',
  2: 'ID_FQDN',
  3: 'ID_RFC822_ADDR',
  5: 'ID_IPV6_ADDR',
  9: 'ID_DER_ASN1_DN',
  10: 'ID_DER_ASN1_GN',
  11: 'ID_KEY_ID',
  13: 'ID_NULL',
};

export function nameOfIdentityType(type: number): string {
  return names[type] ?? `identity(${type})`;
}
