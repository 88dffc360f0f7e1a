import { domainToASCII } from 'node:url';
import { isInternational } from '@aovpn/profile';

/** A name as DNS has it: one with characters beyond ASCII in A-labels (UTS 46), anything else as it is; the empty string for what cannot be there. */
export function asciiName(name: string): string {
  return isInternational(name) ? domainToASCII(name) : name;
}
