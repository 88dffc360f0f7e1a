/** Where the daemon says what proxies programs of people are to use; absent: none of ours. Written by root, for everybody to read. */
export const proxyNoticeFile = '/run/aovpn/proxy.json';
/** The same as variables, one `NAME=VALUE` a line, for shells and systemd's user environment generators. */
export const proxyEnvironmentFile = '/run/aovpn/proxy.env';

/** Content of {@link proxyNoticeFile}. */
export interface ProxyNotice {
  readonly version: 1;
  /** Of the daemon: when it is gone without having taken this back, it does not count any more. */
  readonly pid: number;
  readonly mode: 'manual' | 'auto';
  /** With `manual`. Addresses without brackets. */
  readonly server?: { readonly host: string; readonly port: number };
  /** With `auto`: where the script is. */
  readonly url?: string;
  /** Hosts that are never asked for through the proxy. */
  readonly except: readonly string[];
}

export const maxNoticeBytes = 64 * 1024;

/** Reads a notice; undefined for anything else. */
export function parseProxyNotice(text: string): ProxyNotice | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { version, pid, mode, server, url, except } = value as Record<string, unknown>;
  if (version !== 1 || !Number.isSafeInteger(pid) || (pid as number) < 1) return undefined;
  if (!Array.isArray(except) || !except.every((host) => typeof host === 'string' && /^[A-Za-z0-9.:/_-]{1,253}$/.test(host)))
    return undefined;
  const common = { version, pid: pid as number, except: except as readonly string[] } as const;
  if (mode === 'auto' && typeof url === 'string' && /^https?:\/\/[\x21-\x26\x28-\x5b\x5d-\x7e]{1,2048}$/.test(url))
    return { ...common, mode, url };
  if (mode !== 'manual' || typeof server !== 'object' || server === null) return undefined;
  const { host, port } = server as Record<string, unknown>;
  if (typeof host !== 'string' || !/^[A-Za-z0-9.:_-]{1,253}$/.test(host)) return undefined;
  if (!Number.isSafeInteger(port) || (port as number) < 1 || (port as number) > 65_535) return undefined;
  return { ...common, mode, server: { host, port: port as number } };
}
