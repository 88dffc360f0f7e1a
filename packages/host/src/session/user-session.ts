import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';

/** Somebody is signed in: one session of perhaps several. */
export interface UserSession {
  /** Unique among the sessions of one reading, and the same in the next one. */
  readonly id: string;
  /** Absent where only the name is known (utmp). */
  readonly uid?: number;
  readonly user?: string;
}

/** Where logind has a file for each session; sd-login(3) reads and watches the same files. */
export const sessionsDirectory = '/run/systemd/sessions';
/** Who is signed in, by the word of login, sshd and the like (utmp(5)). */
export const utmpFile = '/run/utmp';

/** Of a login screen, a lock screen, a service manager or a cron job nobody is signed in. */
const personal = /^user(-early|-light|-early-light|-incomplete)?$/;
/** `closing`: the person has left, some processes have not. */
const present = new Set(['online', 'active', 'opening']);
/** Nobody's state file is longer. */
const mostBytes = 64 * 1024;

/**
 * Who is signed in, by logind's word; without logind by that of login, sshd and the like (utmp). In no order that means anything.
 * @param directory undefined is answered where logind does not run and there is no utmp either
 */
export function readUserSessions(directory = sessionsDirectory, utmp = utmpFile): readonly UserSession[] {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch {
    return readUtmp(utmp);
  }
  // Beside each session's file logind has a fifo, NAME.ref.
  return names.filter((name) => /^[A-Za-z0-9]+$/.test(name)).flatMap((id) => readSession(directory, id) ?? []);
}

function readSession(directory: string, id: string): UserSession | undefined {
  const text = readSmall(join(directory, id));
  if (text === undefined) return undefined;
  const facts = new Map<string, string>();
  for (const line of text.toString('utf8').split('\n')) {
    const at = line.indexOf('=');
    if (at > 0) facts.set(line.slice(0, at), line.slice(at + 1));
  }
  const uid = facts.get('UID');
  const state = facts.get('STATE');
  if (uid === undefined || !/^\d{1,10}$/.test(uid) || !personal.test(facts.get('CLASS') ?? 'user')) return undefined;
  // Of a version that says less the file alone counts.
  if (state !== undefined && !present.has(state)) return undefined;
  const user = facts.get('USER');
  return { id, uid: Number(uid), ...(user !== undefined && user !== '' && { user }) };
}

/** utmp(5): octets of a record, and what lies where. Machines with 64-bit times have longer ones. */
const record = process.arch === 'x64' || process.arch === 'ia32' ? 384 : 400;
const userProcess = 7;

function readUtmp(file: string): readonly UserSession[] {
  const octets = readSmall(file);
  if (octets === undefined) return [];
  const sessions: UserSession[] = [];
  for (let at = 0; at + record <= octets.length; at += record) {
    const pid = octets.readInt32LE(at + 4);
    const text = (from: number, length: number): string =>
      octets.toString('utf8', at + from, at + from + length).replace(/\0[^]*$/, '');
    const user = text(44, 32);
    // Whoever was killed has not written that they left.
    if (octets.readInt16LE(at) !== userProcess || user === '' || !isAlive(pid)) continue;
    sessions.push({ id: `${text(8, 32)} ${pid}`, user });
  }
  return sessions;
}

function isAlive(pid: number): boolean {
  return statSync(`/proc/${pid}`, { throwIfNoEntry: false }) !== undefined;
}

function readSmall(file: string): Buffer | undefined {
  try {
    const facts = statSync(file);
    return facts.isFile() && facts.size <= mostBytes ? readFileSync(file) : undefined;
  } catch {
    // It ended between the list and the look.
    return undefined;
  }
}
