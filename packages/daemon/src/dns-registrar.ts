import { hostname } from 'node:os';
import path from 'node:path';
import { formatAddress } from '@aovpn/bytes';
import {
  registerName,
  withdrawName,
  type HostError,
  type NameRegistration,
  type Network,
  type RegisteredName,
  type UpdateCredential,
} from '@aovpn/host';
import { normaliseDomain, type DnsRegistration, type Plan } from '@aovpn/policy';
import type { Log } from './log.ts';
import { messageOf } from './problem-error.ts';
import type { ProfileSettings } from './profile-settings.ts';

export interface DnsRegistrarOptions {
  readonly network: Pick<Network, 'routeTo'>;
  readonly configDir: string;
  readonly settings: (profile: string) => ProfileSettings;
  readonly log: Log;
  /** What people see may differ. */
  readonly onChange: (profile: string) => void;
}

/** How the registration of a profile stands. */
export interface RegistrationState {
  readonly name: string;
  readonly state: 'pending' | 'registered' | 'failed';
  readonly problem?: { readonly code: string; readonly what: string; readonly cure: string };
}

interface Job {
  readonly wanted: DnsRegistration;
  readonly key: string;
  state: RegistrationState;
  registered: RegisteredName | undefined;
  retry: NodeJS.Timeout | undefined;
  failures: number;
  over: boolean;
  turn: Promise<void>;
}

/** After a failure, milliseconds; doubled each time. */
const firstRetry = 30_000;
const longestRetry = 3_600_000;
/** Records that are never refreshed are taken for abandoned by servers that scavenge. */
const refreshInterval = 24 * 3_600_000;
/** How long the end of a connection waits for the name server, milliseconds. */
const withdrawPatience = 3000;

/** Keeps the company's DNS like the registrations of the plan in force (RegisterDNS). Never in the way of a connection. */
export class DnsRegistrar {
  readonly #options: DnsRegistrarOptions;
  readonly #jobs = new Map<string, Job>();
  /** Withdrawn, and still in the plan in force. */
  readonly #leaving = new Set<string>();

  constructor(options: DnsRegistrarOptions) {
    this.#options = options;
  }

  state(profile: string): RegistrationState | undefined {
    return this.#jobs.get(profile)?.state;
  }

