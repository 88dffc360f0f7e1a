import { readFileSync, readlinkSync } from 'node:fs';
import type {
  AppsReport,
  AppStatus,
  AppWhich,
  DiagnosticLine,
  FiltersStatus,
  PlanText,
  ProfileStatus,
  TrafficStatus,
} from '@aovpn/api';
import { describeRule, formatBecause, listPlan, matchesExecutable, printPlan, type Plan, type ProgramFacts } from '@aovpn/policy';
import type { AppStore } from './app-store.ts';
import type { TrafficControl } from './traffic-control.ts';

const shownRules = 50;
const shownPids = 200;

/** Filters and apps as people see them. */
export function trafficStatus(plan: Plan, traffic: TrafficControl): TrafficStatus | undefined {
  const { state, problem, execWatch, lastRepair } = traffic.state;
  if (state === 'off' && plan.apps.length === 0) return undefined;
  return {
    state,
    ...(problem && { problem: { code: problem.code, message: problem.what, cure: problem.cure } }),
    execWatch,
    apps: plan.apps.map((app) => appStatus(app, traffic)),
    ...(lastRepair && { lastRepair }),
  };
}

function appStatus(app: Plan['apps'][number], traffic: TrafficControl): AppStatus {
  const { key, title, executables, units, desktop, flatpak, snap, tunnels, routing, force, perAppVpn, triggers, because } = app;
  const { watch } = traffic.state;
  const pids = traffic.processes(key);
  const own = <T extends { readonly app: string }>(list: readonly T[] = []): readonly T[] =>
    list.filter((one) => one.app === key);
  return {
    key,
    title,
    executables,
    units,
    desktop,
    flatpak,
    snap,
    tunnels,
    routing,
    ...(force?.device !== undefined && { device: force.device }),
    perAppVpn,
    triggers,
    pids: pids.slice(0, shownPids),
    late: own(watch?.late)
      .map(({ pid }) => pid)
      .filter((pid) => pids.includes(pid)),
    files: own(watch?.files).map(({ path }) => path),
    refused: own(watch?.refused).map(({ path, why }) => ({ path, why })),
    because: formatBecause(because),
  };
}

/** What a connection lets through; undefined without filters in force. */
export function filtersStatus(plan: Plan, name: string): FiltersStatus | undefined {
  const filter = plan.filters.find(({ profile }) => profile === name);
  if (!filter) return undefined;
  // Those for name servers come by themselves, and are no news.
  const own = filter.rules.filter(({ number }) => number > 0);
  const rules = own.slice(0, shownRules).map((rule) => ({ text: describeRule(rule), because: formatBecause(rule.because) }));
  return { rules, count: own.length, unusable: filter.unusable.length };
}

/** The keys of the apps that a profile names. */
export function appsOf(plan: Plan, name: string, device: string | undefined): readonly string[] {
  return plan.apps
    .filter(
      ({ because, triggers, tunnels }) =>
        because.profile === name || triggers.includes(name) || (device !== undefined && tunnels.includes(device)),
    )
    .map(({ key }) => key);
}

/** A profile together with what only the facts of this machine show to be wrong with it. */
export function withPlanProblems(profile: ProfileStatus, { problems }: Plan): ProfileStatus {
  const own = problems.filter((one) => one.profile === profile.name);
  if (own.length === 0) return profile;
  const lines = own.map(({ code, severity, at, path, message, cure }): DiagnosticLine => ({
    code,
    severity: severity === 'error' ? 'warning' : severity,
    line: at.line,
    column: at.column,
    path,
    message,
    ...(severity === 'error' && path.includes('/TrafficFilter') && { here: 'This filter lets nothing through.' }),
    cure,
  }));
  return { ...profile, diagnostics: [...profile.diagnostics, ...lines] };
}

export function planText(plan: Plan): PlanText {
  const items = listPlan(plan).map(({ section, text, because }) => ({
    section,
    text,
    ...(because && {
      ...(because.profile !== '' && { profile: because.profile }),
      ...(because.at && { line: because.at.line }),
      why: because.why,
    }),
  }));
  return { text: printPlan(plan), items };
}

export async function appsReport(plan: Plan, traffic: TrafficControl, store: AppStore): Promise<AppsReport> {
  await store.load();
  return {
    traffic: trafficStatus(plan, traffic) ?? { state: 'off', execWatch: { state: 'off' }, apps: [] },
    known: store.catalogue.apps.map(({ key, title, windows, packages, executables, source }) => ({
      key,
      title,
      names: [...windows, ...packages],
      executables,
      source,
    })),
    faults: store.faults,
  };
}

/** Which app a process is; undefined when there is no such process. */
export function whichApp(pid: number, plan: Plan, traffic: TrafficControl): AppWhich | undefined {
  const facts = programOf(pid, traffic);
  if (!facts) return undefined;
  const { exe, app } = facts;
  const cgroup = cgroupOf(pid);
  const named =
    exe === undefined
      ? undefined
      : plan.apps.find(({ executables }) => executables.some((pattern) => matchesExecutable(pattern, exe)));
  const steps: AppWhich['steps'][number][] = [];
  if (exe !== undefined) steps.push({ text: `its program is ${exe}` });
  if (cgroup !== undefined) steps.push({ text: `it is in cgroup ${cgroup}` });
  if (app !== undefined) {
    const because = plan.apps.find(({ key }) => key === app)?.because;
    const line = because?.at && { line: because.at.line };
    steps.push({ text: `that is the cgroup of ${app}`, ...(because && { profile: because.profile, ...line }) });
    if (named && named.key !== app) steps.push({ text: `its program is one of ${named.key}, but whoever started it is ${app}` });
    if (!named) steps.push({ text: 'a program of the app started it, or it was one before' });
  } else if (named) {
    steps.push({ text: `its program is one of ${named.key}, but it was started before that was watched for: start it again` });
  } else steps.push({ text: 'no profile in force names its program: it is no app' });
  return {
    pid,
    ...(exe !== undefined && { exe }),
    ...(cgroup !== undefined && { cgroup }),
    ...(app !== undefined && { app }),
    ...(named && { wouldBe: named.key }),
    steps,
  };
}

/** What the kernel says of a process; undefined when there is none. */
export function programOf(pid: number, traffic: TrafficControl): ProgramFacts | undefined {
  let status: string;
  try {
    status = readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch {
    return undefined;
  }
  // proc_pid_status(5): real, effective, saved and file system id; the last owns the sockets that it makes.
  const id = (field: string): number => Number(new RegExp(`^${field}:(?:\\s+\\d+){3}\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
  const app = traffic.appOf(pid);
  let exe: string | undefined;
  try {
    exe = readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, '');
  } catch {
    // A kernel thread has none.
  }
  return { pid, uid: id('Uid'), gid: id('Gid'), ...(app !== undefined && { app }), ...(exe !== undefined && { exe }) };
}

function cgroupOf(pid: number): string | undefined {
  try {
    return /^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))?.[1];
  } catch {
    return undefined;
  }
}
