import { formatPrefix, prefixContains, samePrefix, type IpPrefix } from '@aovpn/bytes';
import type { LiveTunnel } from '../compile-plan.ts';
import type { Candidate } from '../compile-routes.ts';
import type { Because, HostFacts } from '../facts.ts';
import { FilterProblems, type FilterProblem } from '../filter/problem.ts';
import { PrefixTable } from '../prefix-table.ts';
import { distrust, knownInside, localNetworks, ownNetwork } from './local-network.ts';

/** A directly attached network that a tunnel would carry, and whether it stays direct all the same. */
export interface JudgedNetwork {
  readonly subnet: IpPrefix;
  readonly tunnel: LiveTunnel;
  readonly verdict:
    | { readonly kind: 'direct'; readonly because: Because }
    /** Split tunnel without ByPassForLocal: a route of the profile is about it. */
    | { readonly kind: 'inside'; readonly route: Candidate }
    /** Of a force tunnel without ByPassForLocal: nobody expects otherwise. */
    | { readonly kind: 'forced' }
    | { readonly kind: 'distrusted'; readonly why: string };
}

const nothingKnown = new PrefixTable<IpPrefix>();

/**
 * Any force tunnel without ByPassForLocal takes all of them. With ByPassForLocal those stay direct that can be nobody else's; under split
 * tunnel that is an exception from its Routes, and a network as large as the Route itself is none. Networks that end in this machine stay direct
 * in any case, unless a Route is as specific.
 * @param tunnels most preferred first
 */
export function judgeLocalNetworks(
  tunnels: readonly LiveTunnel[],
  candidates: readonly Candidate[],
  { localSubnets = [], ownSubnets = [] }: Pick<HostFacts, 'localSubnets' | 'ownSubnets'>,
): readonly JudgedNetwork[] {
  const strict = tunnels.some(({ intent }) => intent.routing.value === 'ForceTunnel' && !intent.byPassForLocal.value);
  const tables = new Map<LiveTunnel, PrefixTable<IpPrefix>>();
  /** Only where it is asked for: a profile may have many routes. */
  const insideOf = (tunnel: LiveTunnel): PrefixTable<IpPrefix> => {
    const known = tables.get(tunnel) ?? knownInside(tunnel);
    tables.set(tunnel, known);
    return known;
  };
  const judgeAll = (subnet: IpPrefix, verdictOf: (tunnel: LiveTunnel, route: Candidate) => JudgedNetwork['verdict']) => {
    const own = tunnels.flatMap((tunnel): JudgedNetwork[] => {
      const route = routeAround(subnet, tunnel, candidates);
      return route ? [{ subnet, tunnel, verdict: verdictOf(tunnel, route) }] : [];
    });
    // What one tunnel must carry, no other lets out.
    const refusal = own.find(({ verdict }) => verdict.kind !== 'direct');
    return refusal ? [refusal] : own.slice(0, 1);
  };
  return [
    ...localNetworks(localSubnets).flatMap((subnet) =>
      judgeAll(subnet, (tunnel, route) => (strict ? { kind: 'forced' } : judge(subnet, tunnel, route, insideOf))),
    ),
    ...localNetworks(ownSubnets).flatMap((subnet) =>
      judgeAll(subnet, (_tunnel, route) =>
        samePrefix(route.prefix, subnet)
          ? { kind: 'inside', route }
          : {
              kind: 'direct',
              because: { ...route.because, why: `${ownNetwork}, more specific than ${formatPrefix(route.prefix)}` },
            },
      ),
    ),
  ];
}

/** The most specific route of a tunnel that takes all of a network; undefined when there is none, or an exclusion is more specific. */
function routeAround(subnet: IpPrefix, tunnel: LiveTunnel, candidates: readonly Candidate[]): Candidate | undefined {
  let longest: Candidate | undefined;
  for (const candidate of candidates) {
    const { rank, prefix } = candidate;
    if (candidate.tunnel !== tunnel || (rank !== 'tunnel' && rank !== 'excluded') || !prefixContains(prefix, subnet)) continue;
    if (prefix.length > (longest?.prefix.length ?? -1)) longest = candidate;
  }
  return longest?.rank === 'tunnel' ? longest : undefined;
}

function judge(
  subnet: IpPrefix,
  tunnel: LiveTunnel,
  route: Candidate,
  insideOf: (tunnel: LiveTunnel) => PrefixTable<IpPrefix>,
): JudgedNetwork['verdict'] {
  const { intent } = tunnel;
  const force = intent.routing.value === 'ForceTunnel';
  if (!intent.byPassForLocal.value || (!force && samePrefix(route.prefix, subnet))) return { kind: 'inside', route };
  // The Routes of a split tunnel overlap it in any case; ByPassForLocal is the exception from them.
  const why = distrust(subnet, force ? insideOf(tunnel) : nothingKnown);
  if (why !== undefined) return { kind: 'distrusted', why };
  const { at } = intent.byPassForLocal.because;
  const reason = force
    ? 'directly attached network, ByPassForLocal'
    : `directly attached network, more specific than ${formatPrefix(route.prefix)}, ByPassForLocal`;
  return { kind: 'direct', because: { profile: intent.name, ...(at && { at }), why: reason } };
}

/** What people should know about networks that they are attached to and do not reach. */
export function localNetworkProblems(judged: readonly JudgedNetwork[]): readonly FilterProblem[] {
  return judged.flatMap(({ subnet, tunnel: { intent }, verdict }): readonly FilterProblem[] => {
    const problems = new FilterProblems(intent.name);
    const text = formatPrefix(subnet);
    const somewhere = intent.routing.because.at ?? { line: 1, column: 1 };
    switch (verdict.kind) {
      case 'direct':
      case 'forced':
        break;
      case 'inside': {
        const { prefix, because } = verdict.route;
        problems.add(
          'localNetworkInside',
          because.at ?? somewhere,
          'VPNProfile/Route',
          `${text} lies in ${formatPrefix(prefix)}`,
        );
        break;
      }
      case 'distrusted':
        problems.add(
          'localNetworkDistrusted',
          intent.byPassForLocal.because.at ?? somewhere,
          'VPNProfile/ByPassForLocal',
          `${text}: ${verdict.why}`,
        );
    }
    return problems.list;
  });
}