  /** Registers what is new in a plan that has come into force, and withdraws what is no longer wanted while its tunnel is still there. */
  follow({ dns, tunnels }: Plan): void {
    const wanted = new Map(dns.registrations.map((registration) => [registration.profile, registration]));
    for (const [profile, job] of this.#jobs) {
      const next = wanted.get(profile);
      if (next && this.#keyOf(next) === job.key) continue;
      // Another address of the same tunnel: registering replaces what was registered.
      if (!next && tunnels.some(({ device }) => device === job.wanted.device)) void this.withdraw(profile);
      else this.#drop(profile, job);
    }
    for (const profile of this.#leaving) if (!wanted.has(profile)) this.#leaving.delete(profile);
    for (const [profile, registration] of wanted)
      if (!this.#jobs.has(profile) && !this.#leaving.has(profile)) this.#begin(profile, registration);
  }

  /** Takes a name out of DNS before its tunnel goes. Resolves in any case, soon. */
  async withdraw(profile: string): Promise<void> {
    const job = this.#jobs.get(profile);
    if (!job) return;
    this.#leaving.add(profile);
    this.#drop(profile, job);
    const act = async (): Promise<void> => {
      await job.turn;
      if (!job.registered) return;
      await withdrawName(job.registered);
      this.#options.log.info(`${job.state.name} was taken out of DNS`, profile);
    };
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      if (job.registered)
        this.#options.log.warn(`${job.state.name} may still be in DNS: the name server does not answer`, profile);
      resolve();
    }, withdrawPatience);
    await Promise.race([
      act().catch((error: unknown) =>
        this.#options.log.warn(`${job.state.name} could not be taken out of DNS: ${messageOf(error)}`, profile),
      ),
      late,
    ]);
    clearTimeout(timer);
  }

  close(): void {
    for (const [profile, job] of this.#jobs) this.#drop(profile, job);
  }

  #drop(profile: string, job: Job): void {
    job.over = true;
    clearTimeout(job.retry);
    if (this.#jobs.get(profile) === job) this.#jobs.delete(profile);
  }

  #begin(profile: string, wanted: DnsRegistration): void {
    const name = this.#nameOf(wanted);
    const job: Job = {
      wanted,
      key: this.#keyOf(wanted),
      state: { name: name ?? hostname(), state: 'pending' },
      registered: undefined,
      retry: undefined,
      failures: 0,
      over: false,
      turn: Promise.resolve(),
    };
    this.#jobs.set(profile, job);
    if (name === undefined) {
      const what = `${JSON.stringify(hostname())} has no domain: there is no DnsSuffix and no dns-update-name`;
      this.#failed(profile, job, { code: 'AOV-HOST-336', what, cure: 'Set dns-update-name, or DnsSuffix in the profile.' });
      return;
    }
    job.turn = this.#attempt(profile, job, name);
  }

  async #attempt(profile: string, job: Job, name: string): Promise<void> {
    const { network, log } = this.#options;
    const { device, addresses, servers } = job.wanted;
    const registration: NameRegistration = {
      device,
      name,
      addresses,
      servers,
      credential: this.#credentialOf(profile),
      leadsThrough: (server) => network.routeTo(server)?.device === device,
    };
    let next = refreshInterval;
    try {
      job.registered = await registerName(registration);
      if (job.over) return;
      const { server, reverse, notes } = job.registered;
      const reversed = reverse.map(({ address }) => formatAddress(address)).join(' ');
      if (job.state.state !== 'registered')
        log.info(
          `registered in DNS as ${name} at ${formatAddress(server)}: ${addresses.map(formatAddress).join(' ')}; reverse names of ${reversed || 'none'}`,
          profile,
        );
      for (const note of notes) log.debug(note, profile);
      job.failures = 0;
      job.state = { name, state: 'registered' };
      this.#options.onChange(profile);
    } catch (error) {
      if (job.over) return;
      const { code = 'AOV-HOST-330', what = messageOf(error), cure = '' } = error as Partial<HostError>;
      this.#failed(profile, job, { code, what, cure });
      next = Math.min(longestRetry, firstRetry * 2 ** job.failures++);
    }
    job.retry = setTimeout(() => {
      job.turn = this.#attempt(profile, job, name);
    }, next);
    job.retry.unref();
  }

  #failed(profile: string, job: Job, problem: NonNullable<RegistrationState['problem']>): void {
    if (job.state.problem?.what !== problem.what)
      this.#options.log.warn(`not registered in DNS as ${job.state.name}: ${problem.what} [${problem.code}]`, profile);
    job.state = { name: job.state.name, state: 'failed', problem };
    this.#options.onChange(profile);
  }

  /** What a new registration would be made for: anything else is the same one. */
  #keyOf(wanted: DnsRegistration): string {
    const { device, addresses, servers } = wanted;
    const texts = [addresses, servers].map((list) => list.map(formatAddress).join(' '));
    return JSON.stringify([device, ...texts, this.#nameOf(wanted), this.#credentialOf(wanted.profile)]);
  }

  #nameOf({ profile, domain }: DnsRegistration): string | undefined {
    const { dnsUpdateName } = this.#options.settings(profile);
    if (dnsUpdateName !== undefined) return normaliseDomain(dnsUpdateName);
    const own = normaliseDomain(hostname());
    if (own === undefined || own.includes('.')) return own;
    return domain === undefined ? undefined : `${own}.${domain}`;
  }

  #credentialOf(profile: string): UpdateCredential {
    const { dnsUpdateKey, dnsUpdateKeytab } = this.#options.settings(profile);
    const { configDir } = this.#options;
    if (dnsUpdateKey !== undefined) return { kind: 'tsig', keyFile: path.resolve(configDir, dnsUpdateKey) };
    if (dnsUpdateKeytab !== undefined) return { kind: 'kerberos', keytab: path.resolve(configDir, dnsUpdateKeytab) };
    return { kind: 'none' };
  }
}
