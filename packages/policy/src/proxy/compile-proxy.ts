import type { LiveTunnel } from '../compile-plan.ts';
import { compileNameMatcher } from '../domain-name.ts';
import { FilterProblems, type FilterProblem } from '../filter/problem.ts';
import type { Plan } from '../plan.ts';
import type { ProxyPlan, ProxyRule } from './proxy-plan.ts';
import type { ProxyServer } from './proxy-server.ts';

/**
 * The proxies of the tunnels that are up. Proxy counts under force tunnel only, as in Windows, the manual one before the script; of several
 * tunnels the most preferred decides. WebProxyServers of name rules count under split tunnel too.
 * @param tunnels most preferred first
 */
export function compileProxy(tunnels: readonly LiveTunnel[]): {
  readonly proxy: ProxyPlan | undefined;
  readonly problems: readonly FilterProblem[];
} {
  const problems: FilterProblem[] = [];
  const rules = new Map<string, ProxyRule>();
  let whole: Omit<ProxyPlan, 'rules'> | undefined;
  for (const { intent } of tunnels) {
    const own = new FilterProblems(intent.name);
    const { manual, autoConfigUrl } = intent.proxy;
    const written = manual ?? autoConfigUrl;
    if (written && intent.routing.value !== 'ForceTunnel')
      own.add('proxyUnderSplit', written.because.at ?? { line: 1, column: 1 }, 'VPNProfile/Proxy', intent.routing.because.why);
    else if (manual) whole ??= { otherwise: manual.value, because: manual.because };
    else if (autoConfigUrl) whole ??= { autoConfigUrl: autoConfigUrl.value, because: autoConfigUrl.because };
    for (const { name, webProxy, because } of intent.nameRules)
      if (!rules.has(name))
        rules.set(name, { name, ...(webProxy && { server: webProxy.value }), because: webProxy?.because ?? because });
    problems.push(...own.list);
  }
  const first = [...rules.values()].find(({ server }) => server !== undefined);
  if (whole?.autoConfigUrl !== undefined) {
    if (first) {
      const own = new FilterProblems(first.because.profile);
      own.add(
        'webProxyIgnored',
        first.because.at ?? { line: 1, column: 1 },
        'VPNProfile/DomainNameInformation/WebProxyServers',
        first.name,
      );
      problems.push(...own.list);
    }
    return { proxy: { ...whole, rules: [] }, problems };
  }
  if (!first) return { proxy: whole && { ...whole, rules: [] }, problems };
  const sorted = [...rules.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  return { proxy: { because: first.because, ...whole, rules: sorted }, problems };
}

/** What a browser does with a host name; `script`: that only the script elsewhere knows. */
export function proxyOf({ proxy }: Pick<Plan, 'proxy'>, host: string): ProxyServer | 'direct' | 'script' {
  if (!proxy) return 'direct';
  if (proxy.autoConfigUrl !== undefined) return 'script';
  return compileNameMatcher(proxy.rules)(host)?.server ?? proxy.otherwise ?? 'direct';
}
