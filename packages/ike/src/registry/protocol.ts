/** IANA "IKEv2 Security Protocol Identifiers" (RFC 7296 §3.3.1); NONE only in Notify payloads without an SPI. */
export const ProtocolId = { NONE: 0, IKE: 1, AH: 2, ESP: 3 } as const;

const names: Readonly<Record<number, string>> = { 0: 'none', 1: 'IKE', 2: 'AH', 3: 'ESP' };

export function nameOfProtocol(id: number): string {
  return names[id] ?? `protocol(${id})`;
}
