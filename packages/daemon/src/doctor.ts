import { stat } from 'node:fs/promises';
import type { DoctorCheck, DoctorReport } from '@aovpn/api';
import { formatAddress, type IpAddress } from '@aovpn/bytes';
import { probeGateway } from '@aovpn/host';
import { gatewayNamesOf } from '@aovpn/supervisor';
import type { Daemon } from './daemon.ts';
import { messageOf } from './tunnel.ts';

const day = 86_400_000;
/** A certificate that ends within this time deserves a warning. */
const soon = 14 * day;
/** Addresses of one gateway that are probed. */
const maxProbes = 4;

/** Every check, whatever became of the others. */
export async function doctorReport(daemon: Daemon, connection: string | undefined): Promise<DoctorReport> {
  const names = connection === undefined ? daemon.store.names() : [connection];
  const groups = await Promise.all([
    checkNetwork(daemon),
    checkClock(),
    ...names.map(async (name) => {
      try {
        return (await checkConnection(daemon, name)).map((check) => ({ ...check, connection: name }));
      } catch (error) {
        return [{ name: 'checks', connection: name, verdict: 'failed' as const, found: messageOf(error) }];
      }
    }),
  ]);
  return { checks: groups.flat() };
}

async function checkNetwork(daemon: Daemon): Promise<readonly DoctorCheck[]> {
  const { sources, defaultRoutes, resolver } = await daemon.platform.network.networkFacts();
  const found = [sources.v4, sources.v6].filter((address) => address !== undefined).map(formatAddress);
  const devices = [...new Set(defaultRoutes.map(({ device }) => device))];
  return [
    found.length > 0
      ? { name: 'network', verdict: 'ok', found: `${found.join(', ')} through ${devices.join(', ')}` }
      : {
          name: 'network',
          verdict: 'failed',
          found: 'no default route',
          cure: 'Connect this machine to a network; without one only gateways on the same link can be reached.',
        },
    resolver.servers.length > 0
      ? { name: 'name servers', verdict: 'ok', found: `${resolver.servers.map(formatAddress).join(', ')} (${resolver.owner})` }
      : {
          name: 'name servers',
          verdict: 'warning',
          found: 'this network names none',
          cure: 'Gateways must be named by address or in /etc/hosts, or the network must name a DNS server.',
        },
  ];
}

/** Certificates are judged by the clock. Whether it is right nobody can say offline; whether it is absurd, or kept right, one can. */
async function checkClock(): Promise<readonly DoctorCheck[]> {
  const now = Date.now();
  const { mtimeMs } = await stat(new URL(import.meta.url));
  const shown = new Date(now).toISOString();
  if (now < mtimeMs - day) {
    return [
      {
        name: 'clock',
        verdict: 'failed',
        found: `${shown} is before this program was installed`,
        cure: 'Set the clock: timedatectl set-ntp true',
      },
    ];
  }
  const synchronised = await stat('/run/systemd/timesync/synchronized').then(
    () => true,
    () => false,
  );
  return [{ name: 'clock', verdict: 'ok', found: `${shown}${synchronised ? ', kept by systemd-timesyncd' : ''}` }];
}

async function checkConnection(daemon: Daemon, name: string): Promise<readonly DoctorCheck[]> {
  const profile = daemon.store.status(name);
  const checks: DoctorCheck[] = [];
  const errors = profile?.diagnostics.filter(({ severity }) => severity === 'error') ?? [];
  const first = errors[0];
  checks.push(
    first
      ? {
          name: 'profile',
          verdict: 'failed',
          found: `${profile!.file}:${first.line}:${first.column}: ${first.message}${profile!.state === 'kept' ? '; the last good version is in force' : ''}`,
          cure: first.cure ?? 'Correct the profile.',
        }
      : { name: 'profile', verdict: 'ok', found: `${profile?.file ?? name} is in force` },
  );
  const candidate = daemon.candidate(name);
  if (!candidate) return checks;
  const { stored, credentials, problem } = candidate;
  if (problem)
    checks.push({ name: 'readiness', verdict: 'failed', found: `${problem.message} [${problem.code}]`, cure: problem.cure });
  const certificate = credentials?.credential;
  if (certificate) checks.push(checkCertificate(certificate));
  for (const server of gatewayNamesOf(stored.profile)) checks.push(...(await checkServer(daemon, name, server)));
  const connection = (await daemon.connections()).find((one) => one.name === name);
  if (connection) {
    const { state, reason } = connection;
    const verdict = state === 'up' ? 'ok' : state === 'blocked' || state === 'waiting' ? 'failed' : 'warning';
    checks.push({
      name: 'connection',
      verdict,
      found: `${state}: ${reason}`,
      ...(connection.problem && { cure: connection.problem.cure }),
    });
  }
  return checks;
}

function checkCertificate({
  subject,
  notBefore,
  notAfter,
}: {
  readonly subject: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
}): DoctorCheck {
  const now = Date.now();
  const name = 'certificate';
  if (now < notBefore.getTime())
    return {
      name,
      verdict: 'failed',
      found: `${subject}: valid from ${notBefore.toISOString()} only`,
      cure: 'If that is past, set the clock of this machine.',
    };
  if (now > notAfter.getTime())
    return {
      name,
      verdict: 'failed',
      found: `${subject}: expired ${notAfter.toISOString()}`,
      cure: 'Get a new certificate and put it in the place of this one.',
    };
  const left = Math.floor((notAfter.getTime() - now) / day);
  const verdict = notAfter.getTime() - now < soon ? 'warning' : 'ok';
  return {
    name,
    verdict,
    found: `${subject}: valid for ${left} more days`,
    ...(verdict === 'warning' && { cure: 'Renew it in time.' }),
  };
}

async function checkServer(daemon: Daemon, name: string, server: string): Promise<readonly DoctorCheck[]> {
  const { addresses, why } = await daemon.resolve(server);
  if (addresses.length === 0) {
    return [
      {
        name: `name ${server}`,
        verdict: 'failed',
        found: why ?? 'no address',
        cure: "Check the name in Servers, and this network's DNS.",
      },
      { name: `gateway ${server}`, verdict: 'skipped', found: 'it has no address to ask' },
    ];
  }
  const port = daemon.settings.current.of(name).gatewayPort;
  const probes = await Promise.all(addresses.slice(0, maxProbes).map((address) => probe(daemon, server, address, port)));
  return [{ name: `name ${server}`, verdict: 'ok', found: addresses.map(formatAddress).join(', ') }, ...probes];
}

/** UDP 4500 is what we use; 500 tells a firewall from a gateway that is not there. */
async function probe(daemon: Daemon, server: string, address: IpAddress, port: number): Promise<DoctorCheck> {
  const name = `gateway ${server} (${formatAddress(address)})`;
  const [ours, plain] = await Promise.all([
    probeGateway(daemon.platform.crypto, address, port),
    probeGateway(daemon.platform.crypto, address, 500),
  ]);
  if (ours.answered)
    return { name, verdict: 'ok', found: `answers on UDP ${port} within ${Math.round(ours.milliseconds ?? 0)} ms` };
  if (plain.answered)
    return {
      name,
      verdict: 'failed',
      found: `answers on UDP 500, but not on ${port}`,
      cure: `Open UDP ${port} in the firewall on the way; ESP travels in it.`,
    };
  return {
    name,
    verdict: 'failed',
    found: `no answer on UDP ${port} and 500${ours.problem ? ` (${ours.problem})` : ''}`,
    cure: 'Check that the gateway runs and that UDP 500 and 4500 are open on the way.',
  };
}
