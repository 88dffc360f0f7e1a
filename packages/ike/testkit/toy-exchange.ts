import type { KeyPair } from '../src/crypto/port.ts';
import { keRow } from '../src/registry/transform-lookup.ts';
import type { TestCrypto } from './test-crypto.ts';

const prime = 2n ** 61n - 1n;
const generator = 37n;

/**
 * The same cryptography with a key exchange that is quick and worthless: powers modulo a small prime. Simulations make hundreds of thousands
 * of key pairs, and which group they are of makes no difference to who says what when.
 */
export function withToyExchange(crypto: TestCrypto): TestCrypto {
  return {
    ...crypto,
    random: (length) => crypto.random(length),
    generateKeyPair(group): KeyPair {
      const secret = 2n + (fromOctets(crypto.random(7)) % (prime - 3n));
      return { group, secret, publicValue: toOctets(power(generator, secret), keRow(group).publicLength) };
    },
    sharedSecret({ group, secret }, peer) {
      return peer.length === answerLength(group) ? shared(secret as bigint, peer) : undefined;
    },
    answerKeyExchange(group, peer) {
      const secret = 2n + (fromOctets(crypto.random(7)) % (prime - 3n));
      const sharedSecret = peer.length === keRow(group).publicLength ? shared(secret, peer) : undefined;
      return sharedSecret && { sharedSecret, publicValue: toOctets(power(generator, secret), answerLength(group)) };
    },
  };
}

function shared(secret: bigint, peer: Uint8Array): Uint8Array | undefined {
  const base = fromOctets(peer);
  return base <= 1n || base >= prime - 1n ? undefined : toOctets(power(base, secret), 32);
}

function answerLength(group: number): number {
  const { publicLength, answerLength: other } = keRow(group);
  return other ?? publicLength;
}

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  for (let square = base, rest = exponent; rest > 0n; rest >>= 1n) {
    if ((rest & 1n) === 1n) result = (result * square) % prime;
    square = (square * square) % prime;
  }
  return result;
}

function fromOctets(octets: Uint8Array): bigint {
  let value = 0n;
  for (const octet of octets) value = (value << 8n) | BigInt(octet);
  return value;
}

function toOctets(value: bigint, length: number): Uint8Array {
  const octets = new Uint8Array(length);
  for (let i = length - 1, rest = value; rest > 0n; i--, rest >>= 8n) octets[i] = Number(rest & 0xffn);
  return octets;
}
