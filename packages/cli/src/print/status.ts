import type { ConnectionState, ConnectionStatus, DaemonStatus, NetworkTrust, RadiusStatus, TrafficStatus } from '@aovpn/api';
import { printable, type Style, type Terminal } from '../terminal.ts';
import { lockdownText } from './lockdown.ts';
import { portalNotice } from './portal.ts';
import { trafficNotices, trafficRows } from './traffic.ts';

const stateStyles: Record<ConnectionState, Style> = {
  up: 'good',
  connecting: 'warn',
  recovering: 'warn',
  waiting: 'warn',
  disconnecting: 'warn',
  down: 'dim',
  held: 'dim',
  trusted: 'good',
  blocked: 'bad',
};

/** `status` for people: one block a connection. `now` is milliseconds since the epoch. */
export function statusText(status: DaemonStatus, names: readonly string[], terminal: Terminal, now: number): string {
  const wanted = status.connections.filter((connection) => names.length === 0 || names.includes(connection.name));
  const blocks = wanted.map((connection) => connectionText(connection, status.traffic, terminal, now));
  if (status.lockdown) blocks.unshift(lockdownText(status.lockdown, terminal));
  const refused = status.profiles.filter(
    (profile) => profile.state !== 'in-force' && (names.length === 0 || names.includes(profile.name)),
  );
  for (const profile of refused) {
    const words =
      profile.state === 'refused' ? 'refused: nothing of that name runs' : 'new version refused: the last good one runs on';
    blocks.push(
      `${terminal.style('bad', '!')} profile ${printable(profile.name)} ${words}; see: aovpn profile lint ${printable(profile.file)}`,
    );
  }
  if (status.traffic) blocks.push(...trafficNotices(status.traffic, terminal));
  const portal = status.portal && portalNotice(status.portal, terminal);
  if (portal !== undefined) blocks.push(portal);
  if (blocks.length === 0) return 'no profiles; add one: aovpn profile add FILE';
  if (status.platform.kind !== 'workgroup' && names.length === 0)
    blocks.push(terminal.style('dim', `this machine: ${printable(status.platform.trace.at(-1) ?? '')}`));
  if (status.signedIn.length > 0 && names.length === 0)
    blocks.push(terminal.style('dim', `signed in: ${status.signedIn.map(({ name }) => printable(name)).join(', ')}`));
  return blocks.join('\n\n');
}

function connectionText(
  connection: ConnectionStatus,
  traffic: TrafficStatus | undefined,
  terminal: Terminal,
  now: number,
): string {
  const style: Terminal['style'] = (name, text) => terminal.style(name, text);
  const lines = [
    `${style(stateStyles[connection.state], '●')} ${style('strong', printable(connection.name))} (${connection.tunnel} tunnel): ${style(stateStyles[connection.state], connection.state)}`,
  ];
  const add = (label: string, value: string | undefined, because?: string): void => {
    if (value === undefined || value === '') return;
    const note = because === undefined ? '' : `  ${style('dim', printable(because))}`;
    lines.push(`  ${style('dim', label.padEnd(11))} ${printable(value)}${note}`);
  };
  add('for', forWhom(connection));
  add('reason', connection.reason);
  if (connection.lockdown)
    add(
      'lockdown',
      connection.lockdown.blocked ? 'all traffic of this machine is blocked' : 'all traffic goes through the tunnel',
      connection.lockdown.because,
    );
  add('since', `${connection.since} (${duration(now - Date.parse(connection.since))})`);
  if (connection.nextTryAt !== undefined)
    add('next try', `in ${duration(Math.max(0, Date.parse(connection.nextTryAt) - now))} (try ${connection.attempts + 1})`);
  if (connection.problem) {
    const { problem } = connection;
    add('problem', `${problem.message} [${problem.code}${problem.windows === undefined ? '' : `, Windows ${problem.windows}`}]`);
    add('side', problem.side);
    add('what to do', problem.cure);
  }
  if (connection.trust) add('network', trustText(connection.trust), connection.trust.because);
  add(
    'gateway',
    `${connection.gateway.name}${connection.gateway.address === undefined ? '' : ` (${connection.gateway.address}, ${(connection.gateway.transport ?? 'udp').toUpperCase()} ${connection.gateway.port ?? 4500})`}`,
  );
  if (connection.device !== undefined)
    add('device', `${connection.device}${connection.mtu === undefined ? '' : `, MTU ${connection.mtu}`}`);
  if (connection.dataPlane)
    add('data plane', connection.dataPlane.kind === 'kernel' ? 'kernel (XFRM)' : 'userspace (TUN)', connection.dataPlane.why);
  add('addresses', connection.addresses.join(', '));
  add('routing', connection.routing === 'ForceTunnel' ? 'ForceTunnel: everything through the tunnel' : 'SplitTunnel: only these');
  for (const route of connection.routes) {
    const what = route.kind === 'excluded' ? `not in the tunnel: ${route.prefix}` : route.prefix;
    add('  route', `${what}${route.metric === undefined ? '' : ` metric ${route.metric}`}`, route.because);
  }
  add('dns search', connection.dns.suffixes.join(', '));
  for (const rule of connection.dns.rules) {
    add('  name', `${rule.name} → ${rule.servers.length > 0 ? rule.servers.join(', ') : 'the normal resolver'}`, rule.because);
  }
  const { registration } = connection.dns;
  if (registration) add('registered', registrationText(registration));
  for (const [label, value, because] of trafficRows(connection, traffic)) add(label, value, because);
  if (connection.crypto) {
    add('IKE', connection.crypto.ike);
    add('ESP', connection.crypto.child);
    add('gateway id', `${connection.crypto.gatewayIdentity} (certificate ${connection.crypto.gatewaySubject})`);
    add('signed in', connection.crypto.authentication);
    if (connection.crypto.radius) for (const [label, value] of radiusRows(connection.crypto.radius)) add(label, value);
    const flags = [
      connection.crypto.mobike && 'MOBIKE',
      connection.crypto.fragmentation && 'fragmentation',
      connection.crypto.natLocal && 'NAT on our side',
      connection.crypto.natRemote && 'NAT on the gateway side',
    ].filter((flag) => flag !== false);
    add('features', flags.join(', '));
  }
  if (connection.traffic) {
    const counts = connection.traffic;
    add(
      'traffic',
      `${size(counts.bytesIn)} in, ${size(counts.bytesOut)} out${counts.dropped > 0 ? `, ${counts.dropped} packets dropped` : ''}`,
    );
  }
  return lines.join('\n');
}

