import type { AppKey, AppPlan, Plan } from '@aovpn/policy';
import type { Connection } from '@aovpn/supervisor';
import type { TrafficControl } from './traffic-control.ts';

export interface AppTriggersOptions {
  /** The plan in force. */
  readonly plan: () => Plan;
  readonly traffic: Pick<TrafficControl, 'processes' | 'watchApp' | 'hold'>;
  readonly connection: (name: string) => Connection | undefined;
  /** Whether starts may wait for the tunnel, and how long it stays after the last process is gone, milliseconds. */
  readonly settings: (name: string) => { readonly triggerHold: boolean; readonly triggerIdleMs: number };
  readonly want: (name: string, why: string) => void;
  readonly release: (name: string) => void;
}

/**
 * AppTrigger: a tunnel is wanted from the start of one of its applications until the last of them has been gone for a while. Starts may be
 * held until the tunnel is up, so that the first connection of a program works already.
 */
export class AppTriggers {
  readonly #options: AppTriggersOptions;
  /** Profiles that an application wants, with the pause after its end. */
  readonly #wanted = new Map<string, { pause?: NodeJS.Timeout }>();
  readonly #watches = new Map<AppKey, { close(): void }>();
  readonly #holding = new Set<AppKey>();

  constructor(options: AppTriggersOptions) {
    this.#options = options;
  }

  /** A start was seen. */
  started(app: AppKey, pid: number): void {
    for (const name of this.#appOf(app)?.triggers ?? [])
      this.#want(name, `${this.#appOf(app)!.title} was started (process ${pid})`);
  }

  /** The plan in force is another one: applications that run already count as well. */
  planned(): void {
    const apps = new Map(this.#options.plan().apps.map((app) => [app.key, app]));
    for (const [key, watch] of this.#watches) {
      if ((apps.get(key)?.triggers.length ?? 0) > 0) continue;
      watch.close();
      this.#watches.delete(key);
      this.#holding.delete(key);
    }
    const named = new Set([...apps.values()].flatMap(({ triggers }) => triggers));
    for (const [name, { pause }] of this.#wanted) {
      if (named.has(name)) continue;
      clearTimeout(pause);
      this.#wanted.delete(name);
      this.#options.release(name);
    }
    for (const { key, triggers } of apps.values()) {
      if (triggers.length === 0 || this.#watches.has(key)) continue;
      const watch = this.#options.traffic.watchApp(key, () => this.look());
      if (watch) this.#watches.set(key, watch);
    }
    this.look();
    this.settle();
  }

  /** Looks who runs. */
  look(): void {
    const running = new Map<string, AppPlan>();
    for (const app of this.#options.plan().apps) {
      if (app.triggers.length === 0 || this.#options.traffic.processes(app.key).length === 0) continue;
      for (const name of app.triggers) if (!running.has(name)) running.set(name, app);
    }
    for (const [name, { title }] of running) this.#want(name, `${title} is running`);
    for (const [name, want] of this.#wanted) {
      if (running.has(name) || want.pause) continue;
      const { triggerIdleMs } = this.#options.settings(name);
      want.pause = setTimeout(() => {
        this.#wanted.delete(name);
        this.#options.release(name);
      }, triggerIdleMs);
    }
  }

  /** A connection moved on: whether starts wait for it may be otherwise now. Where no tunnel is to be expected nobody waits. */
  settle(): void {
    for (const { key, triggers } of this.#options.plan().apps) {
      if (triggers.length === 0) continue;
      const on = triggers.some((name) => this.#options.settings(name).triggerHold && comesSoon(this.#options.connection(name)));
      if (on === this.#holding.has(key)) continue;
      if (on) this.#holding.add(key);
      else this.#holding.delete(key);
      this.#options.traffic.hold(key, on);
    }
  }

  /** The worker that holds starts is a new one, and knows of none. */
  forgetHolds(): void {
    this.#holding.clear();
    this.settle();
  }

  close(): void {
    for (const watch of this.#watches.values()) watch.close();
    for (const { pause } of this.#wanted.values()) clearTimeout(pause);
    this.#watches.clear();
    this.#wanted.clear();
  }

  #want(name: string, why: string): void {
    clearTimeout(this.#wanted.get(name)?.pause);
    this.#wanted.set(name, {});
    this.#options.want(name, why);
  }

  #appOf(app: AppKey): AppPlan | undefined {
    return this.#options.plan().apps.find(({ key }) => key === app);
  }
}

/** A start would bring the tunnel up, or it is on its way for the first time. */
function comesSoon(connection: Connection | undefined): boolean {
  if (!connection || connection.held || connection.problem || connection.spec.problem || connection.trust?.kind === 'trusted')
    return false;
  const { phase } = connection;
  // Closing to begin anew (another gateway answered first) is on the way as well.
  return ['idle', 'resolving', 'opening'].includes(phase.kind) || (phase.kind === 'closing' && phase.afterwards.kind !== 'fail');
}
