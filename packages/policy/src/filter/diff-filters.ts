import { formatRange, type IpRange } from '@aovpn/bytes';
import type { AppPlan, FilterRule, Plan } from '../plan.ts';
import { describeRule } from './describe-rule.ts';

/** One difference in filters and apps; both are applied as a whole, so that there is no order to keep. */
export type FilterChange =
  | { readonly op: 'add' | 'remove'; readonly kind: 'deny'; readonly device: string }
  | { readonly op: 'add' | 'remove'; readonly kind: 'filter'; readonly device: string; readonly rule: FilterRule }
  | { readonly op: 'add' | 'replace' | 'remove'; readonly kind: 'app'; readonly app: AppPlan };

/** Differences of what passes; numbers and reasons of filters do not count. */
export function diffFilters(from: Plan, to: Plan): readonly FilterChange[] {
  const changes: FilterChange[] = [];
  const devices = new Set([...to.filters, ...from.filters].map(({ device }) => device));
  for (const device of devices) {
    const before = from.filters.find((filter) => filter.device === device);
    const after = to.filters.find((filter) => filter.device === device);
    if (!before) changes.push({ op: 'add', kind: 'deny', device });
    if (!after) changes.push({ op: 'remove', kind: 'deny', device });
    const old = byMeaning(before?.rules ?? []);
    const now = byMeaning(after?.rules ?? []);
    for (const [key, rule] of now) if (!old.has(key)) changes.push({ op: 'add', kind: 'filter', device, rule });
    for (const [key, rule] of old) if (!now.has(key)) changes.push({ op: 'remove', kind: 'filter', device, rule });
  }
  const old = new Map(from.apps.map((app) => [app.key, app]));
  const now = new Set(to.apps.map(({ key }) => key));
  for (const app of to.apps) {
    const before = old.get(app.key);
    if (!before) changes.push({ op: 'add', kind: 'app', app });
    else if (meaningOfApp(before) !== meaningOfApp(app)) changes.push({ op: 'replace', kind: 'app', app });
  }
  for (const app of from.apps) if (!now.has(app.key)) changes.push({ op: 'remove', kind: 'app', app });
  return changes;
}

export function describeFilterChange(change: FilterChange): string {
  switch (change.kind) {
    case 'deny':
      return `filter ${change.device} refuses what no filter allows`;
    case 'filter':
      return `filter ${change.device} allow ${describeRule(change.rule)}`;
    case 'app':
      return describeApp(change.app);
  }
}

/** An app as one line: `app firefox force aov0 mark 0x8000000/0xf000000 table 7304 is /usr/lib/firefox/firefox`. */
export function describeApp({ key, force, perAppVpn, executables, units, flatpak, snap }: AppPlan): string {
  const hex = (value: number): string => `0x${value.toString(16)}`;
  const way = force ? ` force ${force.device ?? 'nowhere'} mark ${hex(force.mark)}/${hex(force.mask)} table ${force.table}` : '';
  const what = [
    ...executables,
    ...units.map((unit) => `unit ${unit}`),
    ...flatpak.map((id) => `flatpak ${id}`),
    ...snap.map((name) => `snap ${name}`),
  ];
  return `app ${key}${perAppVpn ? ' per-app-vpn' : ''}${way} is ${what.join(', ')}`;
}

function byMeaning(rules: readonly FilterRule[]): ReadonlyMap<string, FilterRule> {
  return new Map(rules.map((rule) => [meaningOfRule(rule), rule]));
}

/** Equal for rules that let the same through by the same conditions. */
export function meaningOfRule({ direction, owner, protocol, localPorts, remotePorts, local, remote }: FilterRule): string {
  const addresses = (ranges: readonly IpRange[] | undefined): string[] | undefined => ranges?.map(formatRange);
  return JSON.stringify([direction, owner, protocol, localPorts, remotePorts, addresses(local), addresses(remote)]);
}

function meaningOfApp({ key, tunnels, force, perAppVpn, triggers, executables, units, desktop, flatpak, snap }: AppPlan): string {
  return JSON.stringify([key, tunnels, force, perAppVpn, triggers, executables, units, desktop, flatpak, snap]);
}
