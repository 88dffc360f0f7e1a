import { formatProxyServer, type ProxyServer } from './proxy-server.ts';
import type { ProxyPlan } from './proxy-plan.ts';

/** Hosts that are this machine: never through a proxy. */
export const neverProxied = ['localhost', '127.0.0.0/8', '::1'] as const;

/**
 * The script that browsers ask about each page (proxy auto-config). Its work does not grow with the number of rules: one look into a table for each label
 * of the name. Names and servers stand in it as JSON, so nothing of a profile is ever code.
 */
export function printPac({ rules, otherwise }: Pick<ProxyPlan, 'rules' | 'otherwise'>): string {
  const answer = (server: ProxyServer | undefined): string => (server ? `PROXY ${formatProxyServer(server)}` : 'DIRECT');
  const exact: Record<string, string> = {};
  const suffix: Record<string, string> = {};
  let rest = answer(otherwise);
  const fallback = rest;
  for (const { name, server } of rules) {
    const value = server ? answer(server) : fallback;
    if (name === '.') rest = value;
    else if (name.startsWith('.')) suffix[name.slice(1)] = value;
    else exact[name] = value;
  }
  return `// Made by aovpn from the name rules of the tunnels that are up.
var exact = ${JSON.stringify(exact)};
var suffix = ${JSON.stringify(suffix)};
function has(table, name) {
  return Object.prototype.hasOwnProperty.call(table, name);
}
function FindProxyForURL(url, host) {
  var name = String(host).toLowerCase().replace(/\\.$/, '');
  if (name === 'localhost' || /^127\\.[0-9.]+$/.test(name) || name === '::1' || name === '[::1]') return 'DIRECT';
  if (has(exact, name)) return exact[name];
  while (name !== '') {
    if (has(suffix, name)) return suffix[name];
    var dot = name.indexOf('.');
    name = dot < 0 ? '' : name.slice(dot + 1);
  }
  return ${JSON.stringify(rest)};
}
`;
}

/** The plan line by line, without reasons. */
export function describeProxy(proxy: ProxyPlan): readonly { readonly text: string; readonly because: ProxyPlan['because'] }[] {
  if (proxy.autoConfigUrl !== undefined) return [{ text: `proxy script ${proxy.autoConfigUrl}`, because: proxy.because }];
  const except = `except ${neverProxied.join(' ')}`;
  return [
    ...proxy.rules.map(({ name, server, because }) => ({
      text: `proxy ${name} ${server ? formatProxyServer(server) : 'as everything else'}`,
      because,
    })),
    ...(proxy.otherwise
      ? [{ text: `proxy everything else ${formatProxyServer(proxy.otherwise)} ${except}`, because: proxy.because }]
      : []),
  ];
}
