import { stat } from 'node:fs/promises';
import path from 'node:path';
import process from 'node:process';
import type { EnrolmentStatus } from '@aovpn/api';
import { fromHex, wipe } from '@aovpn/bytes';
import {
  describeEnrolled,
  hasAcmeAccount,
  readSecretFile,
  pendingFile,
  readSystemdCredential,
  type CertificateObtained,
  type CertificateWanted,
  type EnrolledCertificate,
} from '@aovpn/host';
import { normaliseDomain, type CertificateNames } from '@aovpn/policy';
import { decideEnrolment, problemOfEnrolment, type EnrolmentPlan, type LastTry, type Problem } from '@aovpn/supervisor';
import { DaemonError } from './daemon-error.ts';
import type { EnrolmentSettings } from './enrolment-settings.ts';
import type { Log } from './log.ts';
import { messageOf, problemOfError } from './problem-error.ts';
import { readTrustedFile } from './trusted-file.ts';

export interface EnrolmentsOptions {
  readonly configDir: string;
  /** Where enrolled certificates are. */
  readonly directory: string;
  readonly settings: () => ReadonlyMap<string, EnrolmentSettings>;
  /** The machine's full name. */
  readonly hostName: () => string;
  readonly obtain: (wanted: CertificateWanted) => Promise<CertificateObtained>;
  /** Connections whose certificate it is. */
  readonly usedBy: (name: string) => readonly string[];
  /** A certificate is another one, or has expired. */
  readonly onChange: () => void;
  readonly log: Log;
}

interface Entry {
  settings: EnrolmentSettings;
  /** What a failure rests on: when it differs, the last try says nothing any more. */
  basis: string;
  /** The basis on which the secret of the settings was refused. */
  refused: string | undefined;
  certificate: EnrolledCertificate | undefined;
  /** The file is there and cannot be used. */
  fault: Problem | undefined;
  hasSecret: boolean;
  /** The certificate whose end was told. */
  expired: string | undefined;
  last: (LastTry & { readonly detail: string }) | undefined;
  timer: NodeJS.Timeout | undefined;
}

/** Where enrolled certificates are, with their keys. */
export function enrolledDirectory(stateDir: string): string {
  return path.join(stateDir, 'enrolled');
}

/** The longest sleep between two looks, milliseconds: clocks are set, and machines sleep. */
const longestSleep = 3_600_000;
/** What came after a failure for want of a way is tried again when there may be one, and not more often than this, milliseconds. */
const wayPause = 5_000;

