import type { WorkerCommand } from './worker-protocol.ts';

/**
 * An SA that nobody has: a new worker makes it once and throws it away. What a first SA and a first packet need of code is compiled and loaded then, not
 * when a gateway and a program wait for them.
 */
export function rehearsalSa(): Extract<WorkerCommand, { kind: 'install' }> {
  // AES-GCM with 128 bits and a salt of four octets (RFC 4106).
  const sa = { spi: 0, encryptionKey: new Uint8Array(16 + 4), integrityKey: new Uint8Array(0) };
  return { kind: 'install', spiIn: 0, row: 0, suite: { encr: 20, keyBits: 128, integ: 0 }, esn: false, sa };
}

/** Octets of the packet that goes through it. */
export const rehearsalLength = 64;
