import { createHash } from 'node:crypto';
import path from 'node:path';
import {
  HostError,
  createTlsSessionCache,
  type AskPin,
  type GatewayVerifier,
  type KeyRing,
  type TlsSessionCache,
} from '@aovpn/host';
import { isNameTrigger, type AppName, type CertificateChoice } from '@aovpn/policy';
import type { Profile } from '@aovpn/profile';
import {
  compileIkeConfig,
  gatewayNamesOf,
  problem,
  type CompiledIkeConfig,
  type ConnectionSpec,
  type Problem,
} from '@aovpn/supervisor';
import type { Attendance } from './attendance.ts';
import {
  digestFiles,
  findCredentials,
  keyPlaces,
  loadCredentials,
  openRing,
  type CredentialPaths,
  type CredentialStem,
  type KeyPlaces,
  type LoadedCredentials,
} from './credentials.ts';
import { goesWithoutCertificate, keyMaterialFiles } from './key-material.ts';
import type { Log } from './log.ts';
import { keyringDigest, passwordStores, type PasswordPlaces } from './password-stores.ts';
import { Passwords } from './passwords.ts';
import type { Platform } from './platform-port.ts';
import { messageOf, problemOfError } from './problem-error.ts';
import type { StoredProfile } from './profile-store.ts';
import { tunnelParts, tunnelSettings } from './tunnel-key.ts';
import type { PromptDesk } from './prompt-desk.ts';
import { wantsSecret } from './secret-need.ts';
import type { ProfileSettings } from './profile-settings.ts';

/** What is known of a profile that is in force, besides what it says. */
export interface Candidate {
  readonly stored: StoredProfile;
  readonly settings: ProfileSettings;
  readonly paths: CredentialPaths;
  readonly keys: KeyPlaces;
  readonly digest: string;
  /** Differs when a tunnel would be another one. */
  readonly tunnelKey: string;
  /** Differs when another tunnel, user or key must not go on with the session of this one. */
  readonly sessionKey: string;
  readonly choice?: CertificateChoice;
  readonly credentials?: LoadedCredentials;
  readonly compiled?: CompiledIkeConfig;
  readonly verifier?: GatewayVerifier;
}

/** What lives as long as the profile is there, through all of its versions. */
export interface Keepsakes {
  readonly passwords: Passwords;
  readonly sessions: TlsSessionCache;
  readonly ring: KeyRing;
  /** The certificate that a person chose, for this version of the profile. */
  readonly picked: { readonly id: string; readonly tunnelKey: string } | undefined;
}

interface Kept extends Keepsakes {
  /** What the ring was opened for. */
  readonly ringKey: string;
  picked: Keepsakes['picked'];
  /** What tokens and directories had when they were looked into last. */
  seen: string;
}

export interface CandidateStoreOptions {
  readonly configDir: string;
  /** Where the files of a profile are. */
  readonly stems: (stored: StoredProfile) => readonly CredentialStem[];
  readonly settings: (name: string) => ProfileSettings;
  /** The machine's full name, where it has one. */
  readonly hostName: () => string | undefined;
  readonly attendance: Attendance;
  readonly desk: PromptDesk;
  readonly log: Log;
  /** Whether the certificate of an enrolment has expired. */
  readonly hasExpired: (enrolment: string) => boolean;
  /** LockDown that root has not released. */
  readonly isLocking: (intent: StoredProfile['intent']) => boolean;
  /** A tunnel uses the credentials: tokens are left alone then. */
  readonly inUse: (name: string) => boolean;
  readonly createGatewayVerifier: Platform['createGatewayVerifier'];
  /** A person has chosen a certificate. */
  readonly onPicked: (name: string) => void;
}

/** Credentials of every profile in force, and what becomes of profile, settings and credentials together. */
export class CandidateStore {
  readonly #options: CandidateStoreOptions;
  readonly #candidates = new Map<string, Candidate>();
  readonly #kept = new Map<string, Kept>();

