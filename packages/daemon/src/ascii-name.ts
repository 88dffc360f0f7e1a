import { domainToASCII } from 'node:url';

/** A name as DNS has it: one with characters beyond ASCII in A-labels (UTS 46), anything else as it is; the empty string for what cannot be there. */
export function asciiName(name: string): string {
  return /[^\0-\x7f]/.test(name) ? domainToASCII(name) : name;
}
