import type { ConnectionStatus, DaemonStatus } from '@aovpn/api';
import type { LiveEvent, LiveRate } from './print/live.ts';

/** What became of connections while somebody watched. */
export class LiveHistory {
  /** Oldest first. */
  readonly events: LiveEvent[] = [];
  #known: ReadonlyMap<string, ConnectionStatus>;

  constructor({ connections }: DaemonStatus) {
    this.#known = byName(connections);
  }

  /** The changes since the last look, which join the others. */
  take({ connections }: DaemonStatus, now: number): readonly LiveEvent[] {
    const before = this.#known;
    this.#known = byName(connections);
    const changes: LiveEvent[] = [];
    for (const { name, state, reason, problem } of connections) {
      const was = before.get(name);
      if (was?.state === state && was.reason === reason) continue;
      changes.push({ at: now, name, state, text: problem && state !== 'up' ? `${problem.message} [${problem.code}]` : reason });
    }
    for (const name of before.keys())
      if (!this.#known.has(name)) changes.push({ at: now, name, state: 'gone', text: 'the profile was removed' });
    this.events.push(...changes);
    this.events.splice(0, Math.max(0, this.events.length - 100));
    return changes;
  }
}

/** Octets a second, from one look to the next that is long enough after it. */
export class LiveRates {
  readonly latest = new Map<string, LiveRate>();
  readonly #samples = new Map<string, { readonly at: number; readonly in: number; readonly out: number }>();

  take(connections: readonly ConnectionStatus[], now: number): void {
    for (const { name, traffic } of connections) {
      const before = this.#samples.get(name);
      if (!traffic) {
        this.#samples.delete(name);
        this.latest.delete(name);
        continue;
      }
      if (before && now - before.at < 900) continue;
      this.#samples.set(name, { at: now, in: traffic.bytesIn, out: traffic.bytesOut });
      const perSecond = (from: number, to: number): number => Math.max(0, ((to - from) * 1000) / (now - before!.at));
      if (before)
        this.latest.set(name, { in: perSecond(before.in, traffic.bytesIn), out: perSecond(before.out, traffic.bytesOut) });
    }
  }
}

function byName(connections: readonly ConnectionStatus[]): ReadonlyMap<string, ConnectionStatus> {
  return new Map(connections.map((connection) => [connection.name, connection]));
}
