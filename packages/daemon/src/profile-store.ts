import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { lstat, mkdir, open, readdir, readFile, stat, unlink } from 'node:fs/promises';
import path from 'node:path';
import process from 'node:process';
import { domainToASCII } from 'node:url';
import { writeFileAtomically } from '@aovpn/host';
import type { DiagnosticLine, ProfileStatus } from '@aovpn/api';
import { resolveProfile, type DivergenceNote, type Intent } from '@aovpn/policy';
import { defaultLimits, parseProfile, type Diagnostic, type Profile } from '@aovpn/profile';
import type { Problem } from '@aovpn/supervisor';
import { DaemonError } from './daemon-error.ts';
import type { Log } from './log.ts';
import { messageOf } from './problem-error.ts';

/** A profile that is in force. */
export interface StoredProfile {
  readonly name: string;
  readonly profile: Profile;
  readonly intent: Intent;
  readonly notes: readonly DivergenceNote[];
  readonly bytes: Uint8Array;
  /** SHA-256 of the bytes, hexadecimal. */
  readonly digest: string;
  /** ISO 8601. */
  readonly loadedAt: string;
}

export type StoreChange =
  | { readonly kind: 'in-force'; readonly stored: StoredProfile }
  | { readonly kind: 'removed'; readonly name: string }
  /** Its user has signed out; the file is as it was. */
  | { readonly kind: 'left'; readonly name: string }
  /** The file of that name has errors; what was in force still is. */
  | { readonly kind: 'refused'; readonly name: string };

export interface StoreOptions {
  /** Where NAME.xml and the credentials beside it are. */
  readonly directory: string;
  /** Where else there are profiles; of two files of one name the first directory's counts. */
  readonly further?: readonly string[];
  /** What stands before the name of the file in the name of the profile: `alice/`. */
  readonly prefix?: string;
  /** How many profiles are taken. */
  readonly limit?: number;
  /** What becomes of the intent here: whose traffic it is. */
  readonly shape?: (intent: Intent, file: string) => Intent;
  /** Why this profile cannot come into force from this file, whatever it says otherwise. */
  readonly admit?: (intent: Intent, file: string) => DaemonError | undefined;
  /** Whether a copy of what was accepted is kept for the next start; absent: of every file. */
  readonly remembers?: (file: string) => boolean;
  /** Copies of what was accepted last, so that a bad file does not outlive a restart. */
  readonly lastGoodDirectory: string;
  /** Why this machine cannot do what the profile asks for. */
  readonly review: (name: string, profile: Profile) => Problem | undefined;
  /** A profile that stays in force although its file is gone: a lock does not open because a disk is not there. */
  readonly mustStay?: (stored: StoredProfile) => boolean;
  readonly log: Log;
  readonly clock: () => number;
}

interface Entry {
  readonly name: string;
  readonly file: string;
  readonly seen: string;
  readonly state: ProfileStatus['state'];
  readonly diagnostics: readonly DiagnosticLine[];
  readonly inForce?: StoredProfile;
  /** Of a refused file, as far as it could be understood. */
  readonly tunnel: ProfileStatus['tunnel'];
  readonly alwaysOn: boolean;
}

const maxProfiles = 64;
/** Stands for the digest of a file that is not there. */
const missing = 'missing';

/**
 * 1 to 100 printable characters that make one file name. `office.ca` would share its files with the credentials of `office`: what is
 * `office.ca.pem`, the certificate of the one or the trust anchor of the other?
 */
export function isProfileName(name: string): boolean {
  if (/\.(ca|radius-ca|p12)$/i.test(name)) return false;
  // oxlint-disable-next-line no-control-regex -- keeping them out is the point
  return /^[^./\\\s\p{C}]([^/\\\p{C}]{0,98}[^/\\\s\p{C}])?$/u.test(name) && Buffer.byteLength(name) <= 200;
}

/** The profiles of a directory: what is in force, what was refused and why. A bad version never replaces a good one. */
export class ProfileStore {
  readonly #options: StoreOptions;
  readonly #entries = new Map<string, Entry>();
  #trouble: string | undefined;
  #recalled = false;
  #warned = new Set<string>();

  constructor(options: StoreOptions) {
    this.#options = options;
  }

  get(name: string): StoredProfile | undefined {
    return this.#entries.get(name)?.inForce;
  }

  has(name: string): boolean {
    return this.#entries.has(name);
  }

