import { mkdtemp, readdir, rm, unlink } from 'node:fs/promises';
import path from 'node:path';
import { domainToASCII } from 'node:url';
import { writeFilesAtomically, type NewFile } from '@aovpn/host';
import type { ProfileStatus, PutProfile } from '@aovpn/api';
import { parseProfile, type Profile } from '@aovpn/profile';
import { reviewProfile } from '@aovpn/supervisor';
import { credentialEndings, findCredentials, keyPlaces, loadCredentials, openRing, type CredentialPaths } from './credentials.ts';
import { DaemonError } from './daemon-error.ts';
import type { Daemon } from './daemon.ts';
import { isProfileName } from './profile-store.ts';
import { ownerMark } from './profiles.ts';
import { isUserName } from './sign-ins.ts';
import { messageOf } from './problem-error.ts';

/**
 * Puts a profile with its credentials in place and into force. All is checked before anything is written, and everything is written or
 * nothing.
 * @throws {DaemonError} AOV-DAEMON-514 to 516; then what was in force still is
 */
export async function storeProfile(
  daemon: Daemon,
  name: string,
  { xmlBase64, credentials = {} }: PutProfile,
): Promise<ProfileStatus> {
  refuseUsers(name);
  if (!isProfileName(name)) throw new DaemonError('AOV-DAEMON-514', JSON.stringify(name.slice(0, 120)));
  const bytes = Buffer.from(xmlBase64, 'base64');
  daemon.store.check(name, bytes);
  const { profile, text } = parseProfile(bytes, { toAscii: domainToASCII });
  const obstacle = reviewProfile(profile!, daemon.settings.current.of(name));
  if (obstacle) throw Object.assign(new DaemonError('AOV-DAEMON-515', obstacle.message), { cure: obstacle.cure });

  const files = credentialFiles(credentials);
  await checkCredentials(daemon, name, profile!, files);
  const directory = daemon.profilesDir;
  const news: NewFile[] = [...files].map(([kind, content]) => ({
    file: path.join(directory, `${name}${credentialEndings[kind]}`),
    content,
    mode: 0o600,
  }));
  news.push({ file: daemon.store.fileOf(name), content: bytes, mode: text.includes('L2tpPsk') ? 0o600 : 0o644 });
  try {
    await writeFilesAtomically(news);
    await removeCredentials(directory, name, outdated(files));
  } catch (error) {
    throw new DaemonError('AOV-DAEMON-516', messageOf(error), error);
  }
  await daemon.rescan();
  const status = daemon.store.status(name);
  if (status?.state !== 'in-force') throw Object.assign(new DaemonError('AOV-DAEMON-515'), { diagnostics: status?.diagnostics });
  return status;
}

/** Which of the directories a user's profile would go to is not ours to guess. @throws {DaemonError} AOV-DAEMON-562 */
function refuseUsers(name: string): void {
  const [user, bare, ...more] = name.split(ownerMark);
  if (user !== undefined && bare !== undefined && more.length === 0 && isUserName(user) && isProfileName(bare))
    throw new DaemonError('AOV-DAEMON-562', JSON.stringify(name.slice(0, 120)));
}

/** Removes a profile and the credentials beside it. @throws {DaemonError} AOV-DAEMON-516, AOV-DAEMON-541 */
export async function removeProfile(daemon: Daemon, name: string): Promise<void> {
  refuseUsers(name);
  daemon.wishes.refuseWhileLocked(name, 'AOV-DAEMON-541');
  try {
    await unlink(daemon.store.fileOf(name));
    await removeCredentials(daemon.profilesDir, name, Object.keys(credentialEndings) as (keyof CredentialPaths)[]);
  } catch (error) {
    throw new DaemonError('AOV-DAEMON-516', messageOf(error), error);
  }
  await daemon.rescan();
}

function credentialFiles(given: NonNullable<PutProfile['credentials']>): Map<keyof CredentialPaths, string | Uint8Array> {
  const files = new Map<keyof CredentialPaths, string | Uint8Array>();
  if (given.certificatePem !== undefined) files.set('certificate', given.certificatePem);
  if (given.keyPem !== undefined) files.set('key', given.keyPem);
  if (given.pkcs12Base64 !== undefined) files.set('pkcs12', Buffer.from(given.pkcs12Base64, 'base64'));
  if (given.pkcs12Password !== undefined) files.set('pkcs12PasswordFile', given.pkcs12Password);
  if (given.gatewayCaPem !== undefined) files.set('gatewayCa', given.gatewayCaPem);
  if (given.userName !== undefined) files.set('userName', given.userName);
  if (given.password !== undefined) files.set('password', given.password);
  return files;
}

/** Loads what would be in place from a private one, before it takes the place of what works. */
async function checkCredentials(
  daemon: Daemon,
  name: string,
  profile: Profile,
  files: ReadonlyMap<keyof CredentialPaths, string | Uint8Array>,
): Promise<void> {
  if (files.size === 0) return;
  let directory: string;
  try {
    directory = await mkdtemp(path.join(daemon.options.stateDir, 'incoming-'));
  } catch (error) {
    throw new DaemonError('AOV-DAEMON-516', messageOf(error), error);
  }
  try {
    const settings = daemon.settings.current.of(name);
    const present = Object.entries(
      await findCredentials([{ path: path.join(daemon.profilesDir, name), anchors: true }], settings, daemon.options.configDir),
    );
    const stays = present.filter(([kind]) => !outdated(files).includes(kind as keyof CredentialPaths));
    const news = [...files].map(([kind, content]) => ({ kind, file: path.join(directory, kind), content, mode: 0o600 }));
    await writeFilesAtomically(news);
    const paths: CredentialPaths = Object.fromEntries([...stays, ...news.map(({ kind, file }) => [kind, file])]);
    const keys = keyPlaces(paths, settings, daemon.options.configDir);
    // Tokens are left alone: what is checked here are the files that were given.
    const ring = openRing({ files: keys.files, more: [] });
    const loaded = await loadCredentials(profile, paths, keys, ring, settings, daemon.options.configDir);
    await ring.close();
    // Whether there is a certificate for it yet is a matter of the connection, which says so by itself.
    if ('problem' in loaded && !loaded.choice) {
      const { code, message, cure } = loaded.problem;
      throw Object.assign(new DaemonError('AOV-DAEMON-515', `${message.replaceAll(`${directory}/`, 'the given ')} [${code}]`), {
        cure,
      });
    }
  } catch (error) {
    if (error instanceof DaemonError) throw error;
    throw new DaemonError('AOV-DAEMON-516', messageOf(error), error);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** A certificate that comes another way than the last one replaces it. */
function outdated(files: ReadonlyMap<keyof CredentialPaths, unknown>): readonly (keyof CredentialPaths)[] {
  const without = (kinds: readonly (keyof CredentialPaths)[]): readonly (keyof CredentialPaths)[] =>
    kinds.filter((kind) => !files.has(kind));
  if (files.has('pkcs12')) return without(['certificate', 'key', 'pkcs12PasswordFile']);
  if (files.has('certificate')) return without(['pkcs12', 'pkcs12PasswordFile', 'key']);
  return [];
}

async function removeCredentials(directory: string, name: string, kinds: readonly (keyof CredentialPaths)[]): Promise<void> {
  const present = new Set(await readdir(directory));
  for (const kind of kinds) {
    const file = `${name}${credentialEndings[kind]}`;
    if (present.has(file)) await unlink(path.join(directory, file));
  }
}
