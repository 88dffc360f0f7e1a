import { formatAddress } from '@aovpn/bytes';
import { parseResolvConf } from './resolv-conf.ts';

/** All that the decision needs to know about the machine. */
export interface ResolverEnvironment {
  /** Text of resolv.conf as it is without us. */
  readonly resolvConf: string;
  /** Where resolv.conf points when it is a symbolic link. */
  readonly resolvConfLink?: string;
  /** Whether org.freedesktop.resolve1 is alive on the system bus. */
  readonly resolvedRunning: boolean;
}

export interface ResolverDecision {
  readonly owner: 'systemd-resolved' | 'stub';
  /** Each fact that led to it, one a line, the conclusion last. */
  readonly trace: readonly string[];
}

/** What resolv.conf says when systemd-resolved is to be asked (systemd-resolved.service(8), "/etc/resolv.conf"). */
const resolvedAddresses = ['127.0.0.53', '127.0.0.54'];

/**
 * Who must know our name rules. systemd-resolved only if programs really ask it: it runs, and resolv.conf sends them there. In every other
 * case (a plain file, NetworkManager, dhclient, resolvconf) our own stub takes resolv.conf's place.
 */
export function decideResolver(environment: ResolverEnvironment): ResolverDecision {
  const trace: string[] = [];
  const { nameservers } = parseResolvConf(environment.resolvConf);
  const written = nameservers.map(formatAddress);
  trace.push(
    `resolv.conf ${environment.resolvConfLink === undefined ? 'is a file' : `is a link to ${environment.resolvConfLink}`}`,
  );
  trace.push(written.length > 0 ? `it names ${written.join(' ')}` : 'it names no server');
  trace.push(
    environment.resolvedRunning
      ? 'systemd-resolved answers on the system bus'
      : 'systemd-resolved does not answer on the system bus',
  );
  const asked = written.length > 0 && written.every((address) => resolvedAddresses.includes(address));
  if (environment.resolvedRunning && asked) {
    trace.push('programs ask systemd-resolved: our name rules go there');
    return { owner: 'systemd-resolved', trace };
  }
  if (asked) trace.push('resolv.conf names systemd-resolved, but it is not there');
  else if (environment.resolvedRunning)
    trace.push('resolv.conf goes past systemd-resolved, so rules in it would not bind programs');
  trace.push('our own stub resolver takes resolv.conf over while name rules are in force');
  return { owner: 'stub', trace };
}
