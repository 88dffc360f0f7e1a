/** IANA "IKEv2 Configuration Payload CFG Types" (RFC 7296 §3.15). */
export const ConfigType = { REQUEST: 1, REPLY: 2, SET: 3, ACK: 4 } as const;

/** IANA "IKEv2 Configuration Payload Attribute Types" (RFC 7296 §3.15.1, RFC 8598, RFC 9464). */
export const ConfigAttributeType = {
  INTERNAL_IP4_ADDRESS: 1,
  INTERNAL_IP4_NETMASK: 2,
  INTERNAL_IP4_DNS: 3,
  INTERNAL_IP4_NBNS: 4,
  INTERNAL_IP4_DHCP: 6,
  APPLICATION_VERSION: 7,
  INTERNAL_IP6_ADDRESS: 8,
  INTERNAL_IP6_DNS: 10,
  INTERNAL_IP6_DHCP: 12,
  INTERNAL_IP4_SUBNET: 13,
  SUPPORTED_ATTRIBUTES: 14,
  INTERNAL_IP6_SUBNET: 15,
  INTERNAL_DNS_DOMAIN: 25,
  INTERNAL_DNSSEC_TA: 26,
  ENCDNS_IP4: 27,
  ENCDNS_IP6: 28,
  ENCDNS_DIGEST_INFO: 29,
} as const;

export interface ConfigAttributeRow {
  readonly type: number;
  readonly name: string;
  /** Allowed lengths of the value, octets; undefined: any. Zero asks for a value, or gives none. */
  readonly lengths?: readonly number[];
  readonly reference: string;
}

export const configAttributeRows: readonly ConfigAttributeRow[] = [
  { type: 1, name: 'INTERNAL_IP4_ADDRESS', lengths: [0, 4], reference: 'RFC 7296 §3.15.1' },
  { type: 2, name: 'INTERNAL_IP4_NETMASK', lengths: [0, 4], reference: 'RFC 7296 §3.15.1' },
  { type: 3, name: 'INTERNAL_IP4_DNS', lengths: [0, 4], reference: 'RFC 7296 §3.15.1' },
  { type: 4, name: 'INTERNAL_IP4_NBNS', lengths: [0, 4], reference: 'RFC 7296 §3.15.1' },
  { type: 6, name: 'INTERNAL_IP4_DHCP', lengths: [0, 4], reference: 'RFC 7296 §3.15.1' },
  { type: 7, name: 'APPLICATION_VERSION', reference: 'RFC 7296 §3.15.1' },
  { type: 8, name: 'INTERNAL_IP6_ADDRESS', lengths: [0, 17], reference: 'RFC 7296 §3.15.1' },
  // Libreswan 4 puts a prefix length behind it.
  { type: 10, name: 'INTERNAL_IP6_DNS', lengths: [0, 16, 17], reference: 'RFC 7296 §3.15.1' },
  { type: 12, name: 'INTERNAL_IP6_DHCP', lengths: [0, 16], reference: 'RFC 7296 §3.15.1' },
  { type: 13, name: 'INTERNAL_IP4_SUBNET', lengths: [0, 8], reference: 'RFC 7296 §3.15.1' },
  { type: 14, name: 'SUPPORTED_ATTRIBUTES', reference: 'RFC 7296 §3.15.1' },
  { type: 15, name: 'INTERNAL_IP6_SUBNET', lengths: [0, 17], reference: 'RFC 7296 §3.15.1' },
  { type: 25, name: 'INTERNAL_DNS_DOMAIN', reference: 'RFC 8598 §4.1' },
  { type: 26, name: 'INTERNAL_DNSSEC_TA', reference: 'RFC 8598 §4.2' },
  { type: 27, name: 'ENCDNS_IP4', reference: 'RFC 9464 §3.1' },
  { type: 28, name: 'ENCDNS_IP6', reference: 'RFC 9464 §3.1' },
  { type: 29, name: 'ENCDNS_DIGEST_INFO', reference: 'RFC 9464 §3.2' },
];

/** The registered name, or `attribute(23456)`. */
export function nameOfConfigAttribute(type: number): string {
  return configAttributeRows.find((row) => row.type === type)?.name ?? `attribute(${type})`;
}
