import { upstreamKey, type Upstream } from './upstream.ts';

/** How long a server that was silent is asked after all others, milliseconds. */
const silentMs = 30_000;

/** A server and what was learnt about it, shared by all groups that name it. */
interface Server {
  readonly upstream: Upstream;
  /** Asked last until then, milliseconds of the monotonic clock. */
  silentUntil: number;
}

/**
 * Servers that stand for each other, and those that are asked when none of them gives an answer. The one that answered last is asked
 * first, and all rules that name the same servers learn from each other.
 */
export class ServerGroup {
  readonly #servers: readonly Server[];
  readonly #otherwise: readonly Server[];
  #first = 0;

  constructor(servers: readonly Server[], otherwise: readonly Server[]) {
    this.#servers = servers;
    this.#otherwise = otherwise;
  }

  /** Whom to ask, in this order. */
  order(now: number): readonly Server[] {
    const count = this.#servers.length;
    if (count + this.#otherwise.length <= 1) return this.#servers.concat(this.#otherwise);
    const turned = this.#servers.map((_, i) => this.#servers[(this.#first + i) % count]!);
    const sorted = (all: readonly Server[]): readonly Server[] => [
      ...all.filter(({ silentUntil }) => silentUntil <= now),
      ...all.filter(({ silentUntil }) => silentUntil > now),
    ];
    // Nobody in the clear before each encrypted one was asked, however long it has been silent.
    if (turned.some(({ upstream }) => upstream.tls)) return [...sorted(turned), ...sorted(this.#otherwise)];
    return sorted([...turned, ...this.#otherwise]);
  }

  /** It gave an answer. */
  answered(server: Server): void {
    server.silentUntil = 0;
    const which = this.#servers.indexOf(server);
    if (which >= 0) this.#first = which;
  }

  /** It gave none in time, or cannot be reached. */
  silent(server: Server, now: number): void {
    server.silentUntil = now + silentMs;
  }
}

/** Groups of servers as rules name them. What was learnt about a group outlives a change of the rules. */
export class ServerGroups {
  #groups = new Map<string, ServerGroup>();
  #servers = new Map<string, Server>();

  /** Begins a new set of rules: what nobody asks for until the next call is forgotten. */
  begin(): (servers: readonly Upstream[], otherwise?: readonly Upstream[]) => ServerGroup {
    const before = { groups: this.#groups, servers: this.#servers };
    const groups = new Map<string, ServerGroup>();
    const servers = new Map<string, Server>();
    this.#groups = groups;
    this.#servers = servers;
    const share = (upstream: Upstream): readonly [string, Server] => {
      const name = upstreamKey(upstream);
      const server = servers.get(name) ?? before.servers.get(name) ?? { upstream, silentUntil: 0 };
      servers.set(name, server);
      return [name, server];
    };
    return (wanted, otherwise = []) => {
      const own = wanted.map(share);
      const others = otherwise.map(share);
      const key = [own, others].map((list) => list.map(([name]) => name).join(', ')).join(' otherwise ');
      const group =
        groups.get(key) ??
        before.groups.get(key) ??
        new ServerGroup(
          own.map(([, server]) => server),
          others.map(([, server]) => server),
        );
      groups.set(key, group);
      return group;
    };
  }
}
