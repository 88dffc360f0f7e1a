import { compareAddresses, type IpRange } from '@aovpn/bytes';
import type { NumberRange } from '@aovpn/profile';
import type { FilterRule } from '../plan.ts';
import { meaningOfRule } from './diff-filters.ts';
import { filterPath, type FilterProblems } from './problem.ts';

/** How many of the widest filters every other one is compared with: work stays linear in the number of filters. */
const widest = 24;

/** Filters that add nothing: written twice, or lying wholly in a wider one. */
export function checkOverlap(rules: readonly FilterRule[], problems: FilterProblems): void {
  const first = new Map<string, FilterRule>();
  const distinct: FilterRule[] = [];
  for (const rule of rules) {
    const text = meaningOfRule(rule);
    const other = first.get(text);
    if (!other) {
      first.set(text, rule);
      distinct.push(rule);
    } else
      problems.add(
        'filterTwice',
        rule.because.at!,
        filterPath(rule.number),
        `it equals filter ${other.number} in line ${other.because.at!.line}`,
      );
  }
  // The fewest conditions cover the most.
  const wide = distinct
    .map((rule) => ({ rule, conditions: conditionsOf(rule) }))
    .sort((a, b) => a.conditions - b.conditions || a.rule.number - b.rule.number)
    .slice(0, widest)
    .map(({ rule }) => ({ rule, owner: ownerText(rule) }));
  for (const rule of distinct) {
    const owner = ownerText(rule);
    const wider = wide.find(
      (candidate) =>
        candidate.rule !== rule && (candidate.owner === '' || candidate.owner === owner) && covers(candidate.rule, rule),
    )?.rule;
    if (!wider) continue;
    const where = `filter ${wider.number} in line ${wider.because.at!.line}`;
    problems.add('filterCovered', rule.because.at!, filterPath(rule.number), `${where} has all of it`);
  }
}

function conditionsOf({ owner, protocol, localPorts, remotePorts, local, remote }: FilterRule): number {
  return [owner, protocol, localPorts, remotePorts, local, remote].filter((condition) => condition !== undefined).length;
}

/** Empty: everybody. */
function ownerText({ owner }: FilterRule): string {
  return owner ? JSON.stringify(owner) : '';
}

/** Whether every packet of `inner` is one of `outer`, owners aside; false also where it is not worth finding out. */
function covers(outer: FilterRule, inner: FilterRule): boolean {
  return (
    outer.direction === inner.direction &&
    (outer.protocol === undefined || outer.protocol === inner.protocol) &&
    coversNumbers(outer.localPorts, inner.localPorts) &&
    coversNumbers(outer.remotePorts, inner.remotePorts) &&
    coversAddresses(outer.local, inner.local) &&
    coversAddresses(outer.remote, inner.remote)
  );
}

function coversNumbers(outer: readonly NumberRange[] | undefined, inner: readonly NumberRange[] | undefined): boolean {
  if (!outer) return true;
  return inner !== undefined && inner.every((one) => outer.some(({ from, to }) => from <= one.from && one.to <= to));
}

function coversAddresses(outer: readonly IpRange[] | undefined, inner: readonly IpRange[] | undefined): boolean {
  if (!outer) return true;
  return (
    inner !== undefined &&
    inner.every((one) =>
      outer.some(
        ({ from, to }) =>
          from.family === one.from.family && compareAddresses(from, one.from) <= 0 && compareAddresses(one.to, to) <= 0,
      ),
    )
  );
}
