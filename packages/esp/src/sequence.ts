/** The last number that may be sent: counters without ESN must not cycle (RFC 4303 §3.3.3). */
export const lastSequence = 0xffffffff;

/** From here on a rekey is due; at a million packets a second there are 17 minutes left. */
export const rekeySequence = 0xc0000000;

/**
 * The same with extended sequence numbers (RFC 4303 §2.2.1), our own choice: far beyond what any link carries in the life of an SA, and exact
 * in a double.
 */
export const lastExtendedSequence = 2 ** 48;
export const rekeyExtendedSequence = 2 ** 47;

/** What a sender or receiver whose counter stands at `sequence` has to do. */
export function sequenceState(sequence: number, esn = false): 'fine' | 'rekey' | 'exhausted' {
  if (sequence >= (esn ? lastExtendedSequence : lastSequence)) return 'exhausted';
  return sequence >= (esn ? rekeyExtendedSequence : rekeySequence) ? 'rekey' : 'fine';
}
