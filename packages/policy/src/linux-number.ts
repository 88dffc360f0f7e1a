/** Our own choices of Linux numbers; nothing else in the product uses a bare one. After the number of the IKEv2 RFC, 7296. */

/** The one routing table of all tunnels. */
export const routingTable = 7296;

/** `rtm_protocol` of every route and rule that we make: how they are found again with no memory of what ran before. */
export const routeProtocol = 96;

/** Every `ip rule` of ours has a priority in this range, both ends included. */
export const rulePriorities = { first: 7200, last: 7299 } as const;

/** Packets with our mark jump over our table. */
export const markRulePriority = 7210;
/** Everything else looks into our table. */
export const tableRulePriority = 7220;
/** Sockets of apps whose traffic must all go into one tunnel look into its table, before anything else but our outer packets. */
export const appRulePriority = 7212;
/** So do users (Claims with ForceTunnel); an app's rule goes first. */
export const userRulePriority = 7214;
/** So do users with tunnels that are theirs alone. */
export const scopeRulePriority = 7216;
/** Where the jump lands. */
export const landingRulePriority = 7290;

/** Every device of ours has a name that begins so; a device of that name without owner is a leftover. */
export const devicePrefix = 'aov';

/** Interface metric when the profile has none; Windows calls its own choice "automatic". */
export const automaticInterfaceMetric = 25;
/** Metric of a route on top of the interface metric, when the profile has none. */
export const defaultRouteMetric = 1;
/** Windows' highest metric of a route or an interface. */
export const highestMetric = 9999;
/** `throw` routes never compete with a tunnel route of the same prefix; the compiler sees to it. */
export const throwMetric = 1;
/** Behind every possible tunnel route: what is left when the tunnel's device is gone. */
export const unreachableMetric = 100_000;

/**
 * The bits of a socket's mark that are ours; all others are left as they are. Bits 24–27 are used by nobody that is common: kube-proxy has
 * bits 14 and 15, Tailscale 16–23, Docker's swarm the low ones, wg-quick compares the whole mark with 0xca6c.
 */
export const appMarkMask = 0x0f00_0000;

/** The bit of a connection's mark (never of a packet's) that says that a filter let it pass; others are left as they are. */
export const admittedMark = 0x1000_0000;

/** Ways are numbered from 1; this one leads nowhere and takes all that are too many. */
export const nowhereIndex = 15;

/** The mark of a way. */
export function appMarkOf(index: number): number {
  return index * 0x0100_0000;
}

/** The table of a way: the numbers behind {@link routingTable}. */
export function forcedTable(index: number): number {
  return routingTable + index;
}

/** Every routing table of ours, the common one first. */
export const routingTables: readonly number[] = Array.from({ length: nowhereIndex + 1 }, (_, i) => routingTable + i);

/**
 * The bit of a connection's mark that says that its user may use the tunnel; apart from {@link admittedMark}, as both must hold where both
 * are asked.
 */
export const scopedMark = 0x2000_0000;

/** Where our stub resolver answers one user: its loopback address, and a port that only root can take. @param index of the user's way, 1 to 14 */
export function userNamePort(index: number): number {
  return 960 + index;
}

/** Whose sockets are the daemon's own. */
export const daemonUser = 0;
/** DHCP clients run as root or as a user of their own below this one, both ends included (useradd(8), SYS_UID_MAX). */
export const highestSystemUser = 999;

/**
 * Where the proxy script of this machine is served: the loopback address of our stub resolver, and a port that only root can take, so that nobody
 * else answers there while we do not; none of those that browsers refuse.
 */
export const pacPlace = { address: '127.0.0.96', port: 996 } as const;
