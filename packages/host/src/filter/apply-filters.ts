import { printRuleset, type AppKey, type AppPlan, type CgroupName, type Plan, type RulesetFacts } from '@aovpn/policy';
import { pathsOfApp } from '../apps/app-path.ts';
import type { ExecWatch, WatchedApp, WatchReport } from '../apps/exec-watch.ts';
import type { SocketMarks } from '../bpf/socket-mark.ts';
import type { AppCgroup, AppCgroups } from '../cgroup/app-cgroups.ts';
import { printBlockRuleset } from './block-ruleset.ts';
import { filterError, messageOf } from './filter-error.ts';
import type { Ruleset } from './ruleset.ts';
import type { Sysctls } from './sysctl.ts';

/** The part of a plan that is put in force here. */
export type FilteredPlan = Pick<Plan, 'filters' | 'apps' | 'routes' | 'rules'>;

/** What acts; each a part that can be replaced by one that fails. */
export interface FilterParts {
  readonly cgroups: AppCgroups;
  readonly ruleset: Ruleset;
  readonly marks: SocketMarks;
  readonly sysctls: Sysctls;
  /** Absent where the kernel does not tell of starts: apps are then nobody, and refused. */
  readonly watch?: ExecWatch;
  /** Cgroups that are apps or services by themselves, such as systemd's units. */
  readonly standing: () => StandingCgroups;
}

export interface StandingCgroups {
  readonly apps: ReadonlyMap<AppKey, readonly CgroupName[]>;
  readonly system: readonly CgroupName[];
}

/** Routes and rules of the same plan, which go in between. */
export interface RoutesStep {
  apply(): Promise<void>;
  /** Back to the plan before. */
  undo(): Promise<void>;
}

export interface FilterReport {
  /** What the exec watch found; absent without one. */
  readonly watch?: WatchReport;
  /** The ruleset that is in force. */
  readonly ruleset: string;
}

/** Reverse path checks must see the mark with which the answer to a packet is expected: it is restored from the connection. */
const sourceMark = 'net.ipv4.conf.all.src_valid_mark';

const noRoutes: RoutesStep = { apply: () => Promise.resolve(), undo: () => Promise.resolve() };

/**
 * From one plan to the next. The order is such that no moment lets through what neither plan does:
 * cgroups, as the ruleset names them; the ruleset, which refuses apps that are not yet in their cgroup and forced apps that are not yet
 * on their way; routes and rules; marks, whose rules exist by now; the exec watch; and only then what is no longer needed goes.
 * When a step fails everything goes back the way it came. When even that fails, the tunnels are blocked.
 * @param previous what is in force; the same as `next` for a repair
 * @throws {HostError} what the step said; AOV-HOST-609, AOV-HOST-610
 */
export async function applyFilters(
  parts: FilterParts,
  previous: FilteredPlan,
  next: FilteredPlan,
  routes: RoutesStep = noRoutes,
): Promise<FilterReport> {
  let cgroups: Map<AppKey, AppCgroup>;
  let ruleset: string;
  try {
    for (const name of settingsFor(next)) parts.sysctls.set(name, '1');
    cgroups = ensureCgroups(parts, next.apps);
    ruleset = printRuleset(asPlan(next), rulesetFacts(parts, next.apps));
    await parts.ruleset.apply(ruleset);
  } catch (error) {
    // A repair does not know what is in force; otherwise nothing that lets through or refuses has changed.
    if (previous === next) throw await goBack(parts, previous, next, noRoutes, error);
    tidy(parts, previous.apps);
    throw error;
  }
  let routed = false;
  try {
    await routes.apply();
    routed = true;
    const watch = classify(parts, next.apps, cgroups);
    removeRest(parts, next.apps);
    return { ruleset, ...(watch ? { watch } : {}) };
  } catch (error) {
    throw await goBack(parts, previous, next, routed ? routes : noRoutes, error);
  }
}

/** Everything of ours, with no memory of what ran before; what could not be removed, with the reason. */
export async function cleanUpParts(parts: Omit<FilterParts, 'watch' | 'standing'>): Promise<readonly string[]> {
  const problems: string[] = [];
  const attempt = async (what: string, act: () => unknown): Promise<void> => {
    try {
      await act();
    } catch (error) {
      problems.push(`${what}: ${messageOf(error)}`);
    }
  };
  await attempt('marks', () => parts.marks.removeAll());
  await attempt('ruleset', () => parts.ruleset.remove());
  await attempt('cgroups', () => parts.cgroups.removeAll());
  problems.push(...parts.sysctls.restore());
  return problems;
}

