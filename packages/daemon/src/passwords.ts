import { createHmac, randomBytes } from 'node:crypto';
import { wipe } from '@aovpn/bytes';
import { problem, type Problem } from '@aovpn/supervisor';
import type { Log } from './log.ts';
import type { PromptQuestion, PromptReply } from './prompt-desk.ts';
import type { PasswordSourceName } from './profile-settings.ts';
import { messageOf } from './problem-error.ts';

/** A place that remembers passwords. */
export interface PasswordStore {
  /** For people: `/etc/aovpn/profiles.d/NAME.secret`. */
  readonly place: string;
  /** Octets for the caller to overwrite; undefined: there is none. */
  read(): Promise<Uint8Array | undefined>;
  /** Absent: it cannot be written from here. Replaces what is there as a whole or not at all; does not keep the octets. */
  write?(secret: Uint8Array): Promise<void>;
}

export interface PasswordOptions {
  readonly connection: string;
  readonly log: Log;
  readonly ask: (question: PromptQuestion) => Promise<PromptReply>;
  /** In the order in which they are asked; `prompt` is the person. */
  readonly sources: readonly PasswordSourceName[];
  /** Undefined: there is none of that kind for this connection. */
  readonly stores: { readonly [S in Exclude<PasswordSourceName, 'prompt'>]?: PasswordStore };
  /** Where a password that a person typed is kept once it has worked; undefined: nowhere (RememberCredentials is not true). */
  readonly remember: PasswordStore | undefined;
}

/** What EAP wants to know. */
export interface SecretQuestion {
  readonly what: 'password' | 'new-password' | 'token';
  readonly userName: string;
  readonly message?: string;
  readonly retry: boolean;
}

type Origin = PasswordSourceName;

/** An answer that nobody has judged yet is good for another try within this time, milliseconds. */
const inHandMs = 300_000;
/** Passwords that were refused, remembered as digests; more of them are not worth it. */
const refusedLimit = 20;

/**
 * The passwords of one connection: asks the sources in their order, never tries a remembered one twice that was refused (it could
 * lock the account), and keeps what a person typed only where and when the profile wants that.
 */
export class Passwords {
  #options: PasswordOptions;
  /** Keyed, so that the digests say nothing. */
  readonly #digestKey = randomBytes(32);
  readonly #refused = new Set<string>();
  /** What the server is judging. */
  #trial:
    | {
        readonly what: 'password' | 'token';
        readonly origin: Origin;
        readonly digest: string;
        readonly typed: Uint8Array | undefined;
      }
    | undefined;
  #changed: Uint8Array | undefined;
  #inHand: { readonly secret: Uint8Array; readonly timer: NodeJS.Timeout } | undefined;
  #tokensGiven = 0;

  constructor(options: PasswordOptions) {
    this.#options = options;
  }

  /** Settings or files differ now; what was refused stays refused. */
  reconfigure(options: PasswordOptions): void {
    this.#options = options;
  }

  /** Whether some source other than a person has a password that may be tried. */
  async isRemembered(): Promise<boolean> {
    const found = await this.#remembered();
    wipe(found?.secret);
    return found !== undefined;
  }

