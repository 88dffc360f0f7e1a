import type { TriggerReadiness } from '@aovpn/policy';
import type { Connection, NetworkState, SupervisorState } from './contract.ts';
import { usable } from './turn.ts';

/** What a question for a name of AutoTrigger can come to, for every connection: whether it would bring the tunnel up, or why not. */
export function nameReadiness({ connections, network, stopping }: SupervisorState): ReadonlyMap<string, TriggerReadiness> {
  return new Map(
    [...connections.values()].map((connection) => [connection.spec.name, readinessOf(connection, network, stopping)]),
  );
}

function readinessOf(connection: Connection, network: NetworkState, stopping: boolean): TriggerReadiness {
  const { spec, phase, held, trust, removed, demanded, failures } = connection;
  if (stopping || removed) return { kind: 'off', why: 'the connection ends' };
  if (held) return { kind: 'off', why: `${held.by} said down` };
  if (trust?.kind === 'trusted' && !demanded) return { kind: 'off', why: `this network is trusted: ${trust.why}` };
  const problem = spec.problem ?? connection.problem;
  const stuck = phase.kind === 'waiting' || phase.kind === 'blocked' || phase.kind === 'offline';
  const failing = phase.kind === 'closing' && phase.afterwards.kind === 'fail' ? phase.afterwards.problem : undefined;
  // A problem of the first round is no verdict: other places of the same gateway may be better.
  if (spec.problem || failing || stuck || (problem && failures > 0))
    return { kind: 'trouble', why: (failing ?? problem)?.message ?? 'there is no network' };
  return usable(network) ? { kind: 'ready' } : { kind: 'trouble', why: 'there is no network' };
}
