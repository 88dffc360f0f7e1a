import { defaultConnectionSettings, type ConnectionSettings } from '@aovpn/supervisor';
import { parse, TomlError } from 'smol-toml';

/** Settings of one profile: what ProfileXML has no word for. Paths are as written, relative to the configuration directory. */
export interface ProfileSettings extends ConnectionSettings {
  readonly certificate?: string;
  readonly key?: string;
  readonly pkcs12?: string;
  readonly pkcs12PasswordFile?: string;
  readonly gatewayCa?: string;
  readonly radiusCa?: string;
  readonly passwordFile?: string;
  readonly revocation: 'off' | 'soft' | 'hard';
  /** Octets inside the tunnel. */
  readonly mtu: number;
  readonly gatewayPort: number;
  readonly keepaliveSeconds: number;
}

export interface Settings {
  /** Members may read state; the control socket belongs to it. */
  readonly group: string;
  of(profile: string): ProfileSettings;
}

/** Fits IPv6 outside with any cipher: 1500 − 40 (IPv6) − 8 (UDP) − at most 65 (ESP), rounded down. */
const defaultMtu = 1380;

export const defaultProfileSettings: ProfileSettings = {
  ...defaultConnectionSettings,
  revocation: 'soft',
  mtu: defaultMtu,
  gatewayPort: 4500,
  keepaliveSeconds: 20,
};

