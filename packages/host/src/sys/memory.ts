import koffi from 'koffi';
import { addressOf } from './libc.ts';

const copy = koffi.load(null).func('size_t memcpy(size_t, size_t, size_t)') as (
  to: number,
  from: number,
  length: number,
) => number;

/** A copy of memory that somebody else owns. */
export function readMemory(place: number, length: number): Uint8Array {
  const octets = new Uint8Array(length);
  if (length > 0) copy(addressOf(octets), place, length);
  return octets;
}

/** Writes into memory that somebody else owns, and that has room for it. */
export function writeMemory(place: number, octets: Uint8Array): void {
  if (octets.length > 0) copy(place, addressOf(octets), octets.length);
}
