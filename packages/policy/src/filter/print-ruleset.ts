import { formatAddress, formatPrefix } from '@aovpn/bytes';
import { admittedMark } from '../linux-number.ts';
import type { AppKey, FilterOwner, FilterPlan, FilterRule, ForcedPath, Plan } from '../plan.ts';
import { tableOf } from '../plan.ts';
import { highestId } from './identity.ts';
import { compileMatchSets } from './match-set.ts';
import {
  accessRules,
  byLevel,
  comment,
  espOfKernel,
  hex,
  idRanges,
  ip,
  quotedString,
  refusals,
  ruleNumbers,
  type CgroupName,
} from './ruleset-line.ts';

/** What the text depends on besides the plan. The cgroups must exist when it is loaded. */
export interface RulesetFacts {
  /** Cgroups of apps; an app that is missing here is let in nowhere. */
  readonly appCgroups: ReadonlyMap<AppKey, readonly CgroupName[]>;
  /** Cgroups of system services, such as `system.slice`: who counts as SYSTEM for incoming traffic. */
  readonly systemCgroups?: readonly CgroupName[];
  /**
   * `route_localnet` is set on the devices of ways that have name servers: queries of apps to a resolver on this machine (127.0.0.0/8) can
   * be led into the tunnel too. Otherwise they stay with that resolver.
   */
  readonly routeLocalnet?: boolean;
}

/** The table of nftables that is ours as a whole. */
export const nftTable = 'inet aovpn';

/**
 * Filters and forced paths as text for `nft -f -`, one transaction that replaces our table as a whole: there is no moment without it.
 * A plan that needs nothing removes the table. Within it the cost of a packet does not grow with the number of filters.
 */
export function printRuleset(plan: Plan, facts: RulesetFacts): string {
  const start = `table ${nftTable}\ndelete table ${nftTable}\n`;
  const forced = plan.apps.filter(({ force }) => force !== undefined);
  if (plan.filters.length === 0 && forced.length === 0) return start;
  const ruleset = new RulesetText(plan, facts);
  return `${start}\ntable ${nftTable} {\n${ruleset.text()}}\n`;
}

/**
 * A connection that a filter let pass. Its answers pass as well, and only its: whoever may send from any address (IPV6_FREEBIND asks for no
 * privilege), or sits in the local network, can make the kernel believe that the far side has begun a connection, beside the tunnel.
 */
const admitted = `ct mark & ${hex(admittedMark)} != 0`;

/** Their header names the next hop, so that nobody sees where they really go; IPV6_RTHDR asks for no privilege, IP_OPTIONS neither on older kernels. */
const sourceRoutes = ['ip option lsrr exists', 'ip option ssrr exists', 'exthdr rt exists'];

const queries = 'meta l4proto { tcp, udp } th dport 53';

class RulesetText {
  readonly #plan: Plan;
  readonly #facts: RulesetFacts;
  readonly #blocks: string[] = [];
  readonly #names = new Set<string>();

  constructor(plan: Plan, facts: RulesetFacts) {
    this.#plan = plan;
    this.#facts = facts;
  }

