import { formatAddress, formatPrefix, type IpFamily } from '@aovpn/bytes';
import { describeServers } from './compile-dns.ts';
import { formatBecause, type Because } from './facts.ts';
import { describeRule } from './filter/describe-rule.ts';
import { describeApp } from './filter/diff-filters.ts';
import { routeProtocol } from './linux-number.ts';
import { tableOf, type Plan, type RoutePlan, type RulePlan } from './plan.ts';

/**
 * The plan as text that a Linux administrator can review: devices, routes and rules in the words of `ip`, then names.
 * Every line ends with the reason, `# profile "X" line N: why`.
 */
export function printPlan(plan: Plan): string {
  const lines: Line[] = [];
  const heading = (text: string): void => {
    lines.push({ text: `${lines.length > 0 ? '\n' : ''}# ${text}` });
  };
  if (plan.tunnels.length > 0) heading('devices');
  for (const { device, mtu, addresses, metric, because } of plan.tunnels) {
    lines.push({
      text: `ip link set dev ${device} mtu ${mtu} up`,
      because: { ...because, why: `${because.why}; interface metric ${metric.v4}/${metric.v6}` },
    });
    for (const prefix of addresses) {
      const noprefixroute = prefix.address.family === 6 ? ' nodad' : '';
      lines.push({
        text: `ip address add ${formatPrefix(prefix)} dev ${device} noprefixroute${noprefixroute}`,
        because: { ...because, why: 'assigned by the gateway' },
      });
    }
  }
  if (plan.routes.length > 0) heading('routes');
  for (const route of plan.routes) lines.push({ text: printRoute(route), because: route.because });
  if (plan.rules.length > 0) heading('rules');
  for (const rule of plan.rules) lines.push({ text: printRule(rule), because: rule.because });
  if (plan.dns.rules.length > 0 || plan.dns.search.length > 0)
    heading(`names, through ${plan.dns.resolver === 'stub' ? 'our own stub resolver' : 'systemd-resolved'}`);
  for (const rule of plan.dns.rules) {
    lines.push({
      text: `name ${rule.name} ${describeServers(rule, plan.dns)}${rule.device === undefined || rule.servers.length === 0 ? '' : ` dev ${rule.device}`}`,
      because: rule.because,
    });
    for (const loser of rule.instead) lines.push({ text: `# not ${rule.name} of ${formatBecause(loser)}` });
  }
  for (const { domain, because } of plan.dns.search) lines.push({ text: `search ${domain}`, because });
  for (const { device, rules, unusable, because } of plan.filters) {
    heading(`filters of ${device}: answers, and what one of these allows`);
    for (const rule of rules) lines.push({ text: `filter ${device} allow ${describeRule(rule)}`, because: rule.because });
    for (const dead of unusable) lines.push({ text: `filter ${device} never`, because: dead.because });
    lines.push({ text: `filter ${device} refuse everything else`, because });
  }
  if (plan.apps.length > 0) heading('apps');
  for (const app of plan.apps) lines.push({ text: describeApp(app), because: app.because });
  if (plan.problems.length > 0) heading('problems');
  for (const { code, severity, profile, at, path, message } of plan.problems)
    lines.push({ text: `# ${severity} ${code} profile ${JSON.stringify(profile)} line ${at.line} ${path}: ${message}` });
  if (lines.length === 0) return '# nothing: no tunnel, the machine is as it was\n';
  // Reasons in one column, but no longer line than needed for a stray long one.
  const column = lines.reduce((widest, { text, because }) => Math.min(72, Math.max(widest, because ? text.length : 0)), 0);
  return `${lines.map(({ text, because }) => (because ? `${text.padEnd(column)}  # ${formatBecause(because)}` : text)).join('\n')}\n`;
}

interface Line {
  readonly text: string;
  readonly because?: Because;
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
