import { existsSync, statSync, watch as watchDirectory, type FSWatcher } from 'node:fs';
import { dirname, join } from 'node:path';
import { emptyPlan, type AppKey, type CgroupName } from '@aovpn/policy';
import { openExecWatch, type ExecWatch, type ExecWatchEvent } from '../apps/exec-watch.ts';
import { openSocketMarks } from '../bpf/socket-mark.ts';
import { openAppCgroups, type AppCgroups } from '../cgroup/app-cgroups.ts';
import { findCgroupRoot, nftCgroupName, type CgroupRoot } from '../cgroup/cgroup-root.ts';
import { HostError } from '../host-error.ts';
import {
  applyFilters,
  cleanUpParts,
  findDrift,
  type FilteredPlan,
  type FilterParts,
  type FilterReport,
  type RoutesStep,
  type StandingCgroups,
} from './apply-filters.ts';
import { messageOf } from './filter-error.ts';
import { openRuleset } from './ruleset.ts';
import { openSysctls } from './sysctl.ts';

export type FilterEvent =
  /** Somebody else changed what is ours; it is put back, unless `failure` says why not. */
  | { readonly kind: 'repaired'; readonly what: readonly string[]; readonly failure?: string }
  /** The kernel cannot tell of starts; apps are refused on tunnels with filters. */
  | { readonly kind: 'no-exec-watch'; readonly error: HostError }
  | { readonly kind: 'exec'; readonly event: ExecWatchEvent };

export interface FiltersOptions {
  readonly onEvent: (event: FilterEvent) => void;
  /** Found by itself unless given. */
  readonly cgroupRoot?: CgroupRoot;
  /** `aovpn` unless told otherwise. */
  readonly cgroupName?: string;
  /** Directory in a bpf file system, or false for none; found by itself unless given. */
  readonly pins?: string | false;
  /** `/run/aovpn` unless told otherwise. */
  readonly runDirectory?: string;
  /** How long a start may be held. */
  readonly maxHoldMs?: number;
  /** How long the exec watch may take for one start, milliseconds; its own measure unless given. */
  readonly stallMs?: number;
}

/** Traffic filters, apps and their ways, as the daemon uses them. */
export interface Filters {
  /**
   * Idempotent. Calls follow each other; a failed one leaves what was there before, or blocks (AOV-HOST-609). Watches over it from then on.
   * @param routes routes and rules of the same plan, put in force in between
   */
  apply(plan: FilteredPlan, routes?: RoutesStep): Promise<FilterReport>;
  /** Which app a process is. */
  appOf(pid: number): AppKey | undefined;
  /** Starts of the app wait until it is let go. */
  hold(app: AppKey, on: boolean): void;
  /** Whether starts are seen now. */
  readonly watching: boolean;
  /** Where the cgroups of the apps are. */
  readonly cgroups: AppCgroups;
  /** Removes everything of ours, whoever made it; what could not be, with the reason. */
  cleanUp(): Promise<readonly string[]>;
  /** Stops watching. What was applied stays, but who is started from now on is no app: refused where apps count. */
  close(): Promise<void>;
}

/** Nobody tells when a program is detached from a cgroup or a setting is changed: they are looked at so often while a plan needs them. */
const lookMs = 500;
/** After a repair the next one waits so long: a quarrel with another program must not use up the machine. */
const restMs = 200;

