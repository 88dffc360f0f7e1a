import type { FilterEvent, Filters, HostError, RoutesStep, WatchReport } from '@aovpn/host';
import type { AppKey, AppPlan, Plan } from '@aovpn/policy';
import type { Log } from './log.ts';
import { messageOf } from './problem-error.ts';

/** What the machine offers for filters and apps. */
export interface FilterPlatform {
  open(onEvent: (event: FilterEvent) => void): Promise<Filters>;
  /** Removes everything of ours with no memory of what ran before; what could not be, with the reason. */
  cleanUp(): Promise<readonly string[]>;
}

export interface TrafficControlOptions {
  readonly filters: FilterPlatform;
  readonly log: Log;
  /** An application was started. */
  readonly onStarted: (app: AppKey, pid: number) => void;
  /** Starts are seen again, and no start is held. */
  readonly onResumed: () => void;
  /** What people see may differ. */
  readonly onChange: () => void;
}

/** What is in force besides the plan itself. */
export interface TrafficState {
  /** `off`: no plan needs it. `failed`: the last plan could not be applied; what it says of the one before is in `problem`. */
  readonly state: 'off' | 'in-force' | 'failed';
  readonly problem?: { readonly code: string; readonly what: string; readonly cure: string };
  readonly execWatch: {
    readonly state: 'off' | 'watching' | 'stopped' | 'unavailable';
    readonly why?: string;
  };
  /** What the exec watch last found. */
  readonly watch?: WatchReport;
  /** Processes that could not be put into their cgroup, the last ones. */
  readonly misplaced: readonly { readonly app: AppKey; readonly pid: number; readonly problem: string }[];
  readonly lastRepair?: { readonly at: string; readonly what: readonly string[]; readonly failure?: string };
}

const misplacedShown = 20;

/**
 * Filters and apps of the plan in force. What acts (the exec watch with its worker among it) is opened with the first plan that needs
 * it, and closed with the first one that does not.
 */
export class TrafficControl {
  readonly #options: TrafficControlOptions;
  #filters: Filters | undefined;
  #state: TrafficState = { state: 'off', execWatch: { state: 'off' }, misplaced: [] };

  constructor(options: TrafficControlOptions) {
    this.#options = options;
  }

  get state(): TrafficState {
    return this.#state;
  }

  /** Processes in the cgroup of an app. */
  processes(app: AppKey): readonly number[] {
    return this.#filters?.cgroups.processes(app) ?? [];
  }

  /** Starts of the app wait until it is let go, for a few seconds at the longest. */
  hold(app: AppKey, on: boolean): void {
    this.#filters?.hold(app, on);
  }

  /** Calls back when the app has its first process or has lost its last one. */
  watchApp(app: AppKey, onChange: () => void): { close(): void } | undefined {
    return this.#filters?.cgroups.watchMembers(app, onChange);
  }

  /** Which app a process is. */
  appOf(pid: number): AppKey | undefined {
    return this.#filters?.appOf(pid);
  }

  /**
   * Filters and apps of the next plan, with its routes and rules in between. What one of the two plans refuses is never let through on the
   * way. When it fails, the plan before is in force or the tunnels are blocked.
   * @throws {HostError}
   */
  async apply(previous: Plan, next: Plan, routes: RoutesStep): Promise<void> {
    if (!this.#filters && !needed(next)) return await routes.apply();
    try {
      this.#filters ??= await this.#open();
      const transition = withFiltersThatGo(previous, next);
      if (transition) {
        // A tunnel that loses its filters has lost its routes before.
        await this.#filters.apply(transition, routes);
        await this.#filters.apply(next);
      } else this.#took(await this.#filters.apply(next, routes));
    } catch (error) {
      const { code = '', what = messageOf(error), cure = '' } = error as Partial<HostError>;
      this.#set({ state: 'failed', problem: { code, what, cure } });
      throw error;
    }
    if (needed(next)) this.#set({ state: 'in-force', problem: undefined });
    else await this.#close();
  }

  /** Nothing of it stays; what could not be removed, with the reason. */
  async clear(): Promise<readonly string[]> {
    if (!this.#filters) return await this.#options.filters.cleanUp();
    const problems = await this.#filters.cleanUp();
    await this.#close();
    return problems;
  }

  async #open(): Promise<Filters> {
    this.#set({ execWatch: { state: 'watching' } });
    return await this.#options.filters.open((event) => this.#heed(event));
  }

  async #close(): Promise<void> {
    const filters = this.#filters;
    this.#filters = undefined;
    this.#state = { state: 'off', execWatch: { state: 'off' }, misplaced: [] };
    for (const what of (await filters?.cleanUp()) ?? []) this.#options.log.error(`filters: left behind: ${what}`);
    await filters?.close();
    this.#options.onChange();
  }