/** Whether what was applied is still there, as far as nobody tells when it goes. What is amiss, in words. */
export function findDrift(
  { cgroups, marks, sysctls }: FilterParts,
  plan: FilteredPlan,
  known: ReadonlyMap<AppKey, bigint>,
): readonly string[] {
  const drift: string[] = [];
  for (const { key, force } of plan.apps) {
    const cgroup = cgroups.find(key);
    if (!cgroup) drift.push(`the cgroup of ${key} is gone`);
    else if (known.has(key) && known.get(key) !== cgroup.id) drift.push(`the cgroup of ${key} is another one`);
    else if (force && !marks.isSet(cgroup, force)) drift.push(`the sockets of ${key} are no longer marked`);
  }
  for (const name of settingsFor(plan)) if (!sysctls.isSet(name, '1')) drift.push(`${name} is no longer 1`);
  return drift;
}

/** Kernel settings that must be 1. */
function settingsFor({ apps }: FilteredPlan): readonly string[] {
  const local = localNameDevices(apps).map((device) => `net.ipv4.conf.${device}.route_localnet`);
  return [...(apps.some(({ force }) => force) ? [sourceMark] : []), ...local];
}

/** Tunnels to whose name servers queries are led that a program sends to a resolver on this machine (127.0.0.0/8). */
function localNameDevices(apps: readonly AppPlan[]): readonly string[] {
  const devices = apps.flatMap(({ force }) =>
    force?.device !== undefined && force.dns?.some(({ family }) => family === 4) ? [force.device] : [],
  );
  return [...new Set(devices)];
}

function ensureCgroups({ cgroups }: FilterParts, apps: readonly AppPlan[]): Map<AppKey, AppCgroup> {
  return new Map(apps.map(({ key }) => [key, cgroups.ensure(key)]));
}

/** Marks before the watch: who enters a cgroup finds its mark there. */
function classify(
  { marks, watch }: FilterParts,
  apps: readonly AppPlan[],
  cgroups: ReadonlyMap<AppKey, AppCgroup>,
): WatchReport | undefined {
  for (const { key, force } of apps) if (force) marks.set(cgroups.get(key)!, force);
  return watch?.setApps(apps.map(watchedApp));
}

function watchedApp(app: AppPlan): WatchedApp {
  return { key: app.key, executables: pathsOfApp(app), tell: app.triggers.length > 0 };
}

function removeRest({ cgroups, marks }: FilterParts, apps: readonly AppPlan[]): void {
  const wanted = new Map(apps.map((app) => [app.key, app]));
  const there = cgroups.list().map(({ key }) => key);
  for (const key of new Set([...marks.pinned(), ...there])) if (!wanted.get(key)?.force) marks.remove(key);
  for (const key of there) if (!wanted.has(key)) cgroups.remove(key);
}

/** Empty cgroups of a plan that did not come harm nobody: what fails here is tried again with the next plan. */
function tidy(parts: FilterParts, apps: readonly AppPlan[]): void {
  try {
    removeRest(parts, apps);
  } catch {
    // The failure that is told is the first one.
  }
}

function rulesetFacts({ cgroups, standing }: FilterParts, apps: readonly AppPlan[]): RulesetFacts {
  const { apps: other, system } = standing();
  const { nftName, level } = cgroups;
  return {
    appCgroups: new Map(apps.map(({ key }) => [key, [{ path: `${nftName}/${key}`, level }, ...(other.get(key) ?? [])]])),
    systemCgroups: system,
    routeLocalnet: localNameDevices(apps).length > 0,
  };
}

async function goBack(
  parts: FilterParts,
  previous: FilteredPlan,
  next: FilteredPlan,
  routes: RoutesStep,
  error: unknown,
): Promise<unknown> {
  try {
    // The same order as forwards: nothing of the plan before may be missing when what lets it through comes back.
    const cgroups = ensureCgroups(parts, previous.apps);
    await parts.ruleset.apply(printRuleset(asPlan(previous), rulesetFacts(parts, previous.apps)));
    await routes.undo();
    classify(parts, previous.apps, cgroups);
    removeRest(parts, previous.apps);
    return error;
  } catch (second) {
    const what = `${messageOf(error)}; and putting back what was before: ${messageOf(second)}`;
    try {
      await block(parts, [...previous.apps, ...next.apps]);
      return filterError('blocked', what, error);
    } catch (third) {
      return filterError('notBlocked', `${what}; and blocking: ${messageOf(third)}`, error);
    }
  }
}

async function block({ cgroups, ruleset }: FilterParts, apps: readonly AppPlan[]): Promise<void> {
  const forced = new Set(apps.filter(({ force }) => force).map(({ key }) => key));
  const confined = [...forced]
    .filter((key) => cgroups.find(key))
    .map((key) => ({ path: `${cgroups.nftName}/${key}`, level: cgroups.level }));
  try {
    await ruleset.apply(printBlockRuleset(confined));
  } catch (error) {
    if (confined.length === 0) throw error;
    await ruleset.apply(printBlockRuleset([]));
  }
}

/** Only these parts are looked at by the printer. */
function asPlan(plan: FilteredPlan): Plan {
  return plan as Plan;
}