/** @throws {HostError} AOV-HOST-600 */
export async function openFilters(options: FiltersOptions): Promise<Filters> {
  const root = options.cgroupRoot ?? findCgroupRoot();
  const cgroups = openCgroups(options, root);
  let watch: ExecWatch | undefined;
  try {
    watch = await openExecWatch({
      cgroups,
      onEvent: (event) => options.onEvent({ kind: 'exec', event }),
      ...(options.maxHoldMs === undefined ? {} : { maxHoldMs: options.maxHoldMs }),
      ...(options.stallMs === undefined ? {} : { stallMs: options.stallMs }),
    });
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
    options.onEvent({ kind: 'no-exec-watch', error });
  }
  let inForce: FilteredPlan = emptyPlan;
  const parts: FilterParts = {
    cgroups,
    ruleset: openRuleset(),
    marks: openSocketMarks(cgroups, options.pins),
    sysctls: openSysctls(options.runDirectory),
    standing: () => findStanding(root, wanted),
    ...(watch ? { watch } : {}),
  };
  /** The plan that is being applied: its units are looked for. */
  let wanted: FilteredPlan = inForce;
  let known = new Map<AppKey, bigint>();
  let turn: Promise<unknown> = Promise.resolve();
  let open = true;
  let watches: { close(): void }[] = [];
  let rulesetWatch: { close(): void } | undefined;
  let timer: NodeJS.Timeout | undefined;
  let rest: NodeJS.Timeout | undefined;
  let amiss: string[] = [];

  const inTurn = <T>(act: () => Promise<T>): Promise<T> => {
    const mine = turn.then(act, act);
    turn = mine.catch(() => undefined);
    return mine;
  };
  const stopWatching = (): void => {
    for (const one of watches) one.close();
    watches = [];
    clearInterval(timer);
    timer = undefined;
  };
  const watchRuleset = (on: boolean): void => {
    if (on) rulesetWatch ??= parts.ruleset.watch(({ what, by }) => repair(`ruleset: ${what}${by === '' ? '' : ` by ${by}`}`));
    else {
      rulesetWatch?.close();
      rulesetWatch = undefined;
    }
  };
  const apply = async (plan: FilteredPlan, routes?: RoutesStep): Promise<FilterReport> => {
    const before = inForce;
    wanted = plan;
    try {
      // Before there is anything to be changed, and through all repairs: no change goes unseen.
      watchRuleset(true);
      const report = await applyFilters(parts, before, plan, routes);
      inForce = plan;
      return report;
    } catch (error) {
      wanted = before;
      throw error;
    } finally {
      known = new Map(cgroups.list().map(({ key, id }) => [key, id]));
      watchOver();
    }
  };
  const repair = (what: string): void => {
    if (!open) return;
    if (!amiss.includes(what)) amiss.push(what);
    if (rest) return;
    rest = setTimeout(() => {
      rest = undefined;
      if (amiss.length > 0) void mend();
    }, restMs);
    rest.unref();
    void mend();
  };
  const mend = (): Promise<void> =>
    inTurn(async () => {
      const told = amiss;
      amiss = [];
      if (!open || told.length === 0) return;
      try {
        await apply(inForce);
        options.onEvent({ kind: 'repaired', what: told });
      } catch (error) {
        options.onEvent({ kind: 'repaired', what: told, failure: messageOf(error) });
        for (const what of told) repair(what);
      }
    });
  const look = (): void => {
    for (const what of findDrift(parts, inForce, known)) repair(what);
  };
  const watchOver = (): void => {
    stopWatching();
    if (!open || (inForce.filters.length === 0 && inForce.apps.length === 0)) {
      watchRuleset(false);
      return;
    }
    if (inForce.apps.length > 0) watches.push(cgroups.watch(look));
    const units = standingKey(findStanding(root, inForce));
    watches.push(
      ...watchStanding(root, inForce, () => {
        if (standingKey(findStanding(root, inForce)) !== units) repair('units were started or stopped');
      }),
    );
    if (inForce.apps.some(({ force }) => force)) {
      timer = setInterval(look, lookMs);
      timer.unref();
    }
  };

  return {
    apply: (plan, routes) => inTurn(() => apply(plan, routes)),
    appOf: (pid) => cgroups.appOf(pid),
    hold: (app, on) => watch?.hold(app, on),
    get watching() {
      return watch?.watching ?? false;
    },
    cgroups,
    cleanUp: () =>
      inTurn(async () => {
        stopWatching();
        watchRuleset(false);
        watch?.setApps([]);
        inForce = emptyPlan;
        wanted = emptyPlan;
        return cleanUpParts(parts);
      }),
    close: () =>
      inTurn(async () => {
        open = false;
        clearTimeout(rest);
        stopWatching();
        watchRuleset(false);
        await watch?.close();
      }),
  };
}