  #took({ watch }: { readonly watch?: WatchReport }): void {
    const { log } = this.#options;
    for (const { app, pid } of watch?.late ?? [])
      log.warn(
        `${app}: process ${pid} ran before it was watched for; connections that it has already are refused: start it again`,
      );
    if (watch) this.#found(watch);
  }

  #found(watch: WatchReport): void {
    const { log } = this.#options;
    const before = new Set(this.#state.watch?.refused.map(({ path }) => path));
    for (const { app, path, why } of watch.refused) if (!before.has(path)) log.warn(`${app}: ${path} does not count: ${why}`);
    this.#set({ watch });
  }

  #heed(event: FilterEvent): void {
    const { log } = this.#options;
    switch (event.kind) {
      case 'repaired': {
        const { what, failure } = event;
        const text = what.join('; ');
        if (failure === undefined) log.warn(`filters: put back what somebody else changed: ${text}`);
        else log.error(`filters: somebody else changed them, and putting back failed: ${text}: ${failure}`);
        const at = new Date().toISOString();
        return this.#set({ lastRepair: { at, what, ...(failure === undefined ? {} : { failure }) } });
      }
      case 'no-exec-watch':
        log.error(`${event.error.what}: apps are refused on tunnels with filters [${event.error.code}]`);
        return this.#set({ execWatch: { state: 'unavailable', why: event.error.what } });
      case 'exec':
        return this.#heedExec(event.event);
    }
  }

  #heedExec(event: Extract<FilterEvent, { readonly kind: 'exec' }>['event']): void {
    const { log } = this.#options;
    switch (event.kind) {
      case 'started': {
        const { app, pid, problem } = event;
        this.#options.onStarted(app, pid);
        if (problem === undefined) return log.debug(`${app} started as process ${pid}`);
        log.warn(`${app}: process ${pid} could not be put into its cgroup (${problem}): refused on tunnels with filters`);
        return this.#set({ misplaced: [...this.#state.misplaced, { app, pid, problem }].slice(-misplacedShown) });
      }
      case 'files':
        log.info('programs of apps came, went or were replaced; they are watched');
        return this.#found(event.report);
      case 'stopped': {
        const { why, retryMs } = event;
        const then = retryMs === undefined ? 'it stays so' : `tried again in ${retryMs} ms`;
        log.error(`starts of apps are not seen now, such processes are refused on tunnels with filters: ${why}; ${then}`);
        return this.#set({ execWatch: { state: 'stopped', why } });
      }
      case 'resumed':
        log.info('starts of apps are seen again');
        this.#options.onResumed();
        this.#set({ execWatch: { state: 'watching' } });
        return this.#found(event.report);
    }
  }

  #set(change: { readonly [K in keyof TrafficState]?: TrafficState[K] | undefined }): void {
    const next = { ...this.#state, ...change };
    if (next.problem === undefined) delete next.problem;
    this.#state = next as TrafficState;
    this.#options.onChange();
  }
}

function needed({ filters, apps }: Plan): boolean {
  return filters.length > 0 || apps.length > 0;
}

/** The next plan with the filters of tunnels that go; undefined when none of those has any. */
function withFiltersThatGo(previous: Plan, next: Plan): Plan | undefined {
  const staying = new Set(next.tunnels.map(({ device }) => device));
  const going = previous.filters.filter(({ device }) => !staying.has(device));
  if (going.length === 0) return undefined;
  const keys = new Set(next.apps.map(({ key }) => key));
  // Their ways are over; only who they are still counts.
  const apps = previous.apps.filter(({ key }) => !keys.has(key)).map(withoutWay);
  return { ...next, filters: [...next.filters, ...going], apps: [...next.apps, ...apps] };
}

function withoutWay(app: AppPlan): AppPlan {
  const copy: { -readonly [K in keyof AppPlan]: AppPlan[K] } = { ...app };
  delete copy.force;
  return copy;
}