/** Whose it is, and when it is there. */
function forWhom({ tunnel, owner, scope }: ConnectionStatus): string {
  if (tunnel === 'device') return 'the machine, also before anybody signs in';
  if (!owner) return 'everybody on this machine';
  const who = `${owner.name} (user ${owner.uid}), while signed in`;
  return scope === 'user' ? `${who}; carries nobody else’s traffic` : `${who}; carries everybody’s traffic`;
}

/** Without the reason where that stands above. */
function trustText({ verdict, spoofable, why }: NetworkTrust): string {
  const words = { trusted: 'trusted', untrusted: 'not trusted', asking: 'perhaps trusted' }[verdict];
  return `${words}: ${why}${spoofable ? ' (trusted-beacon would prove it)' : ''}`;
}

/** Trust in the RADIUS server, which stands apart from trust in the gateway. */
function registrationText({ name, state, problem }: NonNullable<ConnectionStatus['dns']['registration']>): string {
  switch (state) {
    case 'registered':
      return `as ${name}`;
    case 'pending':
      return `${name} is being registered`;
    case 'failed':
      return `no, ${name}: ${problem ? `${problem.what} [${problem.code}] ${problem.cure}` : 'it failed'}`;
  }
}

function radiusRows({ method, tls, cryptobinding }: RadiusStatus): readonly (readonly [string, string])[] {
  const rows: [string, string][] = [['RADIUS', method]];
  if (!tls) return [...rows, ['  server', 'no certificate; it has proven that it knows the password']];
  const { server, version, resumed } = tls;
  rows.push(
    server
      ? ['  server', `${server.subject}${server.names.length > 0 ? ` (${server.names.join(', ')})` : ''}`]
      : ['  server', 'not checked: PerformServerValidation is false in the profile'],
  );
  if (server) rows.push(['  root', server.root]);
  rows.push(['  TLS', `${version}${resumed ? ', a session of before resumed' : ''}`]);
  if (cryptobinding !== undefined)
    rows.push(['  binding', cryptobinding ? 'tunnel and inner method bound together' : 'none between tunnel and inner method']);
  return rows;
}

/** Milliseconds as the largest two units that say something. */
export function duration(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const parts: readonly (readonly [number, string])[] = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [seconds % 60, 's'],
  ];
  const first = parts.findIndex(([value]) => value > 0);
  if (first < 0) return '0 s';
  return parts
    .slice(first, first + 2)
    .filter(([value]) => value > 0)
    .map(([value, unit]) => `${value} ${unit}`)
    .join(' ');
}

/** Octets with a binary unit. */
export function size(octets: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = octets;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}
