import path from 'node:path';
import type { Owner } from '@aovpn/api';
import type { Intent } from '@aovpn/policy';
import { reviewProfile } from '@aovpn/supervisor';
import type { CredentialStem } from './credentials.ts';
import { DaemonError } from './daemon-error.ts';
import type { Log } from './log.ts';
import { ownerMark } from './profiles.ts';
import { ProfileStore } from './profile-store.ts';
import type { ProfileSettings } from './profile-settings.ts';

export interface UserStoreOptions {
  readonly configDir: string;
  readonly stateDir: string;
  readonly settings: (name: string) => ProfileSettings;
  /** Where copies of the user's own files are. */
  readonly ownDirectory: (owner: Owner) => string;
  readonly log: Log;
}

const usersDirectory = 'users.d';
const mostProfiles = 16;
/** Who is a person to whoever made the account (login.defs, UID_MIN): profiles for everybody are not for the users of services. */
const firstPerson = 1000;

/** Every directory where root puts profiles of users. */
export function userDirectories(configDir: string, users: readonly Owner[]): readonly string[] {
  const directory = path.join(configDir, usersDirectory);
  return [directory, ...users.map(({ name }) => path.join(directory, name))];
}

/**
 * The profiles of one user: what root has for this one (`users.d/USER`), what root has for everybody (`users.d`), and what the user has brought;
 * of two of one name the first counts.
 */
export function openUserStore(owner: Owner, options: UserStoreOptions): ProfileStore {
  const { configDir, stateDir, settings, ownDirectory, log } = options;
  const [common, mine] = userDirectories(configDir, [owner]) as [string, string];
  const own = ownDirectory(owner);
  const isOwn = (file: string): boolean => path.dirname(file) === own;
  return new ProfileStore({
    directory: mine,
    further: [...(owner.uid >= firstPerson ? [common] : []), own],
    prefix: `${owner.name}${ownerMark}`,
    limit: mostProfiles,
    lastGoodDirectory: path.join(stateDir, 'users', String(owner.uid), 'last-good'),
    review: (name, profile) => reviewProfile(profile, settings(name)),
    shape: (intent, file) => {
      const isShared = settings(intent.name).scope === 'machine' && !isOwn(file);
      return isShared ? intent : { ...intent, user: owner.uid };
    },
    admit: (intent, file) => refusalOf(intent, isOwn(file)),
    // What a user has brought leaves with the user.
    remembers: (file) => !isOwn(file),
    log,
    clock: Date.now,
  });
}

/** What a profile of a user must not say, as it would concern everybody. */
function refusalOf(intent: Intent, isOwn: boolean): DaemonError | undefined {
  if (intent.tunnel === 'device') return new DaemonError('AOV-DAEMON-560', 'DeviceTunnel');
  if (intent.lockdown) return new DaemonError('AOV-DAEMON-560', 'LockDown');
  if (intent.user === undefined) return undefined;
  if (intent.triggers.length > 0) return new DaemonError('AOV-DAEMON-561', 'AppTrigger');
  if (intent.filters.some(({ routing }) => routing?.value === 'ForceTunnel'))
    return new DaemonError('AOV-DAEMON-561', 'TrafficFilter with RoutingPolicyType ForceTunnel');
  if (isOwn && intent.filters.some(({ app }) => app)) return new DaemonError('AOV-DAEMON-561', 'TrafficFilter with App');
  return undefined;
}

/**
 * Where the credentials of a user's profile are, the first that is there: beside what root has for this user, beside what root has for everybody,
 * and what the user has brought. Whom to believe is root's to say where the profile is root's.
 */
export function userStems(
  name: string,
  owner: Owner,
  file: string,
  { configDir, ownDirectory }: Pick<UserStoreOptions, 'configDir' | 'ownDirectory'>,
): readonly CredentialStem[] {
  const bare = name.slice(owner.name.length + ownerMark.length);
  const own = path.join(ownDirectory(owner), bare);
  if (path.dirname(file) === ownDirectory(owner)) return [{ path: own, anchors: true }];
  const roots = userDirectories(configDir, [owner]).toReversed();
  return [...roots.map((directory) => ({ path: path.join(directory, bare), anchors: true })), { path: own, anchors: false }];
}
