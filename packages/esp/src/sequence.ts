/** The last number that may be sent: counters without ESN must not cycle (RFC 4303 §3.3.3). */
export const lastSequence = 0xffffffff;

/** From here on a rekey is due; at a million packets a second there are 17 minutes left. */
export const rekeySequence = 0xc0000000;

/** What a sender or receiver whose counter stands at `sequence` has to do. */
export function sequenceState(sequence: number): 'fine' | 'rekey' | 'exhausted' {
  if (sequence >= lastSequence) return 'exhausted';
  return sequence >= rekeySequence ? 'rekey' : 'fine';
}
