import { formatAddress, type IpAddress } from '@aovpn/bytes';
import { compileNameMatcher, lookUpRoute, type DnsRule, type NamedAddresses, type Plan, type UserNames } from '@aovpn/policy';
import type { QuestionAnswer } from './dns-question.ts';

/** What the settings of a profile say about names. */
export interface NameWishes {
  readonly includeNames: readonly string[];
  readonly excludeNames: readonly string[];
  readonly nameRefreshSeconds: number;
}

export interface NameRoutesOptions {
  readonly wishes: (profile: string) => NameWishes;
  /** Both families of a name, from the servers of a rule (with this mark, so that they go by the tunnels of one user), or without one from the machine's own ones outside of all tunnels. */
  readonly ask: (name: string, rule: DnsRule | undefined, mark: number) => Promise<QuestionAnswer>;
  /** Other addresses than before: the plan is to be made anew. */
  readonly onChange: () => void;
  /** Milliseconds, monotonic. */
  readonly clock?: () => number;
}

/** However long an answer may be believed, milliseconds. */
const longestRest = 3_600_000;
/** An address that is no longer in the answer keeps its route for so long: programs hold on to what they once heard. */
const leastHold = 600_000;
/** More of one name are not kept; the last ones heard are. */
const mostAddresses = 32;

interface Known {
  readonly profile: string;
  readonly name: string;
  readonly exclude: boolean;
  /** By text; when it was last heard, and for how long it stays. */
  readonly addresses: Map<string, { readonly address: IpAddress; readonly until: number }>;
  fromInside: boolean;
  problem: string | undefined;
  failures: number;
  timer: NodeJS.Timeout | undefined;
  busy: boolean;
}

/**
 * Addresses of the names whose traffic is to go into a tunnel or beside it. They are asked for where programs would be answered, again when their
 * time to live is over, and kept when an answer fails: a name that does not resolve loses nothing.
 */
export class NameRoutes {
  readonly #options: NameRoutesOptions;
  readonly #known = new Map<string, Known>();
  #plan: Plan | undefined;

  constructor(options: NameRoutesOptions) {
    this.#options = options;
  }

  /** What is known now, for the plan. */
  of(profile: string): readonly NamedAddresses[] {
    const now = this.#now();
    const { includeNames, excludeNames } = this.#options.wishes(profile);
    return [...this.#known.values()]
      .filter((one) => one.profile === profile && (one.exclude ? excludeNames : includeNames).includes(one.name))
      .map(({ name, exclude, addresses, fromInside, problem }) => ({
        name,
        exclude,
        fromInside,
        addresses: [...addresses.values()].filter(({ until }) => until > now).map(({ address }) => address),
        ...(problem === undefined ? {} : { problem }),
      }));
  }

  /** This plan is in force: names of profiles whose tunnels it has are followed, all others forgotten. */
  follow(plan: Plan): void {
    this.#plan = plan;
    const wanted = new Set<string>();
    for (const { profile } of plan.tunnels) {
      const { includeNames, excludeNames } = this.#options.wishes(profile);
      for (const [names, exclude] of [
        [includeNames, false],
        [excludeNames, true],
      ] as const) {
        for (const name of names) {
          const key = JSON.stringify([profile, exclude, name]);
          wanted.add(key);
          if (this.#known.has(key)) continue;
          const one: Known = {
            profile,
            name,
            exclude,
            addresses: new Map(),
            fromInside: false,
            problem: undefined,
            failures: 0,
            timer: undefined,
            busy: false,
          };
          this.#known.set(key, one);
          void this.#ask(key, one);
        }
      }
    }
    for (const [key, one] of this.#known) {
      if (wanted.has(key)) continue;
      clearTimeout(one.timer);
      this.#known.delete(key);
    }
  }

  /** The network is another one: what its servers said may be wrong here. */
  askAgain(): void {
    for (const [key, one] of this.#known) void this.#ask(key, one);
  }

  close(): void {
    for (const { timer } of this.#known.values()) clearTimeout(timer);
    this.#known.clear();
  }

  async #ask(key: string, one: Known): Promise<void> {
    if (one.busy) return;
    one.busy = true;
    clearTimeout(one.timer);
    const names = this.#namesOf(one.profile);
    const rule = compileNameMatcher(names?.rules ?? this.#plan?.dns.rules ?? [])(one.name);
    const mark = names && rule?.device !== undefined && names.devices.includes(rule.device) ? names.mark : 0;
    const asked = rule && rule.servers.length > 0 ? rule : undefined;
    const down = asked?.trigger && asked.trigger.kind !== 'up' ? asked : undefined;
    const fromInside =
      asked !== undefined && asked.servers.every((server) => lookUpRoute(this.#plan!, server, mark).path === 'tunnel');
    let answer: QuestionAnswer;
    try {
      // Of another profile: routes of this one bring no tunnel up, and its servers are asked through it only.
      answer = down
        ? { addresses: [], why: `its name belongs to ${down.profile}, whose tunnel is down` }
        : await this.#options.ask(one.name, asked, mark);
    } catch (error) {
      answer = { addresses: [], why: error instanceof Error ? error.message : String(error) };
    }
    one.busy = false;
    if (this.#known.get(key) !== one) return;
    const before = fingerprint(one);
    const least = this.#options.wishes(one.profile).nameRefreshSeconds * 1000;
    let rest: number;
    if (answer.addresses.length > 0) {
      const ttl = Math.min(longestRest, Math.max(least, (answer.ttl ?? 0) * 1000));
      const until = this.#now() + Math.max(leastHold, 2 * ttl);
      // What outsiders said does not become the company's word, nor the other way round.
      if (one.fromInside !== fromInside) one.addresses.clear();
      one.fromInside = fromInside;
      for (const address of answer.addresses) {
        const text = formatAddress(address);
        one.addresses.delete(text);
        one.addresses.set(text, { address, until });
      }
      for (const [text, { until: end }] of one.addresses) if (end <= this.#now()) one.addresses.delete(text);
      for (const text of [...one.addresses.keys()].slice(0, -mostAddresses)) one.addresses.delete(text);
      one.problem = undefined;
      one.failures = 0;
      rest = ttl;
    } else {
      const why = answer.why ?? 'the name has no address';
      // A name that does not resolve loses nothing.
      const stay = this.#now() + longestRest + leastHold;
      for (const [text, { address }] of one.addresses) one.addresses.set(text, { address, until: stay });
      one.problem = one.addresses.size > 0 ? `${why}; the addresses known before stay` : why;
      rest = Math.min(longestRest, least * 2 ** Math.min(6, one.failures++));
    }
    one.timer = setTimeout(() => void this.#ask(key, one), rest);
    one.timer.unref();
    if (fingerprint(one) !== before) this.#options.onChange();
  }

  /** Of a tunnel that is one user's: what that user is answered by. */
  #namesOf(profile: string): UserNames | undefined {
    const user = this.#plan?.tunnels.find((tunnel) => tunnel.profile === profile)?.scope?.user;
    return user === undefined ? undefined : this.#plan?.dns.users?.find((names) => names.user === user);
  }

  #now(): number {
    return (this.#options.clock ?? (() => performance.now()))();
  }
}

/** Only what differs in a plan. */
function fingerprint({ addresses, fromInside, problem }: Known): string {
  return JSON.stringify([[...addresses.keys()].sort(), fromInside, problem]);
}