/**
 * Removes everything of ours with no memory of what ran before; what could not be removed, with the reason. Not to be called while another
 * daemon of ours runs.
 */
export async function cleanUpFilters(
  options: Omit<FiltersOptions, 'onEvent' | 'maxHoldMs' | 'stallMs'> = {},
): Promise<readonly string[]> {
  const ruleset = openRuleset();
  const sysctls = openSysctls(options.runDirectory);
  try {
    const cgroups = openCgroups(options, options.cgroupRoot ?? findCgroupRoot());
    return await cleanUpParts({ cgroups, ruleset, sysctls, marks: openSocketMarks(cgroups, options.pins) });
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
    // Without cgroups there are no apps, and only the rest to be removed.
    const gone = await ruleset.remove().then(
      () => [],
      (second: unknown) => [messageOf(second)],
    );
    return [...gone, ...sysctls.restore()];
  }
}

function openCgroups({ cgroupName }: Pick<FiltersOptions, 'cgroupName'>, root: CgroupRoot): AppCgroups {
  return openAppCgroups({ root, ...(cgroupName === undefined ? {} : { name: cgroupName }) });
}

/** systemd's slice of system services, and the cgroups of units that are apps. */
function findStanding(root: CgroupRoot, { apps }: FilteredPlan): StandingCgroups {
  const nameOf = (path: string): CgroupName | undefined => {
    const name = nftCgroupName(path);
    const level = root.depth + path.slice(root.path.length).split('/').filter(Boolean).length;
    return name !== undefined && existsSync(path) ? { path: name, level } : undefined;
  };
  const found = new Map<AppKey, readonly CgroupName[]>();
  for (const { key, units } of apps) {
    const names = units.filter((unit) => unitForm.test(unit)).flatMap((unit) => nameOf(unitPath(root, unit)) ?? []);
    if (names.length > 0) found.set(key, names);
  }
  const system = nameOf(join(root.path, systemSlice));
  return { apps: found, system: system ? [system] : [] };
}

const systemSlice = 'system.slice';
/** systemd.unit(5); nothing that leads elsewhere. */
const unitForm = /^[A-Za-z0-9:_\\@-][A-Za-z0-9:_\\@.-]*\.service$/;

/** Instances of a template lie in a slice of the template's own. */
function unitPath(root: CgroupRoot, unit: string): string {
  const template = /^([^@]+)@/.exec(unit)?.[1];
  const slice = template === undefined ? [] : [`system-${template.replaceAll('-', '\\x2d')}.slice`];
  return join(root.path, systemSlice, ...slice, unit);
}

/** Differs when a unit was started or stopped in between: its cgroup is another one then, under the same name. */
function standingKey({ apps, system }: StandingCgroups): string {
  const cgroups = [...system, ...[...apps.values()].flat()];
  const idOf = (path: string): bigint | undefined =>
    statSync(join('/sys/fs/cgroup', path), { bigint: true, throwIfNoEntry: false })?.ino;
  return cgroups.map(({ path }) => `${path} ${idOf(path)}`).join('\n');
}

function watchStanding(root: CgroupRoot, { apps }: FilteredPlan, onChange: () => void): { close(): void }[] {
  const directories = new Set(apps.flatMap(({ units }) => units.map((unit) => dirname(unitPath(root, unit)))));
  return [...directories].flatMap((directory): FSWatcher[] => {
    try {
      const watcher = watchDirectory(directory, { persistent: false }, onChange);
      watcher.on('error', () => watcher.close());
      return [watcher];
    } catch {
      return [];
    }
  });
}
