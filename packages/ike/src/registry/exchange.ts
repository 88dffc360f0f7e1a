/** IANA "IKEv2 Exchange Types"; the ones that we take part in. */
export const ExchangeType = {
  IKE_SA_INIT: 34,
  IKE_AUTH: 35,
  CREATE_CHILD_SA: 36,
  INFORMATIONAL: 37,
  IKE_SESSION_RESUME: 38,
  IKE_INTERMEDIATE: 43,
  IKE_FOLLOWUP_KE: 44,
} as const;

export interface ExchangeRow {
  readonly id: number;
  readonly name: string;
  readonly reference: string;
}

/** Known by name, for traces; only those of {@link ExchangeType} are spoken. */
export const exchangeRows: readonly ExchangeRow[] = [
  { id: 34, name: 'IKE_SA_INIT', reference: 'RFC 7296 §1.2' },
  { id: 35, name: 'IKE_AUTH', reference: 'RFC 7296 §1.2' },
  { id: 36, name: 'CREATE_CHILD_SA', reference: 'RFC 7296 §1.3' },
  { id: 37, name: 'INFORMATIONAL', reference: 'RFC 7296 §1.4' },
  { id: 38, name: 'IKE_SESSION_RESUME', reference: 'RFC 5723' },
  { id: 43, name: 'IKE_INTERMEDIATE', reference: 'RFC 9242' },
  { id: 44, name: 'IKE_FOLLOWUP_KE', reference: 'RFC 9370' },
];

/** The registered name, or `exchange(240)`. */
export function nameOfExchange(id: number): string {
  return exchangeRows.find((row) => row.id === id)?.name ?? `exchange(${id})`;
}