  names(): readonly string[] {
    return [...this.#entries.keys()].sort();
  }

  status(name: string): ProfileStatus | undefined {
    const entry = this.#entries.get(name);
    if (!entry) return undefined;
    const { inForce } = entry;
    return {
      name,
      file: entry.file,
      tunnel: inForce?.intent.tunnel ?? entry.tunnel,
      alwaysOn: inForce?.intent.alwaysOn.value ?? entry.alwaysOn,
      state: entry.state,
      ...(inForce && { loadedAt: inForce.loadedAt }),
      diagnostics: entry.diagnostics,
    };
  }

  statuses(): readonly ProfileStatus[] {
    return this.names().map((name) => this.status(name)!);
  }

  /** Looks at the directory anew. Unchanged files cost a read and a hash. */
  async scan(): Promise<readonly StoreChange[]> {
    const { directory, further = [], prefix = '', limit = maxProfiles, log } = this.#options;
    const files: { readonly base: string; readonly place: string }[] = [];
    for (const place of [directory, ...further]) {
      try {
        const weakness = await weaknessOf(place);
        if (weakness !== undefined) return await this.#cannotLook(`${weakness}; chown root and chmod go-w ${place}`);
        for (const file of (await readdir(place)).sort())
          if (/\.xml$/i.test(file) && !file.startsWith('.')) files.push({ base: file, place: path.join(place, file) });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return await this.#cannotLook(`${place}: ${messageOf(error)}`);
      }
    }
    this.#trouble = undefined;
    const changes: StoreChange[] = [];
    const present = new Set<string>();
    const warnings = new Set<string>();
    const tooMany: string[] = [];
    for (const { base, place } of files) {
      const bare = base.slice(0, -4);
      const name = prefix + bare;
      if (!isProfileName(bare)) warnings.add(new DaemonError('AOV-DAEMON-514', base).message);
      else if (present.has(name)) warnings.add(`${place} is ignored: there is a file of that name already`);
      else if (present.size >= limit) tooMany.push(place);
      else {
        present.add(name);
        const change = await this.#look(name, place);
        if (change) changes.push(change);
      }
    }
    if (tooMany.length > 0) {
      const [first] = tooMany;
      const what = tooMany.length === 1 ? first! : `${first} and ${tooMany.length - 1} more`;
      warnings.add(new DaemonError('AOV-DAEMON-517', `${what}; the limit here is ${limit}`).message);
    }
    // Said once, not at every look.
    for (const warning of warnings) if (!this.#warned.has(warning)) log.warn(warning);
    this.#warned = warnings;
    for (const name of this.names()) {
      if (present.has(name)) continue;
      const { inForce, file } = this.#entries.get(name)!;
      if (inForce && this.#options.mustStay?.(inForce)) {
        changes.push(...this.#keep(inForce, file));
        continue;
      }
      this.#entries.delete(name);
      await unlink(this.#lastGood(name)).catch(() => {});
      changes.push({ kind: 'removed', name });
    }
    return [...changes, ...(await this.#recallMissing())];
  }

  /** The file of a profile that must stay is gone: what was accepted last stays in force. */
  #keep(inForce: StoredProfile, file: string): readonly StoreChange[] {
    const { name } = inForce;
    const before = this.#entries.get(name);
    if (before?.seen === missing) return [];
    const what = new DaemonError('AOV-DAEMON-542', file);
    this.#options.log.error(what.message, name);
    const { tunnel, alwaysOn } = inForce.intent;
    const diagnostics = [diagnosticOf(what)];
    this.#put({ name, file, seen: missing, state: 'kept', diagnostics, inForce, tunnel, alwaysOn: alwaysOn.value });
    return [before?.inForce ? { kind: 'refused', name } : { kind: 'in-force', stored: inForce }];
  }

  /** Profiles of earlier runs that must stay and have no file now; looked for once, as nothing is forgotten while the daemon runs. */
  async #recallMissing(): Promise<readonly StoreChange[]> {
    if (this.#recalled) return [];
    this.#recalled = true;
    const { directory, lastGoodDirectory, prefix = '', mustStay } = this.#options;
    const changes: StoreChange[] = [];
    for (const file of mustStay ? await readdir(lastGoodDirectory).catch(() => []) : []) {
      const bare = file.slice(0, -4);
      const name = prefix + bare;
      if (!file.endsWith('.xml') || !isProfileName(bare) || this.#entries.has(name)) continue;
      const stored = await this.#recall(name);
      if (stored && mustStay!(stored)) changes.push(...this.#keep(stored, path.join(directory, file)));
    }
    return changes;
  }

  /** Looks at every file again although it has not changed: the settings have. */
  async reconsider(): Promise<readonly StoreChange[]> {
    for (const [name, entry] of this.#entries) this.#entries.set(name, { ...entry, seen: '' });
    return await this.scan();
  }

  /** Whether these bytes could come into force. @throws {DaemonError} AOV-DAEMON-515 with `diagnostics` */
  check(name: string, bytes: Uint8Array): void {
    const { errors, diagnostics } = this.#judge(name, bytes);
    if (errors)
      throw Object.assign(new DaemonError('AOV-DAEMON-515', diagnostics.find(({ severity }) => severity === 'error')?.message), {
        diagnostics,
      });
  }

  /** Where NAME.xml is, or will be. */
  fileOf(name: string): string {
    return this.#entries.get(name)?.file ?? path.join(this.#options.directory, `${this.#bare(name)}.xml`);
  }

  /** What cannot be seen is not gone: everything in force stays. Said once, not at every look. */
  async #cannotLook(why: string): Promise<readonly StoreChange[]> {
    const { message } = new DaemonError('AOV-DAEMON-503', why);
    if (this.#trouble !== message) this.#options.log.error(`${message}; what is in force stays`);
    this.#trouble = message;
    return await this.#recallMissing();
  }

  async #look(name: string, file: string): Promise<StoreChange | undefined> {
    const before = this.#entries.get(name);
    let bytes: Uint8Array;
    try {
      bytes = await readProfileFile(file);
    } catch (error) {
      // Gone between the list and the look: the next look, which its going has already caused, does not find it in the list.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT' && !(await isLink(file))) return undefined;
      const what =
        error instanceof DaemonError ? error : new DaemonError('AOV-DAEMON-518', `${file}: ${messageOf(error)}`, error);
      if (before?.seen === what.message) return undefined;
      return await this.#refuse(name, file, what.message, [diagnosticOf(what)]);
    }
    const digest = createHash('sha256').update(bytes).digest('hex');
    if (before?.seen === digest && before.file === file) return undefined;
    const judged = this.#judge(name, bytes);
    if (judged.errors) return await this.#refuse(name, file, digest, judged.diagnostics, judged);
    const { profile } = judged;
    const same = before?.inForce?.digest === digest;
    const { intent, notes } = this.#resolve(name, profile, file);
    const refusal = this.#options.admit?.(intent, file);
    if (refusal) {
      const lines = [...judged.diagnostics, diagnosticOf(refusal)];
      return await this.#refuse(name, file, digest, lines, { understood: profile });
    }
    const stored: StoredProfile = {
      name,
      profile,
      intent,
      notes,
      bytes,
      digest,
      loadedAt: same ? before.inForce.loadedAt : new Date(this.#options.clock()).toISOString(),
    };
    this.#put({
      name,
      file,
      seen: digest,
      state: 'in-force',
      diagnostics: judged.diagnostics,
      inForce: stored,
      tunnel: intent.tunnel,
      alwaysOn: intent.alwaysOn.value,
    });
    for (const line of judged.diagnostics)
      this.#options.log.write(
        line.severity === 'warning' ? 'warn' : 'debug',
        `${file}:${line.line}:${line.column}: ${line.message} [${line.code}]`,
        name,
      );
    for (const note of notes) {
      const place = note.at ? `${file}:${note.at.line}: ` : '';
      this.#options.log.write(note.id === 'edp-mode-id' ? 'warn' : 'debug', `${place}${note.text}`, name);
    }
    if (!same && (this.#options.remembers?.(file) ?? true)) await this.#remember(name, bytes);
    return { kind: 'in-force', stored };
  }

  /** A problem of the profile counts as an error only where it would replace something that works. */
  #judge(
    name: string,
    bytes: Uint8Array,
  ):
    | { readonly errors: false; readonly diagnostics: readonly DiagnosticLine[]; readonly profile: Profile }
    | { readonly errors: true; readonly diagnostics: readonly DiagnosticLine[]; readonly understood: Profile | undefined } {
    const { profile, understood, diagnostics } = parseProfile(bytes, { toAscii: domainToASCII });
    const lines = diagnostics.map(toLine);
    if (!profile) return { errors: true, diagnostics: lines, understood };
    const obstacle = this.#options.review(name, profile);
    if (!obstacle) return { errors: false, diagnostics: lines, profile };
    const before = this.#entries.get(name)?.inForce;
    const digest = createHash('sha256').update(bytes).digest('hex');
    const replaces = before !== undefined && before.digest !== digest && !this.#options.review(name, before.profile);
    const line: DiagnosticLine = {
      code: obstacle.code,
      severity: replaces ? 'error' : 'warning',
      line: Number(/line (\d+)/.exec(obstacle.message)?.[1] ?? 1),
      column: 1,
      path: 'VPNProfile',
      message: obstacle.message,
      here: 'The connection is blocked.',
      cure: obstacle.cure,
    };
    return replaces
      ? { errors: true, diagnostics: [...lines, line], understood: profile }
      : { errors: false, diagnostics: [...lines, line], profile };
  }

  async #refuse(
    name: string,
    file: string,
    seen: string,
    diagnostics: readonly DiagnosticLine[],
    judged?: { readonly understood: Profile | undefined },
  ): Promise<StoreChange> {
    const { log } = this.#options;
    const before = this.#entries.get(name);
    const first = diagnostics.find(({ severity }) => severity === 'error');
    const recalled = before?.inForce ?? (await this.#recall(name));
    const kept = recalled && !this.#options.admit?.(recalled.intent, file) ? recalled : undefined;
    log.error(
      `${file}${first ? `:${first.line}:${first.column}: ${first.message} [${first.code}]` : ''}; ${kept ? 'the last good version stays in force' : 'nothing of that name runs'}`,
      name,
    );
    const understood = judged?.understood && this.#resolve(name, judged.understood, file).intent;
    this.#put({
      name,
      file,
      seen,
      state: kept ? 'kept' : 'refused',
      diagnostics,
      ...(kept && { inForce: kept }),
      tunnel: understood?.tunnel ?? 'user',
      alwaysOn: understood?.alwaysOn.value ?? false,
    });
    return kept && !before?.inForce ? { kind: 'in-force', stored: kept } : { kind: 'refused', name };
  }

  #put(entry: Entry): void {
    this.#entries.set(entry.name, entry);
  }

  #lastGood(name: string): string {
    return path.join(this.#options.lastGoodDirectory, `${this.#bare(name)}.xml`);
  }

  #bare(name: string): string {
    return name.slice((this.#options.prefix ?? '').length);
  }

  #resolve(name: string, profile: Profile, file: string): ReturnType<typeof resolveProfile> {
    const resolved = resolveProfile(name, profile);
    const { shape } = this.#options;
    return shape ? { ...resolved, intent: shape(resolved.intent, file) } : resolved;
  }

  async #remember(name: string, bytes: Uint8Array): Promise<void> {
    try {
      await mkdir(this.#options.lastGoodDirectory, { recursive: true, mode: 0o700 });
      await writeFileAtomically(this.#lastGood(name), bytes, 0o600);
    } catch (error) {
      this.#options.log.warn(`the accepted version could not be remembered for the next start: ${messageOf(error)}`, name);
    }
  }

  async #recall(name: string): Promise<StoredProfile | undefined> {
    try {
      const bytes = await readFile(this.#lastGood(name));
      const { profile } = parseProfile(bytes, { toAscii: domainToASCII });
      if (!profile) return undefined;
      const { intent, notes } = this.#resolve(name, profile, this.fileOf(name));
      const digest = createHash('sha256').update(bytes).digest('hex');
      return { name, profile, intent, notes, bytes, digest, loadedAt: new Date(this.#options.clock()).toISOString() };
    } catch {
      return undefined;
    }
  }
}

/** Whoever can write to the directory can put trust anchors and profiles of their own beside ours. */
export async function weaknessOf(directory: string): Promise<string | undefined> {
  const { uid, mode } = await stat(directory);
  if (uid !== 0 && uid !== process.geteuid?.()) return `${directory} belongs to user ${uid}`;
  return (mode & 0o022) === 0 ? undefined : `others than root can write to ${directory}`;
}

/** Whoever can write a profile decides where the machine's traffic goes: only root (and our own user) may. */
async function readProfileFile(file: string): Promise<Uint8Array> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const facts = await handle.stat();
    if (!facts.isFile()) throw new DaemonError('AOV-DAEMON-518', `${file} is not a regular file`);
    if (facts.uid !== 0 && facts.uid !== process.geteuid?.())
      throw new DaemonError('AOV-DAEMON-518', `${file} belongs to user ${facts.uid}, not to root`);
    if ((facts.mode & 0o022) !== 0) throw new DaemonError('AOV-DAEMON-518', `${file} can be written by others than root`);
    if (facts.size > defaultLimits.size) throw new DaemonError('AOV-DAEMON-518', `${file} has ${facts.size} octets`);
    const buffer = new Uint8Array(facts.size + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await handle.read(buffer, length, buffer.length - length, length);
      length += bytesRead;
      if (bytesRead === 0 || length === buffer.length) break;
    }
    // A file that grows while it is read is looked at again when the watch says so.
    return buffer.slice(0, length);
  } finally {
    await handle.close();
  }
}

async function isLink(file: string): Promise<boolean> {
  try {
    return (await lstat(file)).isSymbolicLink();
  } catch {
    return false;
  }
}

function toLine(diagnostic: Diagnostic): DiagnosticLine {
  const { at, ...rest } = diagnostic;
  return { ...rest, line: at.line, column: at.column };
}

function diagnosticOf(error: DaemonError): DiagnosticLine {
  return { code: error.code, severity: 'error', line: 1, column: 1, path: '', message: error.what, cure: error.cure };
}
