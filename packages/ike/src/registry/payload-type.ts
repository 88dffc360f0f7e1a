import type { Payload } from '../message/payload.ts';

/** Kinds of payload that have a decoder, plus the two encrypted ones that the seal takes care of. */
export type PayloadKind = Exclude<Payload['kind'], 'unknown'>;

/** IANA "IKEv2 Payload Types" */
export const PayloadType = {
  NONE: 0,
  SA: 33,
  KE: 34,
  IDi: 35,
  IDr: 36,
  CERT: 37,
  CERTREQ: 38,
  AUTH: 39,
  NONCE: 40,
  N: 41,
  D: 42,
  V: 43,
  TSi: 44,
  TSr: 45,
  SK: 46,
  CP: 47,
  EAP: 48,
  SKF: 53,
  PS: 54,
} as const;

export interface PayloadTypeRow {
  readonly id: number;
  /** As in the RFC's notation; the same word as {@link Payload.kind}. */
  readonly kind: PayloadKind | 'SK' | 'SKF';
  readonly name: string;
  readonly reference: string;
}

export const payloadTypeRows: readonly PayloadTypeRow[] = [
  { id: 33, kind: 'SA', name: 'Security Association', reference: 'RFC 7296 §3.3' },
  { id: 34, kind: 'KE', name: 'Key Exchange', reference: 'RFC 7296 §3.4' },
  { id: 35, kind: 'IDi', name: 'Identification - Initiator', reference: 'RFC 7296 §3.5' },
  { id: 36, kind: 'IDr', name: 'Identification - Responder', reference: 'RFC 7296 §3.5' },
  { id: 37, kind: 'CERT', name: 'Certificate', reference: 'RFC 7296 §3.6' },
  { id: 38, kind: 'CERTREQ', name: 'Certificate Request', reference: 'RFC 7296 §3.7' },
  { id: 39, kind: 'AUTH', name: 'Authentication', reference: 'RFC 7296 §3.8' },
  { id: 40, kind: 'NONCE', name: 'Nonce', reference: 'RFC 7296 §3.9' },
  { id: 41, kind: 'N', name: 'Notify', reference: 'RFC 7296 §3.10' },
  { id: 42, kind: 'D', name: 'Delete', reference: 'RFC 7296 §3.11' },
  { id: 43, kind: 'V', name: 'Vendor ID', reference: 'RFC 7296 §3.12' },
  { id: 44, kind: 'TSi', name: 'Traffic Selector - Initiator', reference: 'RFC 7296 §3.13' },
  { id: 45, kind: 'TSr', name: 'Traffic Selector - Responder', reference: 'RFC 7296 §3.13' },
  { id: 46, kind: 'SK', name: 'Encrypted and Authenticated', reference: 'RFC 7296 §3.14' },
  { id: 47, kind: 'CP', name: 'Configuration', reference: 'RFC 7296 §3.15' },
  { id: 48, kind: 'EAP', name: 'Extensible Authentication', reference: 'RFC 7296 §3.16' },
  { id: 53, kind: 'SKF', name: 'Encrypted and Authenticated Fragment', reference: 'RFC 7383 §2.5' },
  { id: 54, kind: 'PS', name: 'Puzzle Solution', reference: 'RFC 8019 §8.2' },
];

/** `SA`, `KE`, … or `payload(200)`. */
export function nameOfPayload(type: number): string {
  return payloadTypeRows.find((row) => row.id === type)?.kind ?? `payload(${type})`;
}
