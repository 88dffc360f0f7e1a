import { formatAddress, parseAddress } from '@aovpn/bytes';
import { normaliseDomain } from '../domain-name.ts';

/** A web proxy: host name in lower case or address without brackets, and TCP port. */
export interface ProxyServer {
  readonly host: string;
  readonly port: number;
}

/** What Windows stores when none is written. */
const defaultPort = 80;

/** Reads `host`, `host:port`, `[v6]:port`, each with `http://` in front or not, as Windows does; undefined for anything else. */
export function parseProxyServer(text: string): ProxyServer | undefined {
  const bare = text
    .trim()
    .replace(/^http:\/\//i, '')
    .replace(/\/$/, '');
  const alone = parseAddress(bare);
  const match = alone ? undefined : /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(\d{1,5}))?$/.exec(bare);
  const written = alone ? bare : (match?.[1] ?? match?.[2]);
  if (written === undefined) return undefined;
  const port = match?.[3] === undefined ? defaultPort : Number(match[3]);
  if (port < 1 || port > 65_535) return undefined;
  const address = parseAddress(written);
  if (address) return { host: formatAddress(address), port };
  // What looks like an address and is none must not be asked for as a name; brackets are for addresses.
  if (match?.[1] !== undefined || /^[\d.]*$/.test(written)) return undefined;
  const host = normaliseDomain(written);
  return host !== undefined && /^[a-z0-9_.-]+$/.test(host) ? { host, port } : undefined;
}

export function formatProxyServer({ host, port }: ProxyServer): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** A script that browsers may be sent for: http or https, nothing that a shell or a settings file could mistake. */
export function parseScriptUrl(text: string): string | undefined {
  const url = text.trim();
  return url.length <= 2048 && /^https?:\/\/[A-Za-z0-9\-._~:/?#[\]@!$&()*+,;=%]+$/i.test(url) ? url : undefined;
}