  /** Whether some source has a password, be it one that was refused. */
  async isKnown(): Promise<boolean> {
    if (this.#inHand) return true;
    const found = await this.#remembered(true);
    wipe(found?.secret);
    return found !== undefined;
  }

  /** The error of the password file, if it is there and cannot be used; undefined otherwise. */
  async check(): Promise<unknown> {
    const { sources, stores } = this.#options;
    if (!sources.includes('file')) return undefined;
    try {
      wipe(await stores.file?.read());
      return undefined;
    } catch (error) {
      return error;
    }
  }

  /** Before a connection is made: a person thinks longer than gateways wait. Undefined: there is something to try. */
  async prepare(userName: string): Promise<Problem | undefined> {
    this.#tokensGiven = 0;
    if (this.#inHand || (await this.isRemembered())) return undefined;
    const { secret, why } = await this.#prompt({ what: 'password', userName, retry: this.#refused.size > 0 });
    if (secret) {
      this.#hold(secret);
      return undefined;
    }
    return this.#problemOf(why);
  }

  /** Octets for the caller to overwrite. */
  async answer(question: SecretQuestion): Promise<Uint8Array | undefined> {
    switch (question.what) {
      case 'password':
        if (question.retry) this.refused();
        return await this.#password(question);
      case 'new-password':
        // That the server does not like the new one says nothing about the old one.
        return await this.#newPassword(question);
      case 'token':
        if (question.retry && this.#trial?.what === 'token') this.refused();
        return await this.#token(question);
    }
  }

  /** The server has taken what it was given. */
  async succeeded(): Promise<void> {
    const trial = this.#trial;
    const changed = this.#changed;
    this.#trial = undefined;
    this.#changed = undefined;
    this.#refused.clear();
    try {
      if (changed) await this.#keepChanged(changed, trial?.origin);
      else if (trial?.typed) await this.#keep(trial.typed, this.#options.remember);
    } finally {
      wipe(trial?.typed, changed);
    }
  }

  /** The server has refused what it was given. */
  refused(): void {
    const trial = this.#trial;
    this.#trial = undefined;
    wipe(trial?.typed, this.#changed);
    this.#changed = undefined;
    if (!trial || trial.origin === 'prompt') return;
    if (this.#refused.size >= refusedLimit) this.#refused.clear();
    this.#refused.add(trial.digest);
    const { log, connection, stores } = this.#options;
    const place = stores[trial.origin]?.place ?? trial.origin;
    log.warn(`the password in ${place} was refused; it is not tried again until it is another one`, connection);
  }

  /** A person wants another try, and cannot be asked: what was refused may be right by now. */
  tryAgain(): void {
    this.#refused.clear();
  }

  /** The attempt is over, and nobody said whether the password was right: what a person typed may serve the next one. */
  undecided(): void {
    const trial = this.#trial;
    this.#trial = undefined;
    wipe(this.#changed);
    this.#changed = undefined;
    if (trial?.typed) this.#hold(trial.typed);
  }

  /** Overwrites everything. */
  forget(): void {
    wipe(this.#trial?.typed, this.#changed);
    this.#trial = undefined;
    this.#changed = undefined;
    this.#drop();
  }

  async #password(question: SecretQuestion): Promise<Uint8Array | undefined> {
    const held = this.#inHand;
    if (held) {
      clearTimeout(held.timer);
      this.#inHand = undefined;
      return this.#try('password', 'prompt', held.secret);
    }
    const found = await this.#remembered();
    if (found) return this.#try('password', found.origin, found.secret);
    const { secret } = await this.#prompt(question);
    return secret && this.#try('password', 'prompt', secret);
  }

  async #newPassword(question: SecretQuestion): Promise<Uint8Array | undefined> {
    const { secret } = await this.#prompt(question);
    if (!secret) return undefined;
    wipe(this.#changed);
    this.#changed = Uint8Array.from(secret);
    return secret;
  }

  /** A remembered one answers the first question at most: what is asked then is another code. */
  async #token(question: SecretQuestion): Promise<Uint8Array | undefined> {
    const first = this.#tokensGiven++ === 0 && !this.#trial;
    const found = first ? await this.#remembered() : undefined;
    if (found) return this.#try('token', found.origin, found.secret);
    const { secret } = await this.#prompt(question);
    return secret;
  }

  #try(what: 'password' | 'token', origin: Origin, secret: Uint8Array): Uint8Array {
    wipe(this.#trial?.typed);
    const keep = origin === 'prompt';
    this.#trial = { what, origin, digest: this.#digest(secret), typed: keep ? Uint8Array.from(secret) : undefined };
    return secret;
  }

  async #remembered(evenRefused = false): Promise<{ readonly origin: Origin; readonly secret: Uint8Array } | undefined> {
    const { sources, stores, log, connection } = this.#options;
    for (const origin of sources) {
      const store = origin === 'prompt' ? undefined : stores[origin];
      if (!store) continue;
      try {
        const secret = await store.read();
        if (secret && secret.length > 0 && (evenRefused || !this.#refused.has(this.#digest(secret)))) return { origin, secret };
        wipe(secret);
      } catch (error) {
        log.warn(`no password from ${store.place}: ${messageOf(error)}`, connection);
      }
    }
    return undefined;
  }

  async #prompt(question: SecretQuestion): Promise<{ readonly secret?: Uint8Array; readonly why?: string }> {
    const { sources, ask, connection } = this.#options;
    const { what, userName, message, retry } = question;
    // A new password and a one-time code can come from nowhere else.
    if (what === 'password' && !sources.includes('prompt')) return { why: 'nobody' };
    const reply = await ask({
      connection,
      kind: what,
      text: textOf(what, userName, connection, retry),
      userName,
      ...(message !== undefined && { message }),
      retry,
    });
    if (reply.kind === 'secret') return { secret: reply.secret };
    return { why: reply.kind === 'none' ? reply.why : 'refused' };
  }

  #problemOf(why: string | undefined): Problem {
    if (this.#refused.size > 0)
      return problem('eapWrongPassword', 'the remembered password was refused before and is not tried again');
    switch (why) {
      case 'expired':
        return problem('eapNoSecret', 'nobody answered the prompt in time');
      case 'refused':
        return problem('eapNoSecret', 'a person refused to give it');
      case 'withdrawn':
        return problem('eapNoSecret', 'the question was withdrawn');
      case undefined:
      default:
        return problem('noPassword', 'none is remembered, and nobody is there to be asked');
    }
  }

  async #keepChanged(changed: Uint8Array, origin: Origin | undefined): Promise<void> {
    const { stores, remember, log, connection } = this.#options;
    const store = origin === undefined || origin === 'prompt' ? remember : stores[origin];
    if (store && !store.write) {
      log.error(`the password was changed, but ${store.place} cannot be written from here: put the new one there`, connection);
      return;
    }
    await this.#keep(changed, store);
  }

  async #keep(secret: Uint8Array, store: PasswordStore | undefined): Promise<void> {
    if (!store?.write) return;
    const { log, connection } = this.#options;
    try {
      await store.write(secret);
      log.info(`the password is remembered in ${store.place}`, connection);
    } catch (error) {
      log.error(`the password could not be remembered in ${store.place}: ${messageOf(error)}`, connection);
    }
  }

  #hold(secret: Uint8Array): void {
    this.#drop();
    const timer = setTimeout(() => this.#drop(), inHandMs);
    timer.unref();
    this.#inHand = { secret, timer };
  }

  #drop(): void {
    if (!this.#inHand) return;
    clearTimeout(this.#inHand.timer);
    wipe(this.#inHand.secret);
    this.#inHand = undefined;
  }

  #digest(secret: Uint8Array): string {
    return createHmac('sha256', this.#digestKey).update(secret).digest('base64');
  }
}

function textOf(what: SecretQuestion['what'], userName: string, connection: string, retry: boolean): string {
  switch (what) {
    case 'password':
      return `Password of ${userName} for "${connection}"${retry ? ' (the last one was refused)' : ''}`;
    case 'new-password':
      return `New password of ${userName} for "${connection}"${retry ? ' (the last one was not taken)' : '; the old one has expired'}`;
    case 'token':
      return `One-time code of ${userName} for "${connection}"${retry ? ' (the last one was refused)' : ''}`;
  }
}
