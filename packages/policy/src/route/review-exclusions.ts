import { compareAddresses, formatPrefix, rangeFromPrefix, type IpAddress, type IpFamily } from '@aovpn/bytes';
import { FilterProblems, type FilterProblem } from '../filter/problem.ts';
import type { IntentRoute } from '../intent.ts';

/**
 * Exclusions of a force tunnel that together are a whole family would leave it without work and everything in the clear, in contradiction to
 * RoutingPolicyType: they do not count. An error in a list of exclusions must not open what was meant to be closed.
 */
export function reviewExclusions(
  profile: string,
  written: readonly IntentRoute[],
): { readonly exclusions: readonly IntentRoute[]; readonly problems: readonly FilterProblem[] } {
  const problems = new FilterProblems(profile);
  let exclusions = written;
  for (const family of [4, 6] as const) {
    const own = written.filter(({ prefix }) => prefix.address.family === family);
    if (own.length === 0 || !coversFamily(own, family)) continue;
    exclusions = exclusions.filter(({ prefix }) => prefix.address.family !== family);
    const widest = own.reduce((a, b) => (b.prefix.length < a.prefix.length ? b : a));
    problems.add(
      'everythingExcluded',
      widest.because.at ?? { line: 1, column: 1 },
      'VPNProfile/Route',
      own.length === 1
        ? `${formatPrefix(widest.prefix)} is all of IPv${family}`
        : `${own.length} exclusions together are all of IPv${family}`,
    );
  }
  return { exclusions, problems: problems.list };
}

function coversFamily(routes: readonly IntentRoute[], family: IpFamily): boolean {
  const ranges = routes.map(({ prefix }) => rangeFromPrefix(prefix)).sort((a, b) => compareAddresses(a.from, b.from));
  const octets = family === 4 ? 4 : 16;
  let next: IpAddress | undefined = { family, bytes: new Uint8Array(octets) };
  for (const { from, to } of ranges) {
    if (!next) return true;
    if (compareAddresses(from, next) > 0) return false;
    if (compareAddresses(to, next) >= 0) next = after(to);
  }
  return next === undefined;
}

/** The next address; undefined behind the last one. */
function after(address: IpAddress): IpAddress | undefined {
  const bytes = address.bytes.slice();
  for (let i = bytes.length - 1; i >= 0; i--) {
    bytes[i] = (bytes[i]! + 1) & 0xff;
    if (bytes[i] !== 0) return { family: address.family, bytes };
  }
  return undefined;
}
