import type { AppKey, Plan, TriggerReadiness } from '@aovpn/policy';
import { nameReadiness, type Connection, type SupervisorState } from '@aovpn/supervisor';
import { AppTriggers } from './app-triggers.ts';
import { NameTriggers } from './name-triggers.ts';
import type { TrafficControl } from './traffic-control.ts';
import { TriggerWishes } from './trigger-wishes.ts';
import type { Tunnel } from './tunnel.ts';

export interface TriggersOptions {
  /** The plan in force. */
  readonly plan: () => Plan;
  readonly traffic: Pick<TrafficControl, 'processes' | 'watchApp' | 'hold'>;
  readonly state: () => SupervisorState;
  readonly tunnel: (name: string) => Pick<Tunnel, 'stats'> | undefined;
  readonly settings: (name: string) => { readonly triggerHold: boolean; readonly triggerIdleMs: number };
  /** Something wants the tunnel (why), or nothing any more. */
  readonly say: (name: string, why: string | undefined) => void;
}

/** AppTrigger and AutoTrigger together: what brings a tunnel up that is not always on, and lets it go. */
export class Triggers {
  readonly #options: TriggersOptions;
  readonly #apps: AppTriggers;
  readonly #names: NameTriggers;

  constructor(options: TriggersOptions) {
    this.#options = options;
    const { plan, traffic, settings, tunnel, say } = options;
    const connection = (name: string): Connection | undefined => options.state().connections.get(name);
    const wishes = new TriggerWishes({ connection, say });
    this.#apps = new AppTriggers({
      plan,
      traffic,
      connection,
      settings,
      want: (name, why) => wishes.want('application', name, why),
      release: (name) => wishes.release('application', name),
    });
    this.#names = new NameTriggers({
      connections: () => options.state().connections,
      settings,
      packets: async (name) => {
        const stats = await tunnel(name)?.stats();
        return stats && stats.packetsIn + stats.packetsOut;
      },
      want: (name, why) => wishes.want('name', name, why),
      release: (name) => wishes.release('name', name),
      isWantedElse: (name) => wishes.isWantedElse('name', name),
    });
  }

  /** The start of an application was seen. */
  started(app: AppKey, pid: number): void {
    this.#apps.started(app, pid);
  }

  /** A name of this rule was asked for. */
  asked(name: string, rule: string): void {
    this.#names.asked(name, rule);
  }

  /** The plan in force is another one. */
  planned(): void {
    this.#apps.planned();
  }

  /** A connection moved on. */
  settle(): void {
    this.#apps.settle();
    this.#names.settle();
  }

  /** The worker that holds starts is a new one, and knows of none. */
  forgetHolds(): void {
    this.#apps.forgetHolds();
  }

  /** What a question for a name of AutoTrigger can come to, by name of the profile. */
  readiness(state: SupervisorState = this.#options.state()): ReadonlyMap<string, TriggerReadiness> {
    return new Map(
      [...nameReadiness(state)].map(([name, readiness]) => [
        name,
        readiness.kind === 'ready' && !this.#options.settings(name).triggerHold ? { kind: 'ready', waits: false } : readiness,
      ]),
    );
  }

  /** Connections that a trigger may bring up at any moment. */
  expected(): readonly string[] {
    const awaited: string[] = [];
    const readiness = this.readiness();
    for (const { spec, phase } of this.#options.state().connections.values()) {
      const { name, automatic, triggers, nameTriggers } = spec;
      if (automatic || triggers.length + nameTriggers.length === 0) continue;
      if (phase.kind === 'idle' && readiness.get(name)?.kind === 'ready') awaited.push(name);
    }
    return awaited;
  }

  close(): void {
    this.#apps.close();
    this.#names.close();
  }
}
