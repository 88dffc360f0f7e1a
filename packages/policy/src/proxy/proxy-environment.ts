import type { ProxyPlan } from './proxy-plan.ts';
import { neverProxied } from './print-pac.ts';
import { formatProxyServer } from './proxy-server.ts';

/**
 * Variables that command line programs heed. They know no scripts: with an automatic configuration elsewhere there is nothing to say, and of
 * name rules nothing but what goes for everything else.
 */
export function proxyEnvironment({ otherwise }: ProxyPlan): Readonly<Record<string, string>> {
  if (!otherwise) return {};
  const url = `http://${formatProxyServer(otherwise)}`;
  const names = ['http_proxy', 'https_proxy', 'ftp_proxy', 'HTTPS_PROXY', 'FTP_PROXY'];
  const except = neverProxied.join(',');
  // HTTP_PROXY in capitals is left out: CGI programs take it from a header of the request (CVE-2016-5385).
  return { ...Object.fromEntries(names.map((name) => [name, url])), no_proxy: except, NO_PROXY: except };
}
