import type { Because } from '../facts.ts';
import type { ProxyServer } from './proxy-server.ts';

/** What programs of people are told about web proxies while a tunnel is up. */
export interface ProxyPlan {
  /** For all that no rule is about; absent: no proxy. */
  readonly otherwise?: ProxyServer;
  /** WebProxyServers of name rules; with any of them programs are sent for a script that we serve. */
  readonly rules: readonly ProxyRule[];
  /** A script elsewhere decides about everything; then there is nothing else. */
  readonly autoConfigUrl?: string;
  /** Why there is one, or why there is this one. */
  readonly because: Because;
}

/** Names as in name rules: `.corp.example`, `host.corp.example` or `.`. */
export interface ProxyRule {
  readonly name: string;
  /** Absent: as `otherwise`, an exception from a wider rule. */
  readonly server?: ProxyServer;
  readonly because: Because;
}
