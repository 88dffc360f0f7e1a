import { sameAddress, type IpAddress } from '@aovpn/bytes';
import type { NumberRange } from '@aovpn/profile';
import type { LiveTunnel } from '../compile-plan.ts';
import type { Because } from '../facts.ts';
import { allowedUsers, compileAccess } from '../filter/compile-access.ts';
import type { FilterIntent } from '../filter/filter-intent.ts';
import type { IdentityFacts } from '../filter/identity.ts';
import { filterPath, quoted, type FilterProblems } from '../filter/problem.ts';
import type { Intent } from '../intent.ts';
import { appMarkMask, appMarkOf, forcedTable, nowhereIndex } from '../linux-number.ts';
import type { AppKey, DnsRule, ForcedPath } from '../plan.ts';
import type { AppBook } from './app-book.ts';

/** A way into one tunnel that sockets with a mark must go; with `users`, only those of these users. */
export interface ForcedWay {
  readonly path: ForcedPath;
  readonly profile: string;
  /** Absent: the tunnel is down, and nothing leaves. */
  readonly tunnel?: LiveTunnel;
  readonly users?: readonly NumberRange[];
  readonly because: Because;
}

export interface ForcedWays {
  readonly ways: readonly ForcedWay[];
  readonly ofApp: ReadonlyMap<AppKey, ForcedWay>;
  /** All traffic of users, whatever the program (Claims without App). */
  readonly ofUsers: readonly { readonly way: ForcedWay; readonly users: readonly NumberRange[]; readonly because: Because }[];
  /** Marks and tables of users with tunnels of their own; who is not among them has found none free. */
  readonly scopes: ReadonlyMap<number, Pick<ForcedPath, 'mark' | 'mask' | 'table'>>;
}

export interface ForcedInput {
  /** Most preferred first. */
  readonly tunnels: readonly LiveTunnel[];
  /** Down, but wanted. */
  readonly pending: readonly Intent[];
  readonly book: AppBook;
  readonly identities: IdentityFacts;
  /** Name rules in force. */
  readonly names: readonly DnsRule[];
  /** With tunnels that are theirs alone. */
  readonly users: readonly number[];
  readonly problemsOf: (profile: string) => FilterProblems;
}

interface Wish {
  readonly profile: string;
  readonly app?: AppKey;
  readonly users?: readonly NumberRange[];
  readonly because: Because;
  readonly path: string;
}

/** Which apps and users go into which tunnel with all their traffic; the first profile in order of preference has an app. */
export function compileForcedWays(input: ForcedInput): ForcedWays {
  const { tunnels, pending, problemsOf } = input;
  const wishes = [...tunnels.map(({ intent }) => intent), ...pending].flatMap((intent) => wishesOf(intent, input));
  const scopeId = (user: number): string => `\nuser ${user}`;
  const indexOf = allocate(new Set([...wishes.map(wayId), ...input.users.map(scopeId)]));
  const ways = new Map<string, ForcedWay>();
  const ofApp = new Map<AppKey, ForcedWay>();
  const ofUsers: { way: ForcedWay; users: readonly NumberRange[]; because: Because }[] = [];
  for (const wish of wishes) {
    const known = wish.app === undefined ? undefined : ofApp.get(wish.app);
    if (known && known.profile !== wish.profile) {
      const what = `${wish.app} goes into the tunnel of ${quoted(known.profile)}`;
      problemsOf(wish.profile).add('forcedTwice', wish.because.at!, wish.path, what);
      continue;
    }
    // Within one profile: everybody's wish beats that of some users, and the first those that follow.
    if (known && (known.users === undefined || wish.users !== undefined)) continue;
    const id = wayId(wish);
    const index = indexOf(id);
    let way = ways.get(id);
    if (!way) {
      if (index === nowhereIndex)
        problemsOf(wish.profile).add(
          'tooManyForced',
          wish.because.at!,
          wish.path,
          `at most ${nowhereIndex - 1} have a way of their own`,
        );
      const tunnel = index === nowhereIndex ? undefined : tunnels.find(({ intent }) => intent.name === wish.profile);
      const servers = tunnel ? nameServersOf(tunnel, input.names) : [];
      way = {
        path: {
          mark: appMarkOf(index),
          mask: appMarkMask,
          table: forcedTable(index),
          ...(tunnel ? { device: tunnel.facts.device } : {}),
          ...(tunnel && servers.length > 0 ? { dns: servers } : {}),
        },
        profile: wish.profile,
        because: wish.because,
        ...(tunnel ? { tunnel } : {}),
        ...(wish.app !== undefined && wish.users ? { users: wish.users } : {}),
      };
      ways.set(id, way);
    }
    if (wish.app === undefined) ofUsers.push({ way, users: wish.users!, because: wish.because });
    else ofApp.set(wish.app, way);
  }
  const scopes = new Map(
    input.users.flatMap((user) => {
      const index = indexOf(scopeId(user));
      const path = { mark: appMarkOf(index), mask: appMarkMask, table: forcedTable(index) };
      return index === nowhereIndex ? [] : [[user, path] as const];
    }),
  );
  return { ways: [...ways.values()], ofApp, ofUsers, scopes };
}

