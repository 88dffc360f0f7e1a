import type {
  ConnectionState,
  ConnectionStatus,
  DaemonStatus,
  EncryptedDnsStatus,
  EnrolmentStatus,
  NetworkTrust,
  RadiusStatus,
  TrafficStatus,
} from '@aovpn/api';
import { printable, type Style, type Terminal } from '../terminal.ts';
import { textWidth } from './cell.ts';
import { connectionEnd } from './connection-end.ts';
import { enrolmentLine } from './enrolment.ts';
import { lockdownText } from './lockdown.ts';
import { clock, duration, localTimes, size } from './moment.ts';
import { portalNotice } from './portal.ts';
import { trafficNotices, trafficRows } from './traffic.ts';

export const stateStyles: Readonly<Record<ConnectionState, Style>> = {
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
  if (status.lockdown) blocks.unshift(lockdownText(status.lockdown, terminal, now));
  const told = notices(status, now, names);
  if (told.length > 0) blocks.push(told.map(([style, text]) => `${terminal.style(style, '!')} ${text}`).join('\n'));
  if (blocks.length === 0) return 'no profiles; add one: aovpn profile add FILE';
  for (const one of enrolmentsOf(status, names)) if (!one.problem) blocks.push(terminal.style('dim', enrolmentLine(one, now)));
  if (status.platform.kind !== 'workgroup' && names.length === 0)
    blocks.push(terminal.style('dim', `this machine: ${printable(status.platform.trace.at(-1) ?? '')}`));
  if (status.signedIn.length > 0 && names.length === 0)
    blocks.push(terminal.style('dim', `signed in: ${status.signedIn.map(({ name }) => printable(name)).join(', ')}`));
  return blocks.join('\n\n');
}

/** What is to be said besides connections, ready for a terminal: profiles that do not count, filters, the portal. */
export function notices(status: DaemonStatus, now: number, names: readonly string[] = []): readonly (readonly [Style, string])[] {
  const refused = status.profiles.filter(
    ({ name, state }) => state !== 'in-force' && (names.length === 0 || names.includes(name)),
  );
  const portal = status.portal && portalNotice(status.portal, now);
  const enrolments = enrolmentsOf(status, names).filter(({ problem }) => problem !== undefined);
  return [
    ...refused.map(({ name, file, state }): readonly [Style, string] => {
      const words = state === 'refused' ? 'refused: nothing of that name runs' : 'new version refused: the last good one runs on';
      return ['bad', `profile ${printable(name)} ${words}; see: aovpn profile lint ${printable(file)}`];
    }),
    ...(status.traffic ? trafficNotices(status.traffic, now) : []),
    ...(portal === undefined ? [] : [portal]),
    ...enrolments.map((one): readonly [Style, string] => [one.state === 'valid' ? 'warn' : 'bad', enrolmentLine(one, now)]),
  ];
}

function enrolmentsOf({ enrolments = [] }: DaemonStatus, names: readonly string[]): readonly EnrolmentStatus[] {
  return enrolments.filter(({ connections }) => names.length === 0 || connections.some((name) => names.includes(name)));
}

function connectionText(
  connection: ConnectionStatus,
  traffic: TrafficStatus | undefined,
  terminal: Terminal,
  now: number,
): string {
  const style: Terminal['style'] = (name, text) => terminal.style(name, text);
  const { state, since, problem } = connection;
  const tone = stateStyles[state];
  const rows: Row[] = [];
  const add = (label: string, value: string | undefined, because?: string): void => {
    if (value !== undefined && value !== '')
      rows.push([label, printable(value), because && printable(shortBecause(because, connection.name))]);
  };
  const age = now - Date.parse(since);
  add('for', forWhom(connection));
  add('reason', localTimes(connection.reason, now));
  add('since', `${clock(Date.parse(since), now)}, ${duration(age)} ago`);
  add('ends', connectionEnd(connection, now));
  if (problem) {
    add('problem', `${problem.message} [${problem.code}${problem.windows === undefined ? '' : `, Windows ${problem.windows}`}]`);
    add('side', problem.side);
    add('what to do', problem.cure);
  }
  if (connection.traffic) {
    const { bytesIn, bytesOut, dropped } = connection.traffic;
    add('traffic', `↓ ${size(bytesIn)} in  ↑ ${size(bytesOut)} out${dropped > 0 ? `  ${dropped} packets dropped` : ''}`);
  }
  if (connection.lockdown)
    add(
      'lockdown',
      connection.lockdown.blocked ? 'all traffic of this machine is blocked' : 'all traffic goes through the tunnel',
      connection.lockdown.because,
    );
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
    const asked = rule.encrypted ?? rule.servers;
    add('  name', `${rule.name} → ${asked.length > 0 ? asked.join(', ') : 'the normal resolver'}`, rule.because);
  }
  for (const line of (connection.dns.encrypted ?? []).flatMap(encryptedLines)) add('  encrypted', line);
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
  const heading = `${style(tone, '●')} ${style('strong', printable(connection.name))}  ${style(tone, state)}  ${style('dim', `${connection.tunnel} tunnel`)}`;
  return [heading, ...rowLines(rows, terminal)].join('\n');
}

/** One line for each address that is asked, or one that says why none is. */
function encryptedLines({ name, notAsked, provenBy, servers = [] }: EncryptedDnsStatus): string[] {
  if (notAsked !== undefined) return [`${name}: not asked, ${notAsked}`];
  return servers.map(({ address, state, problem }) => {
    const who = `${name} (${address})`;
    if (problem) return `${who}: ${problem.message} [${problem.code}]; ${problem.cure}`;
    return state === 'proven' ? `${who}: proven by ${provenBy}` : `${who}: must be proven by ${provenBy}`;
  });
}

type Row = readonly [label: string, value: string, because: string | undefined];

/** Values below each other, and the profile lines behind them as well, where they do not stand too far out. */
function rowLines(rows: readonly Row[], terminal: Terminal): string[] {
  const { columns } = terminal;
  const noted = rows.filter(([, , because]) => because !== undefined).map(([, value]) => textWidth(value));
  const longest = Math.max(0, ...noted.filter((width) => width <= columns - labelColumns - noteColumns));
  return rows.map(([label, value, because]) => {
    const note =
      because === undefined ? '' : `${' '.repeat(Math.max(2, longest + 2 - textWidth(value)))}${terminal.style('dim', because)}`;
    return `  ${terminal.style('dim', label.padEnd(labelColumns))} ${value}${note}`;
  });
}

const labelColumns = 11;
const noteColumns = 32;

/** Below the name of a connection its profile need not be named again. */
function shortBecause(because: string, name: string): string {
  const own = `profile "${name}" `;
  return because.startsWith(own) ? because.slice(own.length) : because;
}

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
