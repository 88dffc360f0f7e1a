import type { ResolvConfPlace } from '../resolver/resolv-conf-journal.ts';
import { releasePlace } from '../resolver/resolver-place.ts';
import {
  deleteLinkRequest,
  isOurs,
  readLinks,
  readOurRoutes,
  readOurRules,
  removeKernelRouteRequest,
  ruleRequest,
} from './kernel-network.ts';
import { removeGuard } from './guard.ts';
import { defaultResolvConf, defaultRunDirectory, defaultStateDirectory } from './place.ts';
import { openRouteSocket, type RouteSocket } from './route-socket.ts';
import { cleanUpXfrm } from '../xfrm/xfrm-clean-up.ts';

/** What was found and removed. */
export interface CleanUpReport {
  readonly rules: number;
  readonly routes: number;
  readonly devices: readonly string[];
  /** SAs and policies in the kernel. */
  readonly ipsec: number;
  /** `kept`: somebody else has changed resolv.conf since, and theirs stays. */
  readonly resolver: 'nothing' | 'restored' | 'kept';
  /** What could not be removed and why; empty: nothing of ours is left. */
  readonly problems: readonly string[];
}

/**
 * Removes everything of ours with no memory of what ran before: rules by priority and protocol, routes by table and protocol, devices by
 * name and kind, SAs and policies by interface id, resolv.conf by its journal or by our record with resolvconf. Every step is tried,
 * whatever happens to the others. Rules of systemd-resolved go with their
 * devices. Not to be called while another daemon of ours runs.
 * @throws {HostError} AOV-HOST-300 when the kernel cannot even be asked
 */
export async function cleanUp(place: Partial<ResolvConfPlace> & { readonly runDirectory?: string } = {}): Promise<CleanUpReport> {
  const problems: string[] = [];
  const attempt = <T>(what: string, act: () => T, otherwise: T): T => {
    try {
      return act();
    } catch (error) {
      problems.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
      return otherwise;
    }
  };
  const socket = openRouteSocket();
  try {
    let resolver: CleanUpReport['resolver'] = 'nothing';
    try {
      resolver = await releasePlace({
        resolvConf: place.resolvConf ?? defaultResolvConf,
        stateDirectory: place.stateDirectory ?? defaultStateDirectory,
      });
    } catch (error) {
      problems.push(`resolver: ${error instanceof Error ? error.message : String(error)}`);
    }
    // The look-up first: from then on the machine's own routing decides again.
    const order = { lookup: 0, goto: 1, nop: 2 };
    const rules = attempt('rules', () => readOurRules(socket).sort((a, b) => order[a.action.kind] - order[b.action.kind]), []);
    const rulesGone = remove(
      socket,
      'rule',
      rules.map((rule) => ruleRequest('remove', rule)),
      problems,
    );
    const routes = attempt('routes', () => readOurRoutes(socket), []);
    const routesGone = remove(socket, 'route', routes.map(removeKernelRouteRequest), problems);
    const links = attempt('devices', () => readLinks(socket).filter(isOurs), []);
    remove(
      socket,
      'device',
      links.map(({ index }) => deleteLinkRequest(index)),
      problems,
    );
    const left = new Set(attempt('devices', () => readLinks(socket).filter(isOurs), []).map(({ name }) => name));
    const devices = links.map(({ name }) => name).filter((name) => !left.has(name));
    problems.push(...(await removeGuard(place.runDirectory ?? defaultRunDirectory)));
    // Behind the devices: what still came out of the kernel's ESP has nowhere to go by then.
    const ipsec = attempt('IPsec', cleanUpXfrm, { states: 0, policies: 0, problems: [] });
    problems.push(...ipsec.problems);
    return { rules: rulesGone, routes: routesGone, devices, ipsec: ipsec.states + ipsec.policies, resolver, problems };
  } finally {
    socket.close();
  }
}

function remove(socket: RouteSocket, what: string, requests: Parameters<RouteSocket['request']>[0], problems: string[]): number {
  let gone = 0;
  for (const answer of socket.request(requests)) {
    if (answer.ok) gone++;
    else if (!['ESRCH', 'ENOENT', 'ENODEV'].includes(answer.code)) problems.push(`${what}: ${answer.said}`);
  }
  return gone;
}
