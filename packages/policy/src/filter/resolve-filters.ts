import type { IpFamily, IpRange } from '@aovpn/bytes';
import type { Located, Position, Profile, TrafficFilter } from '@aovpn/profile';
import { appNameOf } from '../app/app-name.ts';
import type { DivergenceNote, PolicyDivergenceId } from '../divergence.ts';
import type { Because, Sourced } from '../facts.ts';
import { parseAddressRange } from './address-range.ts';
import type { FilterIntent, SecurityEntry, TriggerIntent } from './filter-intent.ts';
import { filterPath, FilterProblems, quoted, type FilterProblem } from './problem.ts';
import { parseSecurityDescriptor } from './security-descriptor.ts';

/** What the filters and triggers of a profile want, with what is wrong about them whatever the machine. */
export interface ResolvedFilters {
  readonly filters: readonly FilterIntent[];
  readonly triggers: readonly TriggerIntent[];
  readonly problems: readonly FilterProblem[];
  readonly notes: readonly DivergenceNote[];
}

/** A filter that cannot be understood is kept and marked: it still denies everything else, and lets nothing through itself. */
export function resolveFilters(name: string, profile: Profile): ResolvedFilters {
  const problems = new FilterProblems(name);
  const notes: DivergenceNote[] = [];
  const noted = new Set<PolicyDivergenceId>();
  /** Once for each profile: a note says what it means, not how often. */
  const note = (id: PolicyDivergenceId, at: Position, text: string): void => {
    if (!noted.has(id)) notes.push({ id, at, text });
    noted.add(id);
  };
  const source = (at: Position, why: string): Because & { readonly at: Position } => ({ profile: name, at, why });

  const filters = profile.trafficFilters.map((written, i) => resolveFilter(written, i + 1));
  const triggers = profile.appTriggers.map(({ app }, i): TriggerIntent => ({
    number: i + 1,
    app: { value: appNameOf(app.value), because: source(app.at, `AppTrigger ${i + 1}`) },
  }));
  const first = filters[0];
  if (first) {
    note('filters-both-families', first.because.at, 'The filters bind IPv4 and IPv6 alike.');
    note('filter-name-servers', first.because.at, 'The resolver may ask the name servers of the tunnel.');
    if (!filters.some(({ direction }) => direction === 'in'))
      note(
        'filters-inbound',
        first.because.at,
        'No filter is Inbound: nothing can be reached from the tunnel, answers excepted.',
      );
  }
  return { filters, triggers, problems: problems.list, notes };

  function resolveFilter(written: TrafficFilter, number: number): FilterIntent {
    let unusable: string | undefined;
    const fail = (why: string): void => {
      unusable ??= why;
    };
    const because = source(written.at, `TrafficFilter ${number}`);
    const access = resolveAccess(written.claims, number, fail);
    const app = written.app && { value: appNameOf(written.app.value), because: source(written.app.at, 'App') };
    if (app && written.app) {
      const { value } = app;
      if (value.kind === 'unusable') {
        problems.add('unusableApp', written.app.at, filterPath(number, 'App/Id'), `${quoted(value.written)}, ${value.why}`);
        fail(`App ${quoted(value.written)} cannot be matched`);
      } else if (value.kind === 'linux-path')
        note('app-linux-path', written.app.at, `${quoted(value.path)} is taken as a path of this machine.`);
      else if (value.kind === 'system')
        note('app-system', written.app.at, 'SYSTEM means the kernel and services that run as root.');
      if (value.kind === 'system' && written.claims) {
        problems.add('systemClaims', written.claims.at, filterPath(number, 'Claims'), 'the kernel is no user');
        fail('SYSTEM with Claims');
      }
    }
    const direction = written.direction?.value === 'Inbound' ? 'in' : 'out';
    if (written.claims && direction === 'in') {
      problems.add('inboundClaims', written.claims.at, filterPath(number, 'Claims'), 'the filter is Inbound');
      fail('Claims on an Inbound filter');
    }
    const protocol = written.protocol?.value;
    const ports = written.localPortRanges ?? written.remotePortRanges;
    if (ports && protocol !== 6 && protocol !== 17) {
      const what = protocol === undefined ? 'there is no Protocol' : `Protocol is ${protocol}`;
      problems.add('badRange', ports.at, filterPath(number), `ports are given, but ${what}`);
      fail('ports without TCP or UDP');
    }
    const local = resolveRanges(written.localAddressRanges, number, 'LocalAddressRanges', fail);
    const remote = resolveRanges(written.remoteAddressRanges, number, 'RemoteAddressRanges', fail);
    if (local && remote) {
      note('filter-local-and-remote', written.localAddressRanges!.at, 'Local and remote addresses are both conditions.');
      if (!unusable && !families(local).some((family) => families(remote).includes(family))) {
        const what = `local is IPv${families(local).join('')}, remote is IPv${families(remote).join('')}`;
        problems.add('familyMismatch', written.localAddressRanges!.at, filterPath(number), what);
        fail('addresses of different families');
      }
    }
    const routing = written.routingPolicyType;
    return {
      number,
      direction,
      because,
      ...(app ? { app } : {}),
      ...(access ? { access } : {}),
      ...(protocol === undefined ? {} : { protocol }),
      ...(written.localPortRanges ? { localPorts: written.localPortRanges.value } : {}),
      ...(written.remotePortRanges ? { remotePorts: written.remotePortRanges.value } : {}),
      ...(local ? { local } : {}),
      ...(remote ? { remote } : {}),
      ...(routing && (written.app || written.claims)
        ? { routing: { value: routing.value, because: source(routing.at, `RoutingPolicyType ${routing.value}`) } }
        : {}),
      ...(unusable === undefined ? {} : { unusable }),
    };
  }

  function resolveAccess(
    claims: Located<string> | undefined,
    number: number,
    fail: (why: string) => void,
  ): Sourced<readonly SecurityEntry[]> | undefined {
    if (!claims) return undefined;
    const read = parseSecurityDescriptor(claims.value);
    note('claims-as-users', claims.at, 'SIDs in Claims stand for users and groups of this machine.');
    if ('wrong' in read) {
      problems.add('badClaims', claims.at, filterPath(number, 'Claims'), `${read.wrong}, in ${quoted(claims.value)}`);
      fail('Claims cannot be understood');
      return { value: [], because: source(claims.at, 'Claims') };
    }
    return { value: read, because: source(claims.at, 'Claims') };
  }

  function resolveRanges(
    written: Located<readonly string[]> | undefined,
    number: number,
    element: string,
    fail: (why: string) => void,
  ): readonly IpRange[] | undefined {
    if (!written) return undefined;
    const ranges: IpRange[] = [];
    for (const text of written.value) {
      const range = parseAddressRange(text);
      if (range) ranges.push(range);
      else {
        problems.add('badRange', written.at, filterPath(number, element), quoted(text));
        fail(`${element} has ${quoted(text)}`);
      }
    }
    if (ranges.length === 0) fail(`${element} is empty`);
    return ranges;
  }
}

function families(ranges: readonly IpRange[]): readonly IpFamily[] {
  return ([4, 6] as const).filter((family) => ranges.some(({ from }) => from.family === family));
}
