import { formatAddress, parsePrefix, prefixContains, type IpAddress } from '@aovpn/bytes';
import type { Because } from '../facts.ts';
import type { Plan } from '../plan.ts';

/** RFC 1122 §3.2.1.3, RFC 4291 §2.5.3 */
const loopback = [parsePrefix('127.0.0.0/8')!, parsePrefix('::1/128')!];

/** That LockDown refuses what goes to this address beside the tunnels, and why; undefined: it does not. */
export function heldBack({ lockdown }: Pick<Plan, 'lockdown'>, address: IpAddress): Because | undefined {
  if (!lockdown || loopback.some((prefix) => prefixContains(prefix, address))) return undefined;
  return { ...lockdown.because[0]!, why: `LockDown holds ${formatAddress(address)} back: only the tunnel leads there` };
}
