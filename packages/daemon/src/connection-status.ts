import type { ConnectionStatus, DnsRuleStatus, NetworkTrust, Owner, RadiusStatus, RouteStatus, WaitingFor } from '@aovpn/api';
import { formatAddress, formatPrefix, toHex } from '@aovpn/bytes';
import type { DataPlaneStats } from '@aovpn/esp';
import type { EncryptedResolverState } from '@aovpn/host';
import type { TunnelConfiguration } from '@aovpn/ike';
import {
  formatBecause,
  formatEncryptedServer,
  type DnsRule,
  type EncryptedDnsFacts,
  type Intent,
  type Plan,
  type TrustVerdict,
} from '@aovpn/policy';
import type { ConnectionView, Problem } from '@aovpn/supervisor';
import { encryptedDnsStatus } from './encrypted-dns.ts';
import type { RegistrationState } from './dns-registrar.ts';
import { appsOf, filtersStatus } from './traffic-report.ts';
import type { DataPlaneChoice } from './choose-data-plane.ts';
import type { TunnelNetwork } from './tunnel-port.ts';

interface Moment {
  /** Milliseconds of the monotonic clock. */
  readonly at: number;
  readonly iso: string;
}

/** When things happened, by the clock on the wall. */
export interface ConnectionMoments {
  readonly since: Moment;
  readonly connectedAt?: Moment;
  readonly nextTryAt?: Moment;
  readonly problem?: { readonly problem: Problem; readonly iso: string };
}

export interface StatusParts {
  readonly view: ConnectionView;
  readonly servers: readonly string[];
  readonly moments: ConnectionMoments;
  readonly intent: Intent | undefined;
  readonly ports: { readonly gatewayPort: number; readonly tcpPort: number };
  readonly plan: Plan;
  readonly network?: TunnelNetwork;
  readonly dataPlane?: DataPlaneChoice;
  readonly stats?: DataPlaneStats;
  readonly radius?: RadiusStatus;
  readonly waitingFor?: WaitingFor;
  readonly registration?: RegistrationState;
  readonly owner?: Owner;
  readonly encryptedDns: EncryptedDnsFacts['use'];
  /** What is known of encrypted resolvers, of whatever tunnel. */
  readonly resolvers: readonly EncryptedResolverState[];
}

