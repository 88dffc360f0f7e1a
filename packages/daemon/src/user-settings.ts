import { isUser } from './portal-settings.ts';

/** What users may bring: the `[users]` table. */
export interface UserSettings {
  /** What counts of `~/.config/aovpn/profiles.d`: nothing; credentials for profiles that root has installed; profiles as well. */
  readonly ownFiles: 'none' | 'credentials' | 'profiles';
  /** Whose files count, names or numbers; absent: everybody's. */
  readonly ownFilesOf?: readonly (string | number)[];
}

export const defaultUserSettings: UserSettings = { ownFiles: 'none' };

/** Every key of the `[users]` table; docs/settings.md lists the same. */
export const userSettingKeys: { readonly [key: string]: (value: unknown) => Partial<UserSettings> | string } = {
  'own-files': (value) =>
    value === 'none' || value === 'credentials' || value === 'profiles'
      ? { ownFiles: value }
      : '"none", "credentials" or "profiles" is wanted',
  'own-files-of': (value) =>
    Array.isArray(value) && value.length <= 1000 && value.every(isUser)
      ? { ownFilesOf: value }
      : 'a list of users, names in quotes or numbers, is wanted',
};
