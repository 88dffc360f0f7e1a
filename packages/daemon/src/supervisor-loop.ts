import {
  startSupervisor,
  stepSupervisor,
  type Connection,
  type SupervisorAction,
  type SupervisorOccurrence,
  type SupervisorState,
} from '@aovpn/supervisor';

/** What has to be done outside of the loop. */
export type Deed = Exclude<SupervisorAction, { readonly kind: 'changed' | 'arm' | 'disarm' }>;

export interface SupervisorLoopOptions {
  readonly perform: (deed: Deed) => void;
  /** After every step, when its deeds are done. `changed`: whose visible state may differ. */
  readonly stepped: (before: SupervisorState, after: SupervisorState, changed: ReadonlySet<string>) => void;
}

/** Feeds the supervisor one event at a time, hands on what it decides, and keeps its timers. */
export class SupervisorLoop {
  readonly #options: SupervisorLoopOptions;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  #state: SupervisorState = startSupervisor();

  constructor(options: SupervisorLoopOptions) {
    this.#options = options;
  }

  get state(): SupervisorState {
    return this.#state;
  }

  connection(name: string): Connection | undefined {
    return this.#state.connections.get(name);
  }

  /** Goes on from what an earlier run has kept. */
  begin(state: SupervisorState): void {
    this.#state = state;
  }

  say(occurrence: SupervisorOccurrence): void {
    const before = this.#state;
    const { state, actions } = stepSupervisor(before, { ...occurrence, random: Math.random() }, performance.now());
    this.#state = state;
    const changed = new Set<string>();
    for (const action of actions) {
      if (action.kind === 'changed') changed.add(action.name);
      else if (action.kind === 'arm') this.#arm(action.name, action.at);
      else if (action.kind === 'disarm') this.#disarm(action.name);
      else this.#options.perform(action);
    }
    this.#options.stepped(before, state, changed);
  }

  close(): void {
    for (const name of this.#timers.keys()) this.#disarm(name);
  }

  #arm(name: string, at: number): void {
    this.#disarm(name);
    const delay = Math.min(0x7fff_ffff, Math.max(0, at - performance.now()));
    this.#timers.set(
      name,
      setTimeout(() => {
        this.#timers.delete(name);
        this.say({ kind: 'timer', name });
      }, delay),
    );
  }

  #disarm(name: string): void {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }
}
