/** Our own choices of how weak or how large a peer's key may be; no specification names these figures. */

/** Nothing below, with no setting to allow it: 1024-bit moduli are within reach of those who can pay. */
export const minRsaModulusBits = 2048;

/** A larger modulus only buys the peer our processor time. */
export const maxRsaModulusBits = 8192;

/** NIST SP 800-56B allows up to 2²⁵⁶; nobody issues beyond 2³², and verification time grows with the exponent. */
export const maxRsaExponent = 1n << 33n;
