import { formatAddress, formatPrefix, type IpFamily } from '@aovpn/bytes';
import { describeServers } from './dns/compile-dns.ts';
import { formatBecause, type Because } from './facts.ts';
import { describeRule } from './filter/describe-rule.ts';
import { describeApp } from './filter/diff-filters.ts';
import { placeOf } from './filter/problem.ts';
import { routeProtocol } from './linux-number.ts';
import { lockdownRules } from './lockdown/lockdown-rule.ts';
import { describeProxy } from './proxy/print-pac.ts';
import { describeGuard } from './route/print-guard.ts';
import { tableOf, type DnsRule, type Plan, type RoutePlan, type RulePlan } from './plan.ts';

/** One line of a plan: what it is in the words of Linux, and why. */
export interface PlanItem {
  readonly section: 'lockdown' | 'devices' | 'routes' | 'rules' | 'guards' | 'names' | 'proxy' | 'filters' | 'apps' | 'problems';
  /** The heading above it. */
  readonly heading: string;
  readonly text: string;
  readonly because?: Because;
}

/** The plan line by line, in the order in which {@link printPlan} shows it. */
export function listPlan(plan: Plan): readonly PlanItem[] {
  const items: PlanItem[] = [];
  let section: PlanItem['section'] = 'devices';
  let heading = 'devices';
  const begin = (next: PlanItem['section'], title: string = next): void => {
    section = next;
    heading = title;
  };
  const add = (text: string, because?: Because): void => void items.push({ section, heading, text, ...(because && { because }) });
  if (plan.lockdown) {
    begin('lockdown', 'lockdown: all that may leave this machine');
    for (const { text, because } of lockdownRules(plan.lockdown)) add(text, because);
  }
  begin('devices');
  for (const { device, mtu, addresses, metric, because } of plan.tunnels) {
    add(`ip link set dev ${device} mtu ${mtu} up`, {
      ...because,
      why: `${because.why}; interface metric ${metric.v4}/${metric.v6}`,
    });
    for (const prefix of addresses) {
      const nodad = prefix.address.family === 6 ? ' nodad' : '';
      add(`ip address add ${formatPrefix(prefix)} dev ${device} noprefixroute${nodad}`, {
        ...because,
        why: 'assigned by the gateway',
      });
    }
  }
  begin('routes');
  for (const route of plan.routes) add(printRoute(route), route.because);
  begin('rules');
  for (const rule of plan.rules) add(printRule(rule), rule.because);
  begin('guards');
  for (const tunnel of plan.tunnels)
    for (const text of describeGuard(tunnel)) add(text, { profile: '', why: 'what is the tunnel’s stays with the tunnel' });
  begin('names', `names, through ${plan.dns.resolver === 'stub' ? 'our own stub resolver' : 'systemd-resolved'}`);
  for (const rule of plan.dns.rules) {
    const device = rule.device === undefined || rule.servers.length === 0 ? '' : ` dev ${rule.device}`;
    add(`name ${rule.name} ${describeServers(rule, plan.dns)}${device}${describeTrigger(rule)}`, rule.because);
    for (const { because, reason } of rule.instead) add(`# not ${rule.name} of ${formatBecause(because)}: ${reason}`);
  }
  for (const { name, because, why } of plan.dns.asleep ?? []) add(`# AutoTrigger of ${name} is out of force: ${why}`, because);
  if (plan.dns.unruled) add(`other names ${plan.dns.physical.map(formatAddress).join(' ') || 'as before'}`, plan.dns.unruled);
  for (const { domain, because } of plan.dns.search) add(`search ${domain}`, because);
  for (const { addresses, servers, domain, device, because } of plan.dns.registrations) {
    const where = `${domain === undefined ? '' : ` in ${domain}`} at ${servers.map(formatAddress).join(' ')} dev ${device}`;
    add(`register ${addresses.map(formatAddress).join(' ')}${where}`, because);
  }
  for (const { user, rules, devices } of plan.dns.users ?? []) {
    begin('names', `names of user ${user}, through our own stub resolver`);
    // What holds for everybody stands above.
    for (const rule of rules.filter(({ device }) => device !== undefined && devices.includes(device)))
      add(
        `name ${rule.name} ${describeServers(rule, plan.dns)}${rule.servers.length === 0 ? '' : ` dev ${rule.device}`}`,
        rule.because,
      );
  }
  if (plan.proxy) {
    begin('proxy');
    for (const { text, because } of describeProxy(plan.proxy)) add(text, because);
  }
  for (const { device, rules, unusable, because } of plan.filters) {
    begin('filters', `filters of ${device}: answers, and what one of these allows`);
    for (const rule of rules) add(`filter ${device} allow ${describeRule(rule)}`, rule.because);
    for (const dead of unusable) add(`filter ${device} never`, dead.because);
    add(`filter ${device} refuse everything else`, because);
  }
  begin('apps');
  for (const app of plan.apps) add(describeApp(app), app.because);
  begin('problems');
  for (const { code, severity, profile, at, path, message } of plan.problems)
    add(`# ${severity} ${code} profile ${JSON.stringify(profile)} ${placeOf({ at, path })}: ${message}`);
  return items;
}