  text(): string {
    const dispatch = { out: [] as string[], in: [] as string[], forwardOut: [] as string[], forwardIn: [] as string[] };
    if (this.#plan.filters.length > 0) this.#verdicts();
    for (const filter of this.#plan.filters) {
      // No `_` in names from outside: it divides our own words, and chains of `corp` and `corp_system` would become one.
      const name = this.#unique(filter.device.replaceAll(/[^A-Za-z0-9]/g, '-'));
      const device = quotedString(filter.device);
      this.#filterChains(filter, name);
      dispatch.out.push(`${device} : goto out_${name}`);
      dispatch.in.push(`${device} : goto in_${name}`);
      dispatch.forwardOut.push(`${device} : goto forward_out_${name}`);
      dispatch.forwardIn.push(`${device} : goto forward_in_${name}`);
    }
    const output = this.#keepForced();
    output.push(...this.#leadNames());
    if (dispatch.out.length > 0) output.push(`oifname vmap { ${dispatch.out.join(', ')} }`);
    this.#base('output', 'output', 'filter', output);
    if (dispatch.in.length > 0) {
      this.#base('input', 'input', 'filter', [`iifname vmap { ${dispatch.in.join(', ')} }`]);
      // Two chains: what goes from one tunnel into another must pass both.
      this.#base('forward_out', 'forward', 'filter', [`oifname vmap { ${dispatch.forwardOut.join(', ')} }`]);
      this.#base('forward_in', 'forward', 'filter + 1', [`iifname vmap { ${dispatch.forwardIn.join(', ')} }`]);
    }
    this.#carryMarks();
    return this.#blocks.join('\n');
  }

  #filterChains(filter: FilterPlan, name: string): void {
    const out = filter.rules.filter(({ direction }) => direction === 'out');
    const inward = filter.rules.filter(({ direction }) => direction === 'in');
    const begin = [`ct state established ct direction reply ${admitted} accept`, 'ct state related accept'];

    this.#content(
      `out_${name}_any`,
      out.filter(({ owner }) => !owner),
    );
    this.#content(
      `in_${name}_any`,
      inward.filter(({ owner }) => !owner),
    );
    const users = this.#usersChain(
      `out_${name}_users`,
      out.filter(({ owner }) => owner?.access && !owner.apps && !owner.system),
    );
    this.#systemOut(
      `out_${name}_system`,
      out.filter(({ owner }) => owner?.system),
    );
    this.#content(
      `in_${name}_system`,
      inward.filter(({ owner }) => owner?.system),
    );

    const lastOut = [...(users ? [`jump ${users}`] : []), 'goto refuse_out'];
    const outApps = this.#appDispatch(`out_${name}`, out, lastOut);
    const inApps = this.#appDispatch(`in_${name}`, inward, ['goto refuse_in']);

    this.#chain(`out_${name}`, [
      `# ${comment(`profile ${JSON.stringify(filter.profile)}${filter.because.at ? ` line ${filter.because.at.line}` : ''}: ${filter.because.why}`)}`,
      ...begin,
      ...sourceRoutes.map((condition) => `${condition} goto refuse_out`),
      ...this.#jump(`out_${name}_any`),
      ...outApps,
      ...(users ? [`jump ${users}`] : []),
      ...this.#jump(`out_${name}_system`),
      'goto refuse_out',
    ]);
    const services = byLevel((this.#facts.systemCgroups ?? []).map((cgroup) => ({ cgroup, verdict: `jump in_${name}_system` })));
    const systemIn = this.#names.has(`in_${name}_system`)
      ? [...services, `socket wildcard { 0, 1 } goto refuse_in`, `jump in_${name}_system`]
      : [];
    this.#chain(`in_${name}`, [...begin, ...this.#jump(`in_${name}_any`), ...inApps, ...systemIn, 'goto refuse_in']);
    this.#chain(`forward_out_${name}`, [
      ...begin,
      ...this.#jump(`out_${name}_any`),
      'counter reject with icmpx admin-prohibited',
    ]);
    this.#chain(`forward_in_${name}`, [...begin, ...this.#jump(`in_${name}_any`), 'counter drop']);
  }

  /** Chains for the apps that rules name, and the rules that lead there; other apps go past SYSTEM. */
  #appDispatch(prefix: string, rules: readonly FilterRule[], last: readonly string[]): string[] {
    const byApp = new Map<AppKey, FilterRule[]>();
    for (const rule of rules) {
      for (const key of rule.owner?.apps ?? []) {
        const known = byApp.get(key);
        if (known) known.push(rule);
        else byApp.set(key, [rule]);
      }
    }
    // Without SYSTEM nobody needs to know who is some other app.
    if (byApp.size === 0 && !rules.some(({ owner }) => owner?.system)) return [];
    const targets: { cgroup: CgroupName; verdict: string }[] = [];
    const other = `${prefix}_other_app`;
    for (const { key } of this.#plan.apps) {
      const cgroups = this.#facts.appCgroups.get(key) ?? [];
      if (cgroups.length === 0) continue;
      const own = byApp.get(key) ?? [];
      const chain = own.length > 0 ? `${prefix}_app_${key}` : other;
      if (own.length > 0) this.#appChain(chain, own, last);
      else if (!this.#names.has(other)) this.#chain(other, last);
      for (const cgroup of cgroups) targets.push({ cgroup, verdict: `goto ${chain}` });
    }
    return byLevel(targets);
  }

  #appChain(name: string, rules: readonly FilterRule[], last: readonly string[]): void {
    this.#content(
      `${name}_any`,
      rules.filter(({ owner }) => !owner!.access),
    );
    const users = this.#usersChain(
      `${name}_users`,
      rules.filter(({ owner }) => owner!.access),
    );
    this.#chain(name, [...this.#jump(`${name}_any`), ...(users ? [`jump ${users}`] : []), ...last]);
  }

  /** Owners by Claims: one chain for each different list; undefined when there is none. */
  #usersChain(name: string, rules: readonly FilterRule[]): string | undefined {
    if (rules.length === 0) return undefined;
    const lists = new Map<string, { access: FilterOwner['access'] & {}; rules: FilterRule[] }>();
    for (const rule of rules) {
      const access = rule.owner!.access!;
      const key = JSON.stringify(access);
      const known = lists.get(key);
      if (known) known.rules.push(rule);
      else lists.set(key, { access, rules: [rule] });
    }
    const jumps: string[] = [];
    let count = 0;
    for (const { access, rules: own } of lists.values()) {
      const chain = `${name}_${++count}`;
      this.#content(`${chain}_allowed`, own);
      if (!this.#names.has(`${chain}_allowed`)) continue;
      this.#chain(
        chain,
        access.flatMap((entry) => accessRules(entry, `goto ${chain}_allowed`)),
      );
      jumps.push(`jump ${chain}`);
    }
    this.#chain(name, jumps);
    return name;
  }

  #systemOut(name: string, rules: readonly FilterRule[]): void {
    if (rules.length === 0) return;
    this.#content(`${name}_allowed`, rules);
    if (!this.#names.has(`${name}_allowed`)) return;
    // The first rule does not apply where there is no socket.
    this.#chain(name, ['meta skuid != 0 return', `goto ${name}_allowed`]);
  }

  /** A chain that accepts what the conditions of the rules say, owners aside. */
  #content(name: string, rules: readonly FilterRule[]): void {
    if (rules.length === 0) return;
    const direction = rules[0]!.direction;
    const lines: string[] = [];
    let count = 0;
    for (const match of compileMatchSets(rules, direction)) {
      const names = match.sets.map(() => `${name}_${++count}`);
      for (const [i, elements] of match.sets.entries()) {
        const types = match.kind === 'concatenated' ? match.fields.map(({ type }) => type) : [match.fields[i]!.type];
        this.#set(names[i]!, types, elements);
      }
      lines.push(`# ${comment(ruleNumbers(match))}`);
      const expressions = match.fields.map(({ expression }) => expression);
      if (match.fields.length === 0) lines.push('goto admit');
      else if (match.kind === 'concatenated') lines.push(`${expressions.join(' . ')} @${names[0]} goto admit`);
      else lines.push(`${expressions.map((expression, i) => `${expression} @${names[i]}`).join(' ')} goto admit`);
    }
    if (lines.length > 0) this.#chain(name, lines);
  }

  #verdicts(): void {
    // Neighbour discovery has no connection: the first line does not apply to it.
    this.#chain('admit', [`ct mark set ct mark | ${hex(admittedMark)} accept`, 'accept']);
    const established = '# the kernel still speaks for a socket that its program has closed: it was judged when it had an owner';
    this.#chain('refuse_out', [
      ...refusals(`meta skuid 0-${highestId}`),
      established,
      `ct state established ${admitted} accept`,
      ...refusals(),
    ]);
    this.#chain('refuse_in', [
      'socket wildcard { 0, 1 } counter drop',
      established,
      `ct state established ${admitted} accept`,
      'counter drop',
    ]);
  }

  /** Traffic of forced apps that is about to leave beside its tunnel is refused: a mark may be missing, a socket bound to another device. */
  #keepForced(): string[] {
    const targets: { cgroup: CgroupName; verdict: string }[] = [];
    for (const app of this.#plan.apps) {
      if (!app.force) continue;
      const chain = `keep_${app.force.table}`;
      if (!this.#names.has(chain)) this.#chain(chain, this.#keepRules(app.force));
      for (const cgroup of this.#facts.appCgroups.get(app.key) ?? []) targets.push({ cgroup, verdict: `jump ${chain}` });
    }
    return byLevel(targets).map((line) => `oifname != "lo" ${line}`);
  }

  #keepRules({ device, table, mark }: ForcedPath): string[] {
    const lines = device === undefined ? [] : [`oifname ${quotedString(device)} return`];
    const outer = this.#plan.tunnels.find((tunnel) => tunnel.device === device)?.outer;
    if (outer?.kernelEsp) {
      // The kernel's ESP has the socket of the app, and our mark, which the app's socket has not.
      const { family } = outer.gateway;
      const marks = `meta mark ${hex(outer.mark)} socket mark != ${hex(outer.mark)}`;
      lines.push(`${marks} ${ip(family)} daddr ${formatAddress(outer.gateway)} ${espOfKernel} return`);
    }
    const users = this.#plan.rules
      .filter((rule) => rule.family === 4 && rule.mark === mark && rule.users)
      .map((rule) => rule.users!);
    if (users.length > 0) lines.push(`meta skuid != { ${idRanges(users)} } return`);
    for (const family of [4, 6] as const) {
      const direct = this.#plan.routes
        .filter((route) => tableOf(route) === table && route.kind === 'throw' && route.prefix.address.family === family)
        .map(({ prefix }) => formatPrefix(prefix));
      if (direct.length > 0) lines.push(`${ip(family)} daddr { ${direct.join(', ')} } return`);
    }
    return [...lines, ...refusals()];
  }

  /**
   * Queries of forced apps go to the name servers of their tunnel, whatever resolver they were meant for; while it is down there is no
   * answer. What this returns belongs into the output chain.
   */
  #leadNames(): string[] {
    const led: { cgroup: CgroupName; verdict: string }[] = [];
    const refused: { cgroup: CgroupName; verdict: string }[] = [];
    const devices = new Set<string>();
    for (const { key, force } of this.#plan.apps) {
      if (!force) continue;
      const { device, dns = [], table } = force;
      const chain = device === undefined ? 'refuse_names' : `names_${table}`;
      const targets = device === undefined ? refused : led;
      if (device !== undefined && dns.length === 0) continue;
      if (!this.#names.has(chain)) this.#chain(chain, device === undefined ? refusals() : this.#nameRules(force));
      if (device !== undefined) devices.add(device);
      for (const cgroup of this.#facts.appCgroups.get(key) ?? []) targets.push({ cgroup, verdict: `goto ${chain}` });
    }
    // The numbers of priorities dstnat and srcnat, which nft knows by name only in other hooks.
    this.#base(
      'lead_names',
      'output',
      '-100',
      byLevel(led).map((line) => `${queries} ${line}`),
      'nat',
    );
    if (led.length > 0 && this.#facts.routeLocalnet === true) {
      const own = `{ ${[...devices].map((device) => quotedString(device)).join(', ')} }`;
      this.#base('names_source', 'postrouting', '100', [`oifname ${own} ip saddr 127.0.0.0/8 masquerade`], 'nat');
      // With route_localnet the far side could reach what listens on loopback.
      this.#base('guard_loopback', 'prerouting', 'raw', [
        `iifname ${own} ip daddr 127.0.0.0/8 counter drop`,
        `iifname ${own} ip saddr 127.0.0.0/8 counter drop`,
      ]);
    }
    return byLevel(refused).map((line) => `oifname "lo" ${queries} ${line}`);
  }

  #nameRules({ dns = [], mark, mask }: ForcedPath): string[] {
    const lines = this.#facts.routeLocalnet === true ? [] : ['ip daddr 127.0.0.0/8 return'];
    lines.push('ip6 daddr ::1 return');
    for (const family of [4, 6] as const) {
      const servers = dns.filter((address) => address.family === family).map(formatAddress);
      if (servers.length === 0) continue;
      lines.push(`${ip(family)} daddr { ${servers.join(', ')} } return`);
      // Admitted here already: a query that a program meant for its own loopback still counts as leaving by "lo" where filters look.
      const marks = hex((mark | admittedMark) >>> 0);
      const others = hex(~(mask | admittedMark) >>> 0);
      lines.push(`meta nfproto ipv${family} ct mark set ct mark & ${others} | ${marks} dnat ${ip(family)} to ${servers[0]}`);
    }
    return lines;
  }

  /** The mark of a connection lets the reverse path check find the way of its answers. */
  #carryMarks(): void {
    const ways = new Map<number, ForcedPath>();
    for (const { force } of this.#plan.apps) if (force?.device !== undefined) ways.set(force.mark, force);
    if (ways.size === 0) return;
    const save: string[] = [];
    const restore: string[] = [];
    for (const { mark, mask, device } of ways.values()) {
      const others = hex(~mask >>> 0);
      const set = (target: string): string => `${target} mark set ${target} mark & ${others} | ${hex(mark)}`;
      save.push(`oifname ${quotedString(device!)} meta mark & ${hex(mask)} == ${hex(mark)} ${set('ct')}`);
      restore.push(`iifname ${quotedString(device!)} ct mark & ${hex(mask)} == ${hex(mark)} ${set('meta')}`);
    }
    this.#base('save_marks', 'output', 'mangle', save);
    this.#base('restore_marks', 'prerouting', 'mangle', restore);
  }

  #jump(chain: string): string[] {
    return this.#names.has(chain) ? [`jump ${chain}`] : [];
  }

  #base(name: string, hook: string, priority: string, rules: readonly string[], type: 'filter' | 'nat' = 'filter'): void {
    if (rules.length > 0) this.#chain(name, [`type ${type} hook ${hook} priority ${priority}`, 'policy accept', ...rules]);
  }

  #chain(name: string, lines: readonly string[]): void {
    this.#names.add(name);
    this.#blocks.push(`  chain ${name} {\n${lines.map((line) => `    ${line}\n`).join('')}  }\n`);
  }

  #set(name: string, types: readonly string[], elements: readonly string[]): void {
    const list = elements.map((element) => `      ${element}`).join(',\n');
    this.#blocks.push(
      `  set ${name} {\n    type ${types.join(' . ')}\n    flags interval\n    elements = {\n${list}\n    }\n  }\n`,
    );
  }

  #unique(wanted: string): string {
    let name = wanted;
    for (let i = 2; this.#names.has(`out_${name}`); i++) name = `${wanted}.${i}`;
    return name;
  }
}