/** Certificates that this machine has from enrolment servers: asked for when there is none, renewed before they end. It decides nothing: see `decideEnrolment`. */
export class Enrolments {
  readonly #options: EnrolmentsOptions;
  readonly #entries = new Map<string, Entry>();
  /** Tries under way, by name: one that the settings had no more meanwhile still writes the files of that name. */
  readonly #running = new Map<string, Promise<void>>();
  #looking: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: EnrolmentsOptions) {
    this.#options = options;
  }

  /** Settings, secrets, certificates or the clock may be others. */
  async look(): Promise<void> {
    const mine = this.#looking.then(() => this.#look());
    this.#looking = mine.catch((error: unknown) => this.#options.log.error(`enrolment: ${messageOf(error)}`));
    await this.#looking;
  }

  /** There may be a way now to a server that could not be reached. */
  wayFound(): void {
    for (const [name, entry] of this.#entries) {
      const { last } = entry;
      if (last?.outcome !== 'unreachable' || last.retryAfter !== undefined || Date.now() < last.at + wayPause) continue;
      entry.last = undefined;
      this.#arm(name, entry);
    }
  }

  /** Whether there is a certificate that proves nothing any more. */
  hasExpired(name: string): boolean {
    const { certificate } = this.#entries.get(name) ?? {};
    return certificate !== undefined && certificate.notAfter <= Date.now();
  }

  status(): readonly EnrolmentStatus[] {
    return [...this.#entries].map(([name, entry]) => this.#status(name, entry));
  }

  /** @param secret overwritten @throws {DaemonError} AOV-DAEMON-570, AOV-DAEMON-573 */
  async enrol(name: string, secret: Uint8Array | undefined): Promise<EnrolmentStatus> {
    try {
      await this.look();
      if (!secret && !this.#get(name).hasSecret) throw new DaemonError('AOV-DAEMON-573', name);
      const { entry, before } = await this.#run(name, 'enrol', secret);
      const status = this.#status(name, entry);
      // What a person tried by hand says nothing about what is done without that person.
      if (secret && status.problem && entry.last?.outcome !== 'pending') {
        entry.last = before;
        this.#arm(name, entry);
      }
      return status;
    } finally {
      if (secret) wipe(secret);
    }
  }

  /** @throws {DaemonError} AOV-DAEMON-570, AOV-DAEMON-571 */
  async renew(name: string): Promise<EnrolmentStatus> {
    await this.look();
    const { certificate } = this.#get(name);
    if (!certificate || certificate.notAfter <= Date.now()) throw new DaemonError('AOV-DAEMON-571', name);
    await this.#run(name, 'renew');
    return this.#status(name, this.#get(name));
  }

  close(): void {
    this.#closed = true;
    for (const { timer } of this.#entries.values()) clearTimeout(timer);
  }

  #get(name: string): Entry {
    const entry = this.#entries.get(name);
    if (!entry) throw new DaemonError('AOV-DAEMON-570', name);
    return entry;
  }

  async #look(): Promise<void> {
    const wanted = this.#options.settings();
    for (const [name, { timer }] of this.#entries) {
      if (wanted.has(name)) continue;
      clearTimeout(timer);
      this.#entries.delete(name);
    }
    for (const [name, settings] of wanted) {
      const { basis, hasSecret } = await this.#sources(name, settings);
      const entry = this.#entries.get(name) ?? newEntry(settings, basis);
      if (entry.basis !== basis) entry.last = undefined;
      Object.assign(entry, { settings, basis, hasSecret });
      await this.#read(name, entry);
      this.#entries.set(name, entry);
      this.#arm(name, entry);
    }
  }

  async #read(name: string, entry: Entry): Promise<void> {
    try {
      entry.certificate = await describeEnrolled(this.#options.directory, name);
      entry.fault = undefined;
    } catch (error) {
      // Nothing overwrites what an administrator may still need; asking by hand does.
      entry.certificate = undefined;
      entry.fault = problemOfError(error);
    }
  }

  /** What there is to enrol with, and a digest of it. */
  async #sources(name: string, settings: EnrolmentSettings): Promise<{ readonly basis: string; readonly hasSecret: boolean }> {
    const { secretFile, secretCredential, certificate, key, ca, issuingCa, dnsUpdateKey, dnsUpdateKeytab } = settings;
    const directory = process.env['CREDENTIALS_DIRECTORY'];
    const secrets = [
      ...[secretFile, certificate].map((file) => file && this.#path(file)),
      secretCredential && directory && path.join(directory, secretCredential),
    ];
    const others = [key, ca, issuingCa, dnsUpdateKey, dnsUpdateKeytab].map((file) => file && this.#path(file));
    const marks = await Promise.all([...secrets, ...others].map(markOf));
    const secret = marks.slice(0, secrets.length).some((mark) => mark !== undefined);
    return { basis: JSON.stringify([settings, marks]), hasSecret: secret || (await this.#asksByItself(name, settings)) };
  }

  async #asksByItself(name: string, { protocol, userName }: EnrolmentSettings): Promise<boolean> {
    const { directory } = this.#options;
    // An account that needs no binding is had for the asking; one that is there needs no secret any more (RFC 8555 §7.3.4).
    if (protocol === 'acme') return userName === '' || (await hasAcmeAccount(directory, name));
    // Polling by SCEP takes the key of the request and nothing else.
    return protocol === 'scep' && (await markOf(pendingFile(directory, name))) !== undefined;
  }

  #plan({ certificate, hasSecret, settings, last }: Entry): EnrolmentPlan {
    return decideEnrolment(
      {
        ...(certificate && { certificate }),
        hasSecret,
        renewBefore: settings.renewBefore,
        // The same until there is another certificate.
        spread: certificate ? Number.parseInt(certificate.id.slice(0, 8), 16) / 0x1_0000_0000 : 0,
        ...(last && { last }),
      },
      Date.now(),
    );
  }

  #arm(name: string, entry: Entry): void {
    clearTimeout(entry.timer);
    // Of one that the settings have no more, the last try may come to its end later.
    if (this.#closed || this.#running.has(name) || this.#entries.get(name) !== entry) return;
    const { certificate } = entry;
    if (certificate && certificate.notAfter <= Date.now() && entry.expired !== certificate.id) {
      entry.expired = certificate.id;
      this.#options.onChange();
    }
    if (entry.fault) return;
    const plan = this.#plan(entry);
    if (plan.kind === 'stuck') return;
    const now = Date.now();
    const { notAfter = 0 } = certificate ?? {};
    const end = notAfter > now ? notAfter : Infinity;
    entry.timer = setTimeout(
      () => {
        const next = this.#plan(entry);
        if (next.kind === 'stuck' || next.at > Date.now()) this.#arm(name, entry);
        else void this.#run(name, next.kind);
      },
      Math.max(0, Math.min(plan.at - now, end - now, longestSleep)),
    );
  }

  /** @throws {DaemonError} AOV-DAEMON-570 where the settings have it no more when its turn comes */
  async #run(
    name: string,
    how: 'enrol' | 'renew',
    secret?: Uint8Array,
  ): Promise<{ readonly entry: Entry; readonly before: Entry['last'] }> {
    // One after the other: they write the same files.
    for (let running; (running = this.#running.get(name));) await running;
    const entry = this.#get(name);
    const before = entry.last;
    clearTimeout(entry.timer);
    const run = this.#try(name, entry, how, secret).catch((error: unknown): CertificateObtained => {
      const { message, code } = problemOfError(error);
      return { kind: 'failed', failure: 'host', detail: `${message} [${code}]` };
    });
    const running = run
      .then((outcome) => this.#take(name, entry, how, outcome))
      // Whatever becomes of it, the next one has its turn.
      .finally(() => {
        this.#running.delete(name);
        const current = this.#entries.get(name);
        if (current) this.#arm(name, current);
      });
    this.#running.set(name, running);
    await running;
    return { entry, before };
  }

  async #try(name: string, entry: Entry, how: 'enrol' | 'renew', given: Uint8Array | undefined): Promise<CertificateObtained> {
    const { settings, basis } = entry;
    const { url, ca, issuingCa, caFingerprint, keyType, certificate, key, userName, protocol, allowWeak } = settings;
    // An account of ACME that its authority has forgotten makes itself known again, also to renew; not with a secret that was refused.
    const needsSecret = how === 'enrol' || (protocol === 'acme' && entry.refused !== basis);
    const own = needsSecret && !given ? await this.#readSecret(settings) : undefined;
    const secret = given ?? own;
    try {
      const authorities = await this.#readAuthorities(ca);
      const issuers = await this.#readAuthorities(issuingCa);
      const obtained = await this.#options.obtain({
        directory: this.#options.directory,
        name,
        protocol,
        url: url!,
        ...(authorities !== undefined && { authorities }),
        ...(issuers !== undefined && { issuers }),
        ...(caFingerprint !== undefined && { fingerprint: fromHex(caFingerprint) }),
        names: this.#names(settings),
        ...(keyType !== undefined && { key: keyType }),
        how,
        weak: allowWeak,
        // Another secret is for another request.
        anew: given !== undefined,
        ...(secret && { secret: { userName, octets: secret } }),
        ...(protocol === 'acme' && { acme: this.#acme(settings) }),
        ...(certificate !== undefined &&
          how === 'enrol' && {
            credential: { certificate: this.#path(certificate), ...(key !== undefined && { key: this.#path(key) }) },
          }),
      });
      if (own && obtained.kind === 'failed' && obtained.failure === 'secret-refused') entry.refused = basis;
      return obtained;
    } finally {
      if (own) wipe(own);
    }
  }

  async #readAuthorities(file: string | undefined): Promise<string | undefined> {
    if (file === undefined) return undefined;
    const text = await readTrustedFile(this.#path(file));
    if (text === undefined) throw new DaemonError('AOV-DAEMON-572', this.#path(file));
    return text;
  }

  #acme({
    userName,
    agreeToTerms,
    dnsUpdateKey,
    dnsUpdateKeytab,
    dnsServers,
  }: EnrolmentSettings): NonNullable<CertificateWanted['acme']> {
    const credential =
      dnsUpdateKey !== undefined
        ? { kind: 'tsig' as const, keyFile: this.#path(dnsUpdateKey) }
        : dnsUpdateKeytab !== undefined && { kind: 'kerberos' as const, keytab: this.#path(dnsUpdateKeytab) };
    return {
      keyId: userName,
      termsAgreed: agreeToTerms,
      ...(credential && { proofs: { credential, ...(dnsServers && { servers: dnsServers }) } }),
    };
  }

  async #readSecret({ protocol, secretFile, secretCredential }: EnrolmentSettings): Promise<Uint8Array | undefined> {
    // The MAC key of an account that is there may be gone.
    if (protocol === 'acme' && secretFile !== undefined && (await markOf(this.#path(secretFile))) === undefined) return undefined;
    if (secretFile !== undefined) return await readSecretFile(this.#path(secretFile));
    return secretCredential === undefined ? undefined : await readSystemdCredential(secretCredential);
  }

  /** Without names of its own it is the machine's certificate. */
  #names({ subject, dnsNames, emailAddresses, userPrincipalNames }: EnrolmentSettings): CertificateNames {
    const name = this.#options.hostName();
    const others = emailAddresses.length + userPrincipalNames.length > 0;
    return {
      // RFC 5280 appendix A.1: a common name has at most 64 characters.
      subject: subject ?? (name.length <= 64 ? [{ type: '2.5.4.3', text: name, as: 'utf8' }] : []),
      dns: dnsNames ?? (others || normaliseDomain(name) === undefined ? [] : [name]),
      email: emailAddresses,
      upn: userPrincipalNames,
    };
  }

  async #take(name: string, entry: Entry, how: 'enrol' | 'renew', outcome: CertificateObtained): Promise<void> {
    const { log, onChange, usedBy } = this.#options;
    entry.hasSecret ||= await this.#asksByItself(name, entry.settings);
    const connection = usedBy(name)[0];
    if (outcome.kind === 'issued') {
      entry.last = undefined;
      await this.#read(name, entry);
      const { certificate } = entry;
      log.info(
        `certificate "${name}" ${how === 'renew' ? 'renewed' : 'enrolled'}: ${certificate?.subject ?? ''}, until ${new Date(certificate?.notAfter ?? 0).toISOString()}`,
        connection,
      );
      onChange();
    } else {
      const { last } = entry;
      const result = outcome.kind === 'pending' ? ('pending' as const) : outcome.failure;
      entry.last = {
        at: Date.now(),
        outcome: result,
        times: last?.outcome === result ? last.times + 1 : 1,
        random: Math.random(),
        ...(outcome.retryAfter !== undefined && { retryAfter: outcome.retryAfter }),
        detail: outcome.detail ?? '',
      };
      const problem = this.#status(name, entry).problem;
      if (problem)
        log.write(
          outcome.kind === 'pending' ? 'info' : how === 'renew' ? 'warn' : 'error',
          `certificate "${name}": ${problem.message} [${problem.code}]; ${problem.cure}`,
          connection,
        );
    }
    const current = this.#entries.get(name);
    // Taken out of the settings and put there again meanwhile: what this try has brought is known to nobody yet.
    if (current && current !== entry) {
      await this.#read(name, current);
      current.hasSecret ||= entry.hasSecret;
    }
  }

  #status(name: string, entry: Entry): EnrolmentStatus {
    const { settings, certificate, last, fault } = entry;
    const plan = this.#plan(entry);
    const problem = fault ?? problemOfEnrolment(plan, last);
    const at = new Date(last?.at ?? Date.now()).toISOString();
    const pending = last?.outcome === 'pending' ? ('pending' as const) : ('none' as const);
    return {
      name,
      protocol: settings.protocol,
      url: settings.url!,
      state: !certificate ? pending : certificate.notAfter > Date.now() ? 'valid' : 'expired',
      ...(certificate && {
        certificate: {
          id: certificate.id,
          subject: certificate.subject,
          issuer: certificate.issuer,
          notBefore: new Date(certificate.notBefore).toISOString(),
          notAfter: new Date(certificate.notAfter).toISOString(),
        },
      }),
      ...(plan.kind !== 'stuck' && !fault && { next: { what: plan.kind, at: new Date(plan.at).toISOString() } }),
      why: plan.why,
      ...(problem && { problem: { ...shown(problem), at } }),
      connections: this.#options.usedBy(name),
    };
  }

  #path(written: string): string {
    return path.resolve(this.#options.configDir, written);
  }
}

function shown({ code, side, message, cure }: Problem): Omit<Problem, 'retry'> {
  return { code, side, message, cure };
}

function newEntry(settings: EnrolmentSettings, basis: string): Entry {
  return {
    settings,
    basis,
    refused: undefined,
    certificate: undefined,
    fault: undefined,
    hasSecret: false,
    expired: undefined,
    last: undefined,
    timer: undefined,
  };
}

/** Differs when the file is another one; undefined: there is none. */
async function markOf(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  const facts = await stat(file).catch(() => undefined);
  return facts && `${facts.ino} ${facts.size} ${facts.mtimeMs}`;
}