  constructor(options: CandidateStoreOptions) {
    this.#options = options;
  }

  get(name: string): Candidate | undefined {
    return this.#candidates.get(name);
  }

  keepsakes(name: string): Keepsakes | undefined {
    return this.#kept.get(name);
  }

  /** Where files lie that the settings name. */
  directories(): readonly string[] {
    const { configDir } = this.#options;
    return [...this.#candidates.values()].flatMap(({ settings, paths }) => [
      ...[...Object.values(paths as Record<string, string>), ...keyMaterialFiles(settings)].map((file) =>
        path.dirname(path.resolve(configDir, file)),
      ),
      ...(settings.certificateDirectory === undefined ? [] : [path.resolve(configDir, settings.certificateDirectory)]),
    ]);
  }

  async remove(name: string): Promise<void> {
    this.#candidates.delete(name);
    const kept = this.#kept.get(name);
    this.#kept.delete(name);
    this.#options.desk.withdraw(name);
    if (kept) await this.#drop(kept);
  }

  /** Overwrites secrets and lets go of tokens. */
  async close(): Promise<void> {
    for (const kept of this.#kept.values()) await this.#drop(kept);
    this.#kept.clear();
  }

  /** Reads credentials if they or the profile differ; undefined: all is as it was. */
  async load(stored: StoredProfile, force: boolean): Promise<ConnectionSpec | undefined> {
    const { name, profile, intent } = stored;
    const { configDir, stems: stemsOf, log, inUse } = this.#options;
    const stems = stemsOf(stored);
    const settings = this.#options.settings(name);
    const paths = await findCredentials(stems, settings, configDir);
    const keys = keyPlaces(paths, settings, configDir);
    const tunnelKey = keyOf(tunnelParts(profile), tunnelSettings(settings));
    const kept = await this.#keep(stored, settings, keys, { paths, stems });
    const before = this.#candidates.get(name);
    if (keys.more.length > 0 && (force || !inUse(name))) kept.seen = await digestRing(kept.ring);
    const files = await this.#digestFiles(settings, paths);
    const digest = await this.#digest(profile, settings, files, kept);
    if (!force && before?.digest === digest) return undefined;
    if (before && before.digest !== digest) kept.sessions.clear();
    const picked = kept.picked?.tunnelKey === tunnelKey ? kept.picked.id : undefined;
    const loaded = await loadCredentials(profile, paths, keys, kept.ring, settings, configDir, picked);
    const sessionKey = keyOf(tunnelKey, files, picked ?? '');
    let candidate: Candidate = { stored, settings, paths, keys, digest, tunnelKey, sessionKey };
    let obstacle = 'problem' in loaded ? loaded.problem : undefined;
    if (loaded.choice) candidate = { ...candidate, choice: loaded.choice };
    if (loaded.choice?.outcome.kind === 'chosen')
      for (const { reason, line } of loaded.choice.outcome.objections)
        log.warn(`the certificate was named explicitly, although ${reason}${line === undefined ? '' : ` (line ${line})`}`, name);
    if (!('problem' in loaded)) {
      const made = await this.#compile(candidate, loaded, kept);
      candidate = made.candidate;
      obstacle = made.problem;
    }
    // The gateway would refuse it, with less to say.
    if (!obstacle && this.#hasExpired(settings)) obstacle = problem('enrolmentExpired', settings.enrolment);
    this.#candidates.set(name, candidate);
    if (obstacle && inUse(name))
      log.error(
        `${obstacle.message} [${obstacle.code}]; the tunnel that runs goes on, the next one cannot begin. ${obstacle.cure}`,
        name,
      );
    if (intent.alwaysOn.value) this.askForChoice(name);
    return {
      name,
      tunnel: intent.tunnel,
      automatic: intent.alwaysOn.value,
      triggers: intent.triggers.map(({ app }) => titleOf(app.value)),
      nameTriggers: intent.nameRules.filter((rule) => isNameTrigger(intent, rule)).map((rule) => rule.name),
      servers: gatewayNamesOf(profile),
      tcp: settings.tcp,
      tunnelKey,
      retryKey: keyOf(tunnelKey, settings, digest),
      ...(obstacle && { problem: obstacle }),
      ...(this.#options.isLocking(intent) && { lockdown: true }),
      outageMs: (intent.networkOutageSeconds.value ?? 0) * 1000,
    };
  }

  /** Several certificates fit, and the profile wants a person to say which: asks, if somebody is there and was not asked yet. */
  askForChoice(name: string): void {
    const { desk, attendance, onPicked } = this.#options;
    const candidate = this.#candidates.get(name);
    const outcome = candidate?.choice?.outcome;
    if (outcome?.kind !== 'ambiguous' || !attendance.isAttended(name)) return;
    if (desk.list().some(({ connection, kind }) => connection === name && kind === 'certificate')) return;
    const question = {
      connection: name,
      kind: 'certificate',
      text: `Which certificate is yours for "${name}"`,
      choices: outcome.candidates.map(({ id, subject, issuer, notAfter, source }) => ({
        id,
        text: `${subject}, from ${issuer}, until ${new Date(notAfter).toISOString().slice(0, 10)} (${source})`,
      })),
    } as const;
    void desk.ask(question).then((reply) => {
      const kept = this.#kept.get(name);
      if (reply.kind !== 'chosen' || !kept || this.#candidates.get(name)?.tunnelKey !== candidate?.tunnelKey) return;
      kept.picked = { id: reply.choice, tunnelKey: candidate!.tunnelKey };
      onPicked(name);
    });
  }

  async #compile(
    candidate: Candidate,
    loaded: LoadedCredentials,
    kept: Kept,
  ): Promise<{ readonly candidate: Candidate; readonly problem: Problem | undefined }> {
    const { settings, stored } = candidate;
    const { profile } = stored;
    try {
      const facts = {
        ...loaded.facts,
        hasPassword: wantsSecret(profile) && (await this.#hasPassword(stored.name, settings, kept)),
      };
      const credentials: LoadedCredentials = { ...loaded, facts };
      const userName = settings.userName ?? loaded.userName;
      const identity = this.#identityOf(settings);
      const whole = { ...settings, ...(userName !== undefined && { userName }), ...(identity !== undefined && { identity }) };
      const compiled = compileIkeConfig(profile, whole, facts, loaded.material.secrets);
      const verifier = this.#options.createGatewayVerifier(credentials, settings);
      if ('problem' in compiled) return { candidate: { ...candidate, credentials, verifier }, problem: compiled.problem };
      for (const warning of compiled.warnings) this.#options.log.warn(warning, stored.name);
      return {
        candidate: { ...candidate, credentials, verifier, compiled: withHostSettings(compiled, settings) },
        problem: undefined,
      };
    } catch (error) {
      return { candidate, problem: problemOfError(error) };
    }
  }

  /** Who has no certificate to take a name from, and was given none, goes by the machine's own. */
  #identityOf(settings: ProfileSettings): string | undefined {
    return settings.identity ?? (goesWithoutCertificate(settings) ? this.#options.hostName() : undefined);
  }

  /** @throws {HostError} when the file is there and nobody should trust it: that is for the administrator to mend, not to be passed over */
  async #hasPassword(name: string, { passwordSources }: ProfileSettings, { passwords }: Kept): Promise<boolean> {
    const problem = await passwords.check();
    if (problem instanceof HostError) throw problem;
    if (await passwords.isKnown()) return true;
    return passwordSources.includes('prompt') && this.#options.attendance.isAttended(name);
  }

  async #keep(
    stored: StoredProfile,
    settings: ProfileSettings,
    keys: KeyPlaces,
    places: Pick<PasswordPlaces, 'paths' | 'stems'>,
  ): Promise<Kept> {
    const { name, profile } = stored;
    const { desk, log } = this.#options;
    const passwordOptions = {
      connection: name,
      log,
      ask: (question: Parameters<PromptDesk['ask']>[0]) => desk.ask(question),
      ...passwordStores({
        connection: name,
        settings,
        ...places,
        remember: profile.rememberCredentials?.value === true,
      }),
    };
    const ringKey = JSON.stringify(keys);
    const known = this.#kept.get(name);
    known?.passwords.reconfigure(passwordOptions);
    if (known?.ringKey === ringKey) return known;
    if (known)
      await known.ring.close().catch((error: unknown) => log.warn(`a token was not let go of: ${messageOf(error)}`, name));
    const kept: Kept = {
      passwords: known?.passwords ?? new Passwords(passwordOptions),
      sessions: known?.sessions ?? createTlsSessionCache(),
      ring: openRing(keys, this.#askPin(name)),
      ringKey,
      picked: known?.picked,
      seen: '',
    };
    this.#kept.set(name, kept);
    return kept;
  }

  #askPin(connection: string): AskPin {
    return async ({ label, serial, retry, countLow, finalTry }) => {
      const warning = finalTry
        ? 'One more wrong PIN locks the token.'
        : countLow
          ? 'A wrong PIN was given before; a few more lock the token.'
          : undefined;
      const reply = await this.#options.desk.ask({
        connection,
        kind: 'pin',
        text: `PIN of the token "${label}" (${serial}) for "${connection}"`,
        retry,
        ...(warning !== undefined && { message: warning }),
      });
      return reply.kind === 'secret' ? reply.secret : undefined;
    };
  }

  async #digestFiles(settings: ProfileSettings, paths: CredentialPaths): Promise<string> {
    const pinFile = settings.pkcs11PinFile;
    const others = [...(pinFile === undefined ? [] : [pinFile]), ...keyMaterialFiles(settings)];
    return await digestFiles(paths, others, this.#options.configDir);
  }

  async #digest(profile: Profile, settings: ProfileSettings, files: string, kept: Kept): Promise<string> {
    const { attendance } = this.#options;
    const needsPerson = wantsSecret(profile) || kept.seen !== '';
    return keyOf(
      files,
      kept.seen,
      this.#hasExpired(settings),
      kept.picked?.id ?? '',
      this.#identityOf(settings) ?? '',
      wantsSecret(profile) ? await keyringDigest(settings) : '',
      needsPerson ? attendance.arrivals : 0,
    );
  }

  #hasExpired({ enrolment }: ProfileSettings): boolean {
    return enrolment !== undefined && this.#options.hasExpired(enrolment);
  }

  async #drop({ passwords, sessions, ring }: Kept): Promise<void> {
    passwords.forget();
    sessions.clear();
    await ring.close().catch((error: unknown) => this.#options.log.warn(`a token was not let go of: ${messageOf(error)}`));
  }
}

async function digestRing(ring: KeyRing): Promise<string> {
  const ids = (await ring.candidates()).map(({ id, hasKey }) => `${id} ${hasKey}`);
  return [...ids, ...ring.problems().map(({ source, error }) => `${source} ${error.code}`)].sort().join('\n');
}

function titleOf(app: AppName): string {
  return app.kind === 'system' ? 'SYSTEM' : app.written;
}

function withHostSettings(compiled: CompiledIkeConfig, { allowEapOnly, revocation }: ProfileSettings): CompiledIkeConfig {
  const config = { ...compiled.config, ocsp: revocation !== 'off' };
  if (!allowEapOnly || config.auth.kind !== 'eap') return { ...compiled, config };
  return { ...compiled, config: { ...config, auth: { ...config.auth, allowEapOnly } } };
}

function keyOf(...parts: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}
