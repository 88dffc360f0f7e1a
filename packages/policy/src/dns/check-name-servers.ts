import { formatAddress, formatPrefix, prefixContains } from '@aovpn/bytes';
import type { LiveTunnel } from '../compile-plan.ts';
import type { FilterProblems } from '../filter/problem.ts';
import type { DnsRule } from '../plan.ts';

/** Says which name servers of a tunnel its own profile, or what was negotiated, keeps out of it: names are then asked in the clear. */
export function checkNameServers(
  tunnels: readonly LiveTunnel[],
  rules: readonly DnsRule[],
  problemsOf: (profile: string) => FilterProblems,
): void {
  for (const { intent, facts } of tunnels) {
    const told = new Set<string>();
    for (const rule of rules) {
      if (rule.device !== facts.device) continue;
      for (const server of rule.servers) {
        const text = formatAddress(server);
        if (told.has(text)) continue;
        told.add(text);
        const exclusion = intent.exclusions.find(({ prefix }) => prefixContains(prefix, server));
        if (exclusion?.because.at) {
          const what = `${text} of ${rule.name} is in ${formatPrefix(exclusion.prefix)}`;
          problemsOf(intent.name).add('nameServerExcluded', exclusion.because.at, 'VPNProfile/Route/ExclusionRoute', what);
          continue;
        }
        const { remoteSelectors } = facts;
        if (remoteSelectors.length > 0 && !remoteSelectors.some((selector) => prefixContains(selector, server))) {
          const at = rule.because.at ?? intent.routing.because.at;
          if (at) problemsOf(intent.name).add('nameServerNotCarried', at, 'VPNProfile', `${text} of ${rule.name}`);
        }
      }
    }
  }
}
