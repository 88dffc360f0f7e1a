import { formatAddress } from '@aovpn/bytes';
import type { PlanInput } from '../compile-plan.ts';
import type { GatewayEndpoint, LockdownPlan } from './lockdown-plan.ts';

/** What has a say in LockDown besides profiles and tunnels. */
export type LockdownInput = Pick<PlanInput, 'tunnels' | 'idle' | 'endpoints' | 'unlocked' | 'portal' | 'questions' | 'host'>;

/**
 * Undefined when no profile in force has LockDown, or root has released all that have. Whether the tunnel is up makes no difference to what is
 * refused, only to what may go through it: there is no state of a connection in which LockDown is not in force.
 */
export function compileLockdown({
  tunnels,
  idle = [],
  endpoints,
  unlocked,
  portal,
  questions,
  host,
}: LockdownInput): LockdownPlan | undefined {
  const intents = [...tunnels.map(({ intent }) => intent), ...idle];
  const locking = intents.filter(({ name, lockdown }) => lockdown !== undefined && !(unlocked?.has(name) ?? false));
  if (locking.length === 0) return undefined;
  const names = new Set(locking.map(({ name }) => name));
  const gateways = new Map<string, GatewayEndpoint>();
  for (const [name, places] of endpoints ?? []) {
    if (names.has(name)) for (const place of places) gateways.set(`${formatAddress(place.address)} ${place.port}`, place);
  }
  const locked = tunnels.filter(({ intent }) => names.has(intent.name)).map(({ facts }) => facts);
  return {
    because: locking.map(({ lockdown }) => lockdown!).sort((a, b) => compareText(a.profile, b.profile)),
    devices: locked.map(({ device }) => device).sort(compareText),
    gateways: [...gateways].sort(([a], [b]) => compareText(a, b)).map(([, place]) => place),
    resolvers: host.physicalDns,
    mark: host.mark,
    ...(locked.some(({ kernelEsp }) => kernelEsp) && { kernelEsp: true as const }),
    ...(questions && questions.length > 0 && { questions }),
    ...(portal && { portal }),
  };
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
