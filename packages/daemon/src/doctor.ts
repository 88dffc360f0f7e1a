import { createHash, X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import type { ConnectionStatus, DoctorCheck, DoctorReport } from '@aovpn/api';
import { formatAddress, wipe, type IpAddress } from '@aovpn/bytes';
import { probeGateway, readSecretFile } from '@aovpn/host';
import type { CertificateChoice } from '@aovpn/policy';
import {
  authenticationOf,
  gatewayNamesOf,
  reviewAuthentication,
  type AuthenticationFacts,
  type RootFacts,
} from '@aovpn/supervisor';
import { rulesOf } from './connection-status.ts';
import { findCredentials } from './credentials.ts';
import { checkDataPlane } from './data-plane-doctor.ts';
import type { Daemon } from './daemon.ts';
import type { Overview } from './overview.ts';
import { checkEncryptedDns } from './encrypted-dns.ts';
import { checkEnrolments } from './enrolment-doctor.ts';
import { checkLockdown } from './lockdown-doctor.ts';
import { outerMark } from './outer-mark.ts';
import { checkPlatform } from './platform-doctor.ts';
import { passwordStores, type PasswordPlaces } from './password-stores.ts';
import { messageOf, problemOfError } from './problem-error.ts';
import type { ProfileSettings } from './profile-settings.ts';
import { checkTraffic } from './traffic-doctor.ts';

const day = 86_400_000;
/** Addresses of one gateway that are probed. */
const maxProbes = 4;
/** The system's own roots, as Debian, Fedora and Arch have them. */
const systemRoots = '/etc/ssl/certs/ca-certificates.crt';
const maxRootBytes = 4 << 20;

/** Every check, whatever became of the others. */
export async function doctorReport(daemon: Daemon, connection: string | undefined): Promise<DoctorReport> {
  const names = connection === undefined ? daemon.store.names() : [connection];
  const groups = await Promise.all([
    daemon.machine.look(true).then((platform) => [
      checkPlatform(
        platform,
        names.flatMap((name) => daemon.store.get(name)?.intent ?? []),
      ),
    ]),
    checkNetwork(daemon),
    checkClock(),
    checkTraffic(daemon),
    checkLockdown(daemon.overview.lockdownStatus),
    ...names.map(async (name) => {
      try {
        return (await checkConnection(daemon, name)).map((check) => ({ ...check, connection: name }));
      } catch (error) {
        return [{ name: 'checks', connection: name, verdict: 'failed' as const, found: messageOf(error) }];
      }
    }),
  ]);
  const support = await daemon.platform.dataPlanes.kernelSupport();
  const wishes = names.map((name) => daemon.settings.current.of(name).dataPlane);
  const enrolments = daemon.enrolments
    .status()
    .filter(({ connections }) => connection === undefined || connections.includes(connection));
  return {
    checks: [checkDataPlane(support, wishes), ...groups.flat(), ...checkEnrolments(enrolments)],
  };
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
  const candidate = daemon.overview.candidate(name);
  if (!candidate) return checks;
  const { stored, problem } = candidate;
  if (problem)
    checks.push({ name: 'readiness', verdict: 'failed', found: `${problem.message} [${problem.code}]`, cure: problem.cure });
  const { facts, faults } = await authenticationFacts(daemon, candidate);
  checks.push(...faults, ...reviewAuthentication(stored.profile, facts));
  for (const server of gatewayNamesOf(stored.profile)) checks.push(...(await checkServer(daemon, name, server)));
  const connection = (await daemon.overview.connections()).find((one) => one.name === name);
  if (connection) checks.push(...checkState(connection));
  const { plan } = daemon.plans;
  const scope = plan.tunnels.find((tunnel) => tunnel.profile === name)?.scope;
  const mark = plan.dns.users?.find(({ user }) => user === scope?.user)?.mark ?? 0;
  checks.push(...(await checkEncryptedDns(rulesOf(name, scope?.user, plan), mark, daemon.platform.asker)));
  return checks;
}

/** What it is doing, and what the last try ended with: whose side, and what to do. */
function checkState({ state, reason, problem }: ConnectionStatus): readonly DoctorCheck[] {
  const verdict = state === 'up' ? 'ok' : state === 'blocked' || state === 'waiting' ? 'failed' : 'warning';
  const checks: DoctorCheck[] = [{ name: 'connection', verdict, found: `${state}: ${reason}` }];
  if (!problem) return checks;
  const { side, message, code, windows, cure } = problem;
  const number = windows === undefined ? '' : `, Windows ${windows}`;
  return [
    ...checks,
    { name: 'last problem', verdict: 'failed', found: `${sideText[side]}: ${message} [${code}${number}]`, cure },
  ];
}

const sideText: Readonly<Record<NonNullable<ConnectionStatus['problem']>['side'], string>> = {
  network: 'on the way to the gateway',
  gateway: 'at the gateway',
  radius: 'at the RADIUS server',
  certificate: 'our certificate',
  profile: 'in the profile',
  host: 'on this machine',
  credentials: 'user name or password',
};

async function checkServer(daemon: Daemon, name: string, server: string): Promise<readonly DoctorCheck[]> {
  const { addresses, why } = await daemon.lookup.outside(server);
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
  await daemon.plans.reach(
    name,
    addresses.slice(0, maxProbes).map((address) => ({ address, port })),
  );
  const probes = await Promise.all(addresses.slice(0, maxProbes).map((address) => probe(daemon, server, address, port)));
  return [{ name: `name ${server}`, verdict: 'ok', found: addresses.map(formatAddress).join(', ') }, ...probes];
}

/** UDP 4500 is what we use; 500 tells a firewall from a gateway that is not there. */
async function probe(daemon: Daemon, server: string, address: IpAddress, port: number): Promise<DoctorCheck> {
  const name = `gateway ${server} (${formatAddress(address)})`;
  const [ours, plain] = await Promise.all([
    probeGateway(daemon.platform.crypto, address, port, outerMark),
    probeGateway(daemon.platform.crypto, address, 500, outerMark),
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

/** What the daemon knows of the connection. */
type Known = NonNullable<ReturnType<Overview['candidate']>>;

interface Gathered {
  readonly facts: AuthenticationFacts;
  /** What could not be looked at. */
  readonly faults: readonly DoctorCheck[];
}

/** What there is to authenticate with, looked at now. Secrets are read to know that they can be, and overwritten at once. */
export async function authenticationFacts(daemon: Daemon, known: Known): Promise<Gathered> {
  const { profile, name } = known.stored;
  const settings = daemon.users.settingsOf(name);
  const stems = daemon.users.stemsOf(name);
  const paths = await findCredentials(stems, settings, daemon.options.configDir);
  const plan = authenticationOf(profile);
  const faults: DoctorCheck[] = [];
  const roots = async (own: string | undefined): Promise<AuthenticationFacts['radiusRoots']> => {
    const place = own ?? systemRoots;
    try {
      return { roots: await readRoots(place), place, isSystem: own === undefined };
    } catch (error) {
      const cure = 'Put the roots into it as PEM blocks "CERTIFICATE".';
      faults.push({ name: 'roots', verdict: 'failed', found: `${place}: ${messageOf(error)}`, cure });
      return { roots: [], place, isSystem: own === undefined };
    }
  };
  const gatewayRoots = await roots(paths.gatewayCa);
  const usesTls = !('problem' in plan) && plan.usesRadiusTls;
  const radiusRoots = usesTls ? await roots(paths.radiusCa) : { roots: [], place: systemRoots, isSystem: true };
  const usesPassword = !('problem' in plan) && plan.usesPassword;
  const passwordPlaces = usesPassword ? await findPasswords(name, settings, { paths, stems }, faults) : [];
  if (settings.pkcs11Module !== undefined) faults.push(await checkPin(daemon, settings));
  const userName = settings.userName ?? known.credentials?.userName;
  const choice = choiceOf(known);
  return {
    facts: {
      now: Date.now(),
      ...(userName !== undefined && { userName }),
      passwordPlaces,
      ...(choice && { choice }),
      keyProblems: choice ? await keyProblems(daemon, name) : [],
      radiusRoots,
      gatewayRoots,
    },
    faults,
  };
}

/** The choice of the last look at the credentials; none when the profile uses no certificate. */
function choiceOf(known: object): CertificateChoice | undefined {
  return 'choice' in known ? (known.choice as CertificateChoice | undefined) : undefined;
}

async function keyProblems(daemon: Daemon, name: string): Promise<AuthenticationFacts['keyProblems']> {
  const { problems } = await daemon.overview.certificateReport(name);
  return problems.map(({ source, code, message, cure }) => ({ source, code, what: message, cure }));
}

/** Where a password is, in the order in which the places are asked. */
async function findPasswords(
  name: string,
  settings: ProfileSettings,
  where: Pick<PasswordPlaces, 'paths' | 'stems'>,
  faults: DoctorCheck[],
): Promise<readonly string[]> {
  const { sources, stores } = passwordStores({
    connection: name,
    settings,
    ...where,
    remember: false,
  });
  const places: string[] = [];
  for (const source of sources) {
    if (source === 'prompt') {
      places.push('a person (aovpn prompt)');
      continue;
    }
    const store = stores[source];
    if (!store) continue;
    try {
      const secret = await store.read();
      if (secret) places.push(store.place);
      if (secret) wipe(secret);
    } catch (error) {
      const { message, code, cure } = problemOfError(error);
      faults.push({ name: 'password', verdict: 'warning', found: `${store.place}: ${message} [${code}]`, cure });
    }
  }
  return places;
}

/** Whether a PIN can be had. It is never tried here: a wrong one counts. */
async function checkPin(daemon: Daemon, { pkcs11PinFile }: ProfileSettings): Promise<DoctorCheck> {
  if (pkcs11PinFile === undefined)
    return { name: 'PIN', verdict: 'ok', found: 'asked for when the token wants one (aovpn prompt)' };
  const file = path.resolve(daemon.options.configDir, pkcs11PinFile);
  try {
    wipe(await readSecretFile(file));
    return { name: 'PIN', verdict: 'ok', found: `in ${file}; whether it is right shows at the next connection` };
  } catch (error) {
    const { message, code, cure } = problemOfError(error);
    return { name: 'PIN', verdict: 'failed', found: `${message} [${code}]`, cure };
  }
}

/** Whether the file may be trusted is said where it is loaded; here it is only looked at. */
async function readRoots(file: string): Promise<readonly RootFacts[]> {
  const { size } = await stat(file);
  if (size > maxRootBytes) throw new Error(`it has ${size} octets`);
  const blocks = (await readFile(file, 'latin1')).match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw new Error('it holds no certificate');
  return blocks.map((block) => rootFacts(new X509Certificate(block)));
}

function rootFacts(certificate: X509Certificate): RootFacts {
  const { raw, subject, issuer, validFromDate, validToDate } = certificate;
  return {
    sha1: createHash('sha1').update(raw).digest('hex'),
    subject: subject.split('\n').join(', ') || 'a root without a name',
    selfSigned: subject === issuer,
    notBefore: validFromDate.getTime(),
    notAfter: validToDate.getTime(),
  };
}
