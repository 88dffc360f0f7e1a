import { formatAddress, type IpAddress } from '@aovpn/bytes';
import type { Upstream } from './upstream.ts';

/** Servers that stand for each other; the one that answered last is asked first, and all rules that name the same servers learn from each other. */
export interface ServerGroup {
  readonly servers: readonly Upstream[];
  /** Index of the server to begin with. */
  first: number;
}

/** Groups of servers as rules name them. What was learnt about a group outlives a change of the rules. */
export class ServerGroups {
  #known = new Map<string, ServerGroup>();

  /** Begins a new set of rules: groups that nobody asks for until the next call are forgotten. */
  begin(): (addresses: readonly IpAddress[], mark: number) => ServerGroup {
    const before = this.#known;
    const now = new Map<string, ServerGroup>();
    this.#known = now;
    // One Upstream for each server, so that groups share its sockets.
    const upstreams = new Map<string, Upstream>();
    return (addresses, mark) => {
      const texts = addresses.map(formatAddress);
      const key = `${texts.join(' ')} ${mark}`;
      const known = now.get(key);
      if (known) return known;
      const servers = addresses.map((address, i) => {
        const name = `${texts[i]} ${mark}`;
        const upstream = upstreams.get(name) ?? { address, mark };
        upstreams.set(name, upstream);
        return upstream;
      });
      const group = { servers, first: before.get(key)?.first ?? 0 };
      now.set(key, group);
      return group;
    };
  }
}