/** One fault of the file, with its place; both numbers start at 1. */
export interface SettingsFault {
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

export const maxSettingsBytes = 256 * 1024;

type Reader = (value: unknown) => Partial<ProfileSettings> | string;

const path =
  (field: 'certificate' | 'key' | 'pkcs12' | 'pkcs12PasswordFile' | 'gatewayCa' | 'radiusCa' | 'passwordFile'): Reader =>
  (value) =>
    typeof value === 'string' && value !== '' && !value.includes('\0') ? { [field]: value } : 'a path in quotes is wanted';
const text =
  (field: 'userName' | 'identity'): Reader =>
  (value) =>
    typeof value === 'string' && value !== '' && value.length <= 256 && !/\p{Cc}/u.test(value)
      ? { [field]: value }
      : 'a text of 1 to 256 printable characters in quotes is wanted';
const flag =
  (field: 'allowWeak' | 'allowUnenforced'): Reader =>
  (value) =>
    typeof value === 'boolean' ? { [field]: value } : 'true or false is wanted';
const number =
  (field: keyof ProfileSettings, from: number, to: number, factor = 1): Reader =>
  (value) =>
    Number.isInteger(value) && (value as number) >= from && (value as number) <= to
      ? { [field]: (value as number) * factor }
      : `a whole number from ${from} to ${to} is wanted`;

/** Every key of a `[profile."NAME"]` table; docs/settings.md lists the same. */
export const profileSettingKeys: { readonly [key: string]: Reader } = {
  certificate: path('certificate'),
  key: path('key'),
  pkcs12: path('pkcs12'),
  'pkcs12-password-file': path('pkcs12PasswordFile'),
  'gateway-ca': path('gatewayCa'),
  'radius-ca': path('radiusCa'),
  'user-name': text('userName'),
  'password-file': path('passwordFile'),
  identity: text('identity'),
  revocation: (value) =>
    value === 'off' || value === 'soft' || value === 'hard' ? { revocation: value } : '"off", "soft" or "hard" is wanted',
  'allow-weak': flag('allowWeak'),
  'allow-unenforced': flag('allowUnenforced'),
  mtu: number('mtu', 1280, 9000),
  'gateway-port': number('gatewayPort', 1, 65_535),
  'keepalive-seconds': number('keepaliveSeconds', 5, 3600),
  'dpd-seconds': number('dpdMs', 5, 3600, 1000),
  'ike-lifetime-seconds': number('ikeLifetimeMs', 300, 7 * 86_400, 1000),
  'child-lifetime-seconds': number('childLifetimeMs', 120, 2 * 86_400, 1000),
  'child-lifetime-megabytes': number('childLifetimeBytes', 0, 1_000_000, 1_000_000),
  'eap-wait-seconds': number('eapWaitMs', 30, 600, 1000),
};

/** Reads aovpn.toml. Unknown keys and wrong values are faults: a misspelt setting must not be silently without effect. */
export function parseSettings(source: string): { readonly settings: Settings } | { readonly faults: readonly SettingsFault[] } {
  let document: Record<string, unknown>;
  try {
    document = parse(source);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const message = error.message.replace(/^Invalid TOML document: /, '').split('\n')[0]!;
    return { faults: [{ line: error.line, column: error.column, message }] };
  }
  const faults: SettingsFault[] = [];
  const fault = (table: readonly string[], key: string | undefined, message: string): void => {
    faults.push({ ...locate(source, table, key), message });
  };
  let group = 'aovpn';
  const profiles = new Map<string, ProfileSettings>();
  for (const [name, value] of Object.entries(document)) {
    if (name !== 'daemon' && name !== 'profile')
      fault([name], undefined, `unknown table or key "${name}"; there are [daemon] and [profile."NAME"]`);
    else if (!isTable(value)) fault([], name, `"${name}" is a table: write [${name === 'daemon' ? 'daemon' : 'profile."NAME"'}]`);
    else if (name === 'daemon') readDaemon(value);
    else for (const [profile, table] of Object.entries(value)) readProfile(profile, table);
  }
  if (faults.length > 0) return { faults: faults.sort((a, b) => a.line - b.line || a.column - b.column) };
  return { settings: { group, of: (profile) => profiles.get(profile) ?? defaultProfileSettings } };

  function readDaemon(table: Record<string, unknown>): void {
    for (const [key, value] of Object.entries(table)) {
      if (key !== 'group') fault(['daemon'], key, `unknown key "${key}" in [daemon]; there is: group`);
      else if (typeof value !== 'string' || !/^[a-z_][a-z0-9_-]{0,31}$/i.test(value))
        fault(['daemon'], key, 'group: the name of a group in quotes is wanted');
      else group = value;
    }
  }

  function readProfile(profile: string, table: unknown): void {
    if (!isTable(table)) return fault(['profile'], profile, `settings of a profile stand in a table: [profile."${profile}"]`);
    let settings = defaultProfileSettings;
    for (const [key, value] of Object.entries(table)) {
      const reader = Object.hasOwn(profileSettingKeys, key) ? profileSettingKeys[key] : undefined;
      const result = reader ? reader(value) : `unknown key; there are: ${Object.keys(profileSettingKeys).join(', ')}`;
      if (typeof result === 'string') fault(['profile', profile], key, `${key}: ${result}`);
      else settings = { ...settings, ...result };
    }
    profiles.set(profile, settings);
  }
}

/** In force when there is no settings file. */
export const defaultSettings: Settings = { group: 'aovpn', of: () => defaultProfileSettings };

export function formatFaults(file: string, faults: readonly SettingsFault[]): string {
  return faults.map(({ line, column, message }) => `${file}:${line}:${column}: ${message}`).join('\n');
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

/** Where a key of a table stands. The parser knows the places of what it cannot parse only, so this looks for the line. */
function locate(source: string, table: readonly string[], key: string | undefined): Pick<SettingsFault, 'line' | 'column'> {
  const lines = source.split('\n');
  const unquote = (word: string): string => word.trim().replaceAll(/^["']|["']$/g, '');
  const header = (line: string): string[] | undefined => {
    const inner = /^\s*\[([^[\]]+)\]/.exec(line)?.[1];
    return inner?.match(/"[^"]*"|'[^']*'|[^.\s]+/g)?.map(unquote);
  };
  const same = (a: readonly string[], b: readonly string[]): boolean =>
    a.length === b.length && a.every((word, i) => word === b[i]);
  let current: readonly string[] = [];
  let tableLine = 1;
  for (const [i, line] of lines.entries()) {
    const opened = header(line);
    if (opened) {
      current = opened;
      if (same(current.slice(0, table.length), table)) {
        if (key === undefined) return { line: i + 1, column: line.indexOf('[') + 1 };
        if (same(current, table)) tableLine = i + 1;
      }
      continue;
    }
    const word = /^\s*("[^"]*"|'[^']*'|[^\s=."']+)/.exec(line);
    if (!word || word[0].trim().startsWith('#')) continue;
    const name = unquote(word[1]!);
    const wanted = key ?? table[0];
    const where = key === undefined ? [] : table;
    if (name === wanted && same(current, where)) return { line: i + 1, column: line.indexOf(word[1]!) + 1 };
  }
  return { line: tableLine, column: 1 };
}
