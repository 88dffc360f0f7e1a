import type { Intent } from '@aovpn/policy';
import type { SupervisorState } from '../contract.ts';
import { viewConnection } from '../view.ts';

/**
 * Whether somebody would want to sign in to this network: a connection that holds traffic inside is wanted, and not up.
 * @param intents of the profiles in force, by name
 */
export function wantsPortal({ connections, network }: SupervisorState, intents: ReadonlyMap<string, Intent>): boolean {
  if (!network.v4 && !network.v6) return false;
  return [...connections.values()].some((connection) => {
    const intent = intents.get(connection.spec.name);
    if (intent === undefined || (intent.routing.value !== 'ForceTunnel' && intent.lockdown === undefined)) return false;
    const { state } = viewConnection(connection);
    return state === 'connecting' || state === 'waiting' || state === 'blocked' || state === 'recovering';
  });
}
