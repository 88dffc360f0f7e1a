import { compareAddresses, formatAddress, rangeContains, type IpFamily } from '@aovpn/bytes';
import type { AppBook } from '../app/app-book.ts';
import type { LiveTunnel } from '../compile-plan.ts';
import type { FilterOwner, FilterPlan, FilterRule, UnusableFilter } from '../plan.ts';
import { checkOverlap } from './check-overlap.ts';
import { compileAccess } from './compile-access.ts';
import type { FilterIntent } from './filter-intent.ts';
import type { IdentityFacts } from './identity.ts';
import { filterPath, quoted, type FilterProblems } from './problem.ts';

/**
 * The filters of one tunnel; undefined when its profile has none. What cannot be used lets nothing through.
 * @param implied what follows from there being filters at all
 */
export function compileFilters(
  { intent, facts }: LiveTunnel,
  apps: AppBook,
  identities: IdentityFacts,
  implied: readonly FilterRule[],
  problems: FilterProblems,
): FilterPlan | undefined {
  const first = intent.filters[0];
  if (!first) return undefined;
  const rules: FilterRule[] = [];
  const unusable: UnusableFilter[] = [];
  for (const filter of intent.filters) {
    const compiled = compileFilter(filter, apps, identities, problems);
    if (typeof compiled === 'string')
      unusable.push({ number: filter.number, because: { ...filter.because, why: `${filter.because.why}: ${compiled}` } });
    else {
      rules.push(compiled);
      checkAgainstTunnel(
        filter,
        facts.addresses.map(({ address }) => address),
        problems,
      );
    }
  }
  checkOverlap(rules, problems);
  return {
    device: facts.device,
    profile: intent.name,
    rules: [...rules, ...implied],
    unusable,
    because: { ...first.because, why: 'the profile has traffic filters: what none of them allows is refused' },
  };
}

/** The rule, or why the filter can never fit. */
function compileFilter(
  filter: FilterIntent,
  apps: AppBook,
  identities: IdentityFacts,
  problems: FilterProblems,
): FilterRule | string {
  const owner = compileOwner(filter, apps, identities, problems);
  if (typeof owner === 'string') return owner;
  if (filter.unusable !== undefined) return filter.unusable;
  const { number, direction, protocol, localPorts, remotePorts, local, remote, because } = filter;
  return {
    number,
    direction,
    because,
    ...(owner ? { owner } : {}),
    ...(protocol === undefined ? {} : { protocol }),
    ...(localPorts ? { localPorts } : {}),
    ...(remotePorts ? { remotePorts } : {}),
    ...(local ? { local } : {}),
    ...(remote ? { remote } : {}),
  };
}

function compileOwner(
  { number, app, access }: FilterIntent,
  apps: AppBook,
  identities: IdentityFacts,
  problems: FilterProblems,
): FilterOwner | string | undefined {
  const owner: { apps?: readonly string[]; system?: true; access?: FilterOwner['access'] & {} } = {};
  let wrong: string | undefined;
  if (app?.value.kind === 'system') owner.system = true;
  else if (app && app.value.kind !== 'unusable') {
    const known = apps.find(app.value);
    if (known) owner.apps = apps.keysOf(known);
    else {
      problems.add('unknownApp', app.because.at!, filterPath(number, 'App/Id'), quoted(app.value.written));
      wrong = `nothing is known for ${quoted(app.value.written)}`;
    }
  }
  if (access && access.value.length > 0) {
    const { entries, unknown } = compileAccess(access.value, identities);
    for (const sid of unknown) problems.add('unknownSid', access.because.at!, filterPath(number, 'Claims'), sid);
    if (entries) owner.access = entries;
    else wrong ??= unknown.length > 0 ? `nobody is known for ${unknown.join(', ')}` : 'its Claims fit nobody';
  }
  if (wrong !== undefined) return wrong;
  return app || access ? owner : undefined;
}

function checkAgainstTunnel(
  filter: FilterIntent,
  addresses: readonly { family: IpFamily; bytes: Uint8Array }[],
  problems: FilterProblems,
): void {
  const { number, because, local, remote } = filter;
  const assigned = addresses.map((address) => address.family);
  const side = remote ?? local;
  if (!side || addresses.length === 0) return;
  const missing = ([4, 6] as const).find(
    (family) => side.every(({ from }) => from.family === family) && !assigned.includes(family),
  );
  if (missing !== undefined) {
    problems.add('familyWithoutAddress', because.at, filterPath(number), `the tunnel has no IPv${missing} address`);
    return;
  }
  if (local && !addresses.some((address) => local.some((range) => rangeContains(range, address)))) {
    const own = addresses.toSorted(compareAddresses).map(formatAddress).join(', ');
    problems.add('localNotAssigned', because.at, filterPath(number, 'LocalAddressRanges'), `the tunnel has ${own}`);
  }
}