/**
 * The plan as text that a Linux administrator can review: devices, routes and rules in the words of `ip`, then names.
 * Every line ends with the reason, `# profile "X" line N: why`.
 */
export function printPlan(plan: Plan): string {
  const items = listPlan(plan);
  if (items.length === 0) return '# nothing: no tunnel, the machine is as it was\n';
  // Reasons in one column, but no longer line than needed for a stray long one.
  const column = items.reduce((widest, { text, because }) => Math.min(72, Math.max(widest, because ? text.length : 0)), 0);
  let last = '';
  const lines = items.flatMap(({ heading, text, because }, i) => {
    const above = heading === last ? [] : [`${i > 0 ? '\n' : ''}# ${heading}`];
    last = heading;
    return [...above, because ? `${text.padEnd(column)}  # ${formatBecause(because)}` : text];
  });
  return `${lines.join('\n')}\n`;
}

function describeTrigger({ trigger }: DnsRule): string {
  switch (trigger?.kind) {
    case 'wait':
      return ' once it has brought the tunnel up';
    case 'refuse':
      return ` refused: ${trigger.why}`;
    case 'up':
    case undefined:
      return '';
  }
}

/** One route as an `ip` command without its reason. */
export function printRoute(route: RoutePlan): string {
  const type = route.kind === 'tunnel' ? '' : `${route.kind} `;
  const via = route.kind === 'tunnel' ? ` dev ${route.device}${route.source ? ` src ${formatAddress(route.source)}` : ''}` : '';
  const prefix = route.prefix.length === 0 ? 'default' : formatPrefix(route.prefix);
  return `${ip(route.prefix.address.family)} route add ${type}${prefix}${via} metric ${route.metric} table ${tableOf(route)} proto ${routeProtocol}`;
}

/** One rule as an `ip` command without its reason. */
export function printRule({ family, priority, mark, mask, users, action }: RulePlan): string {
  const hex = (value: number): string => `0x${value.toString(16)}`;
  const bits = mark === undefined ? [] : [`fwmark ${hex(mark)}${mask === undefined ? '' : `/${hex(mask)}`}`];
  const owner = users ? [`uidrange ${users.from}-${users.to}`] : [];
  const selector = [...bits, ...owner].join(' ') || 'from all';
  const then = action.kind === 'lookup' ? `lookup ${action.table}` : action.kind === 'goto' ? `goto ${action.priority}` : 'nop';
  return `${ip(family)} rule add priority ${priority} ${selector} ${then} protocol ${routeProtocol}`;
}

function ip(family: IpFamily): string {
  return `ip -${family}`;
}