/** The status of one connection in the words of the contract. */
export function connectionStatus({
  view,
  servers,
  moments,
  intent,
  ports,
  plan,
  network,
  dataPlane,
  stats,
  radius,
  waitingFor,
  registration,
  owner,
  encryptedDns,
  resolvers,
}: StatusParts): ConnectionStatus {
  const { name, tunnel, state, reason, attempts, candidate, trust } = view;
  const filters = filtersStatus(plan, name);
  const apps = appsOf(plan, name, network?.device);
  const problem = moments.problem && problemStatus(moments.problem.problem, moments.problem.iso);
  const rules = rulesOf(name, intent?.user, plan);
  return {
    name,
    tunnel,
    ...(owner && { owner }),
    ...(intent?.user !== undefined && { scope: 'user' as const }),
    state,
    reason: waitingFor ? waitingReason(waitingFor) : reason,
    since: moments.since.iso,
    ...(moments.nextTryAt && { nextTryAt: moments.nextTryAt.iso }),
    attempts,
    ...(problem && { problem }),
    ...(waitingFor && { waitingFor }),
    ...(trust && { trust: trustStatus(trust) }),
    gateway: {
      name: candidate?.server ?? servers[0] ?? '',
      ...(candidate && {
        address: formatAddress(candidate.address),
        port: candidate.transport === 'tcp' ? ports.tcpPort : ports.gatewayPort,
        transport: candidate.transport,
      }),
    },
    ...(network && { device: network.device, mtu: network.mtu, ...(dataPlane && { dataPlane }) }),
    addresses: network?.configuration.addresses.map(({ address }) => formatAddress(address)) ?? [],
    routing: intent?.routing.value ?? 'SplitTunnel',
    routes: routesOf(name, plan),
    dns: {
      suffixes: plan.dns.search.filter(({ because }) => because.profile === name).map(({ domain }) => domain),
      rules: rules.map((rule): DnsRuleStatus => ({
        name: rule.name,
        servers: rule.servers.map(formatAddress),
        ...(rule.encrypted && { encrypted: rule.encrypted.map(formatEncryptedServer) }),
        because: formatBecause(rule.because),
      })),
      ...(network &&
        network.configuration.encryptedDns.length > 0 && {
          encrypted: encryptedDnsStatus(network.configuration, encryptedDns, rules, resolvers),
        }),
      ...trustAnchors(network?.configuration),
      ...(registration && { registration }),
    },
    ...(filters && { filters }),
    ...(view.trafficBlocked !== undefined &&
      intent?.lockdown && { lockdown: { blocked: view.trafficBlocked, because: formatBecause(intent.lockdown) } }),
    ...(apps.length > 0 && { apps }),
    ...(network && {
      crypto: {
        ike: network.facts.ikeSuite,
        child: network.facts.childSuite,
        authentication: network.facts.authentication,
        gatewayIdentity: network.facts.gatewayIdentity,
        gatewaySubject: network.facts.gatewaySubject,
        mobike: network.facts.mobike,
        fragmentation: network.facts.fragmentation,
        natLocal: network.facts.natLocal,
        natRemote: network.facts.natRemote,
        ...(radius && { radius }),
      },
    }),
    ...(moments.connectedAt && { connectedAt: moments.connectedAt.iso }),
    ...(stats && {
      traffic: {
        bytesIn: stats.bytesIn,
        bytesOut: stats.bytesOut,
        packetsIn: stats.packetsIn,
        packetsOut: stats.packetsOut,
        dropped: Object.values(stats.dropped).reduce((sum, count) => sum + count, 0),
      },
    }),
  };
}

/** Says more than "negotiating". */
function waitingReason({ text, since }: WaitingFor): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}, since ${since}.`;
}

function trustStatus({ kind, spoofable, why, trace, because }: TrustVerdict): NetworkTrust {
  return { verdict: kind, spoofable, why, trace, ...(because && { because: formatBecause(because) }) };
}

/** Names that the tunnel of a profile answers: for everybody, or for the one user whose it is. */
export function rulesOf(profile: string, user: number | undefined, { dns }: Plan): readonly DnsRule[] {
  const rules = dns.users?.find((names) => names.user === user)?.rules ?? dns.rules;
  return rules.filter((rule) => rule.profile === profile);
}

/** What the gateway says of DNSSEC trust anchors. */
function trustAnchors(configuration: TunnelConfiguration | undefined): Pick<ConnectionStatus['dns'], 'trustAnchors'> {
  const anchors = (configuration?.dnssecAnchors ?? []).map(
    ({ domain, keyTag, algorithm, digestType, digest }) =>
      `${domain} ${keyTag} ${algorithm} ${digestType} ${toHex(digest).toUpperCase()}`,
  );
  return anchors.length > 0 ? { trustAnchors: anchors } : {};
}

function problemStatus({ code, windows, side, message, cure }: Problem, at: string): NonNullable<ConnectionStatus['problem']> {
  return { code, ...(windows !== undefined && { windows }), side, message, cure, at };
}

function routesOf(name: string, plan: Plan): readonly RouteStatus[] {
  // Of a tunnel that is one user's. Those of apps with ForceTunnel, in tables of their own too, are told with the apps.
  const own = plan.tunnels.find(({ profile }) => profile === name)?.scope?.table;
  return plan.routes
    .filter(({ kind, table, because }) => because.profile === name && kind !== 'unreachable' && table === own)
    .map(({ kind, prefix, metric, because }) => ({
      prefix: formatPrefix(prefix),
      kind: kind === 'tunnel' ? 'tunnel' : 'excluded',
      ...(kind === 'tunnel' && { metric }),
      because: formatBecause(because),
    }));
}
