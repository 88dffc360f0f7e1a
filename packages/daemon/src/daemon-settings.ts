import { isUser } from './portal-settings.ts';

/** The `[daemon]` table of aovpn.toml: who may do what. */
export interface DaemonSettings {
  /** Members may read state. */
  readonly group: string;
  /** Members may also put connections up and down. */
  readonly adminGroup?: string;
  /** Who may answer prompts besides root: names or numbers of users. */
  readonly promptUsers: readonly (string | number)[];
  /** Root may have the keys of connections, to read their messages. */
  readonly allowKeyExport: boolean;
}

export const defaultDaemonSettings: DaemonSettings = { group: 'aovpn', promptUsers: [], allowKeyExport: false };

type Reader = (value: unknown) => Partial<DaemonSettings> | string;

const group =
  (field: 'group' | 'adminGroup'): Reader =>
  (value) =>
    typeof value === 'string' && /^[a-z_][a-z0-9_-]{0,31}$/i.test(value)
      ? { [field]: value }
      : 'the name of a group in quotes is wanted';

/** Every key of the `[daemon]` table; docs/settings.md lists the same. */
export const daemonSettingKeys: { readonly [key: string]: Reader } = {
  group: group('group'),
  'admin-group': group('adminGroup'),
  'prompt-users': (value) =>
    Array.isArray(value) && value.length <= 100 && value.every(isUser)
      ? { promptUsers: value }
      : 'a list of users, names in quotes or numbers, is wanted',
  'allow-key-export': (value) => (typeof value === 'boolean' ? { allowKeyExport: value } : 'true or false is wanted'),
};
