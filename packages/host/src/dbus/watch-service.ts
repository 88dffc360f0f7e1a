import { connectBus, DbusError, type DbusConnection, type IncomingSignal } from './connection.ts';
import { unmarshal, type DbusValue } from './marshal.ts';
import { formatMatchRule, type SignalMatch } from './match-rule.ts';
import type { MethodCall } from './message.ts';
import { systemBusSocket } from './system-bus.ts';

/** A signal of the service: its values are as its signature says, which may not be what one expects. */
export interface ServiceSignal {
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly signature: string;
  readonly values: readonly DbusValue[];
}

/** Asks the process that owns the name now, and nobody who takes it over meanwhile. */
export type AskService = (call: Omit<MethodCall, 'destination'>) => Promise<readonly DbusValue[]>;

export interface ServiceWatchOptions {
  /** Its well-known name. It is not started. */
  readonly service: string;
  readonly signals: readonly SignalMatch[];
  /** It is there, anew after every gap, and its signals are heard from now on: what it said before may be lost, so it is to be asked. */
  readonly onPresent?: (ask: AskService) => void;
  /** It is gone, or the bus is, or nobody owned the name at the start. Once for each gap. */
  readonly onAbsent?: (why: string) => void;
  readonly onSignal: (signal: ServiceSignal) => void;
  /** Where the bus listens, looked up before each try; otherwise the system bus. */
  readonly socket?: () => string | undefined;
}

export interface ServiceWatch {
  close(): void;
}

/** Between tries to reach a bus, milliseconds: doubled each time. */
const patience = { first: 500, most: 60_000 } as const;
/** A connection that lived for so long was none that breaks at once, milliseconds. */
const sound = 60_000;

const driver = {
  destination: 'org.freedesktop.DBus',
  path: '/org/freedesktop/DBus',
  interface: 'org.freedesktop.DBus',
} as const;

/**
 * Hears what one service says on a message bus, for as long as it is watched: through its own restarts and those of the bus. Only what the
 * owner of its name sends counts, which the bus vouches for; the same signal from anybody else is passed over. No callback is called from
 * within this call, or after `close`.
 */
export function watchService(options: ServiceWatchOptions): ServiceWatch {
  const watch = new Watch(options);
  queueMicrotask(() => void watch.run());
  return watch;
}

class Watch implements ServiceWatch {
  readonly #options: ServiceWatchOptions;
  #bus: DbusConnection | undefined;
  #owner: string | undefined;
  /** The bus has told of an owner, or that there is none, since we are connected: that is newer than any answer. */
  #told = false;
  #present: boolean | undefined;
  #wait = patience.first as number;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: ServiceWatchOptions) {
    this.#options = options;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#bus?.close();
  }

  async run(): Promise<void> {
    while (!this.#closed) {
      const since = performance.now();
      const why = await this.#follow();
      this.#bus?.close();
      this.#bus = undefined;
      if (this.#closed) return;
      this.#setOwner(undefined, why);
      if (performance.now() - since >= sound) this.#wait = patience.first;
      const { promise: rested, resolve } = Promise.withResolvers<void>();
      this.#retry = setTimeout(resolve, this.#wait);
      this.#wait = Math.min(this.#wait * 2, patience.most);
      await rested;
    }
  }

  /** Until the connection is over; why it is. */
  async #follow(): Promise<string> {
    const { service, signals, socket = systemBusSocket } = this.#options;
    try {
      const place = socket();
      if (place === undefined) return 'there is no message bus';
      this.#told = false;
      const bus = await connectBus(place, undefined, (signal) => this.#hear(signal));
      this.#bus = bus;
      if (this.#closed) return 'closed';
      const match = (rule: string): Promise<unknown> => bus.call({ ...driver, member: 'AddMatch', signature: 's', body: [rule] });
      await match(
        formatMatchRule(driver.destination, {
          path: driver.path,
          interface: driver.interface,
          member: 'NameOwnerChanged',
          arg0: service,
        }),
      );
      for (const signal of signals) await match(formatMatchRule(service, signal));
      const owner = await ownerOf(bus, service);
      if (!this.#told) this.#setOwner(owner, `${service} is not on the bus`);
      return (await bus.over).message;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  #hear(signal: IncomingSignal): void {
    const { path, member, sender, signature } = signal;
    if (path === undefined || signal.interface === undefined || member === undefined || this.#closed) return;
    const ofBus = sender === driver.destination && signal.interface === driver.interface && member === 'NameOwnerChanged';
    if (!ofBus && (sender === undefined || sender !== this.#owner || !this.#isWanted(path, signal.interface, member))) return;
    let values: readonly DbusValue[];
    try {
      values = unmarshal(signature, signal.body, signal.littleEndian);
    } catch {
      return;
    }
    if (!ofBus)
      return this.#tell(() => this.#options.onSignal({ path, interface: signal.interface!, member, signature, values }));
    const [name, , owner] = values;
    if (name !== this.#options.service || typeof owner !== 'string') return;
    this.#told = true;
    this.#setOwner(owner === '' ? undefined : owner, `${this.#options.service} has left the bus`);
  }

  /** Also what is sent to us alone passes no match rule. */
  #isWanted(path: string, of: string, member: string): boolean {
    return this.#options.signals.some(
      (match) =>
        match.interface === of &&
        (match.member === undefined || match.member === member) &&
        (match.path === undefined || match.path === path) &&
        (match.pathNamespace === undefined || path === match.pathNamespace || path.startsWith(`${match.pathNamespace}/`)),
    );
  }

  #setOwner(owner: string | undefined, why: string): void {
    const { onPresent, onAbsent } = this.#options;
    if (owner !== undefined && owner === this.#owner) return;
    this.#owner = owner;
    const bus = this.#bus;
    if (owner === undefined) {
      if (this.#present === false) return;
      this.#present = false;
      return this.#tell(() => onAbsent?.(why));
    }
    this.#present = true;
    this.#tell(() => onPresent?.((call) => bus!.call({ ...call, destination: owner })));
  }

  /** Outside of what reads the bus, in the same order: a fault of who listens is not one of the bus. */
  #tell(what: () => void): void {
    queueMicrotask(() => {
      if (!this.#closed) what();
    });
  }
}

async function ownerOf(bus: DbusConnection, service: string): Promise<string | undefined> {
  try {
    const [owner] = await bus.call({ ...driver, member: 'GetNameOwner', signature: 's', body: [service] });
    return typeof owner === 'string' ? owner : undefined;
  } catch (error) {
    if (error instanceof DbusError && error.errorName === 'org.freedesktop.DBus.Error.NameHasNoOwner') return undefined;
    throw error;
  }
}
