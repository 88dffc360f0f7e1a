import type { Intent } from '@aovpn/policy';
import type { SupervisorState } from '../contract.ts';
import { viewConnection } from '../view.ts';

/**
 * Whether somebody would want to sign in to this network: a connection that holds traffic inside is wanted, and not up.
 * @param intentOf what a profile wants; undefined: it is not in force
 */
export function wantsPortal({ connections, network }: SupervisorState, intentOf: (name: string) => Intent | undefined): boolean {
  if (!network.v4 && !network.v6) return false;
  return [...connections.values()].some((connection) => {
    const intent = intentOf(connection.spec.name);
    if (intent === undefined || (intent.routing.value !== 'ForceTunnel' && intent.lockdown === undefined)) return false;
    const { state } = viewConnection(connection);
    return state === 'connecting' || state === 'waiting' || state === 'blocked' || state === 'recovering';
  });
}