/** What the gateway pushed, or else what name rules of the tunnel name; those that programs can ask by themselves, in the clear. */
function nameServersOf({ facts }: LiveTunnel, names: readonly DnsRule[]): readonly IpAddress[] {
  if (facts.dns.length > 0) return facts.dns;
  const own = names
    .filter(({ device }) => device === facts.device)
    .flatMap(({ servers, encrypted, clear = [] }) => (encrypted ? clear : servers));
  return own.filter((server, i) => own.findIndex((other) => sameAddress(other, server)) === i);
}

function wishesOf(intent: Intent, { book, identities, problemsOf }: ForcedInput): readonly Wish[] {
  const wishes: Wish[] = [];
  const split = new Map<AppKey, FilterIntent>();
  const forced = new Set<AppKey>();
  for (const filter of intent.filters) {
    const { routing, app, access, number } = filter;
    if (!routing || filter.unusable !== undefined) continue;
    const path = filterPath(number, 'RoutingPolicyType');
    const known = app && book.find(app.value);
    if (app && !known) continue;
    const keys = known ? book.keysOf(known) : [];
    for (const key of keys) {
      const contradicted =
        routing.value === 'ForceTunnel' ? split.has(key) && !forced.has(key) : forced.has(key) && !split.has(key);
      if (contradicted)
        problemsOf(intent.name).add('contradictoryRouting', routing.because.at!, path, `${key}; force tunnel counts`);
      if (routing.value === 'ForceTunnel') forced.add(key);
      else split.set(key, filter);
    }
    if (routing.value === 'SplitTunnel') continue;
    const entries = access && compileAccess(access.value, identities).entries;
    if (access && !entries) continue;
    const users = entries && allowedUsers(entries);
    const because = { ...routing.because, why: `${filter.because.why}, RoutingPolicyType ForceTunnel` };
    const common = { profile: intent.name, because, path, ...(users ? { users } : {}) };
    if (!known) wishes.push(common);
    for (const app of keys) wishes.push({ ...common, app });
  }
  return wishes;
}

/** What shares a mark and a table. */
function wayId({ profile, app, users }: Wish): string {
  return app !== undefined && users ? `${profile}\n${JSON.stringify(users)}` : profile;
}

/**
 * A number for each name, 1 to {@link nowhereIndex}. It depends on the name, hardly on the others, and not on whether a tunnel is up:
 * sockets keep their mark when the tunnel comes and goes.
 */
function allocate(names: ReadonlySet<string>): (name: string) => number {
  const taken = new Map<string, number>();
  const free = new Set(Array.from({ length: nowhereIndex - 1 }, (_, i) => i + 1));
  for (const name of [...names].sort()) {
    let hash = 7;
    for (const character of name) hash = (hash * 31 + character.codePointAt(0)!) % 0x7fff_ffff;
    let index = (hash % (nowhereIndex - 1)) + 1;
    for (let tries = 1; tries < nowhereIndex && !free.has(index); tries++) index = (index % (nowhereIndex - 1)) + 1;
    if (!free.delete(index)) index = nowhereIndex;
    taken.set(name, index);
  }
  return (name) => taken.get(name) ?? nowhereIndex;
}
