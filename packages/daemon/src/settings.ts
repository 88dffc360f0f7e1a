import { parse, TomlError } from 'smol-toml';
import { daemonSettingKeys, defaultDaemonSettings, type DaemonSettings } from './daemon-settings.ts';
import {
  defaultEnrolmentSettings,
  enrolmentFault,
  enrolmentSettingKeys,
  isEnrolmentName,
  type EnrolmentSettings,
} from './enrolment-settings.ts';
import { defaultPortalSettings, portalSettingKeys, type PortalSettings } from './portal-settings.ts';
import { defaultProfileSettings, profileFaults, profileSettingKeys, type ProfileSettings } from './profile-settings.ts';
import { placeOf, type SettingsFault } from './settings-fault.ts';
import { defaultUserSettings, userSettingKeys, type UserSettings } from './user-settings.ts';

/** What stands in aovpn.toml, table by table. */
export interface Settings extends DaemonSettings {
  readonly portal: PortalSettings;
  readonly users: UserSettings;
  /** By name. */
  readonly enrolments: ReadonlyMap<string, EnrolmentSettings>;
  of(profile: string): ProfileSettings;
  /** Worth telling, though nothing is wrong. */
  readonly notices: readonly string[];
}

/** In force when there is no settings file. */
export const defaultSettings: Settings = {
  ...defaultDaemonSettings,
  portal: defaultPortalSettings,
  users: defaultUserSettings,
  enrolments: new Map(),
  notices: [],
  of: () => defaultProfileSettings,
};

export const maxSettingsBytes = 256 * 1024;

type Table = Record<string, unknown>;

/** The keys of a table: each makes settings of its value, or says what is wanted in its place. */
interface Keys<T> {
  readonly [key: string]: (value: unknown) => Partial<T> | string;
}

/** Reads aovpn.toml. Unknown keys and wrong values are faults: a misspelt setting must not be silently without effect. */
export function parseSettings(source: string): { readonly settings: Settings } | { readonly faults: readonly SettingsFault[] } {
  let document: Table;
  try {
    document = parse(source);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const message = error.message.replace(/^Invalid TOML document: /, '').split('\n')[0]!;
    return { faults: [{ line: error.line, column: error.column, message }] };
  }
  const faults: SettingsFault[] = [];
  const fault = (table: readonly string[], key: string | undefined, message: string): void => {
    faults.push({ ...placeOf(source, table, key), message });
  };
  let daemon = defaultDaemonSettings;
  let portal = defaultPortalSettings;
  let users = defaultUserSettings;
  const profiles = new Map<string, ProfileSettings>();
  const enrolments = new Map<string, EnrolmentSettings>();
  const notices: string[] = [];
  for (const [name, value] of Object.entries(document)) {
    if (name !== 'daemon' && name !== 'portal' && name !== 'users' && name !== 'enrol' && name !== 'profile')
      fault(
        [name],
        undefined,
        `unknown table or key "${name}"; there are [daemon], [portal], [users], [enrol."NAME"] and [profile."NAME"]`,
      );
    else if (!isTable(value))
      fault([], name, `"${name}" is a table: write [${name === 'profile' || name === 'enrol' ? `${name}."NAME"` : name}]`);
    else if (name === 'daemon') daemon = readTable([name], value, daemonSettingKeys, daemon);
    else if (name === 'portal') portal = readTable([name], value, portalSettingKeys, portal);
    else if (name === 'users') users = readTable([name], value, userSettingKeys, users);
    else if (name === 'enrol') for (const [enrolment, table] of Object.entries(value)) readEnrolment(enrolment, table);
    else for (const [profile, table] of Object.entries(value)) readProfile(profile, table);
  }
  for (const [profile, { enrolment }] of profiles)
    if (enrolment !== undefined && !enrolments.has(enrolment))
      fault(['profile', profile], 'enrolment', `enrolment: there is no table [enrol."${enrolment}"]`);
  if (faults.length > 0) return { faults: faults.sort((a, b) => a.line - b.line || a.column - b.column) };
  return {
    settings: {
      ...daemon,
      portal,
      users,
      enrolments,
      notices,
      // `*/NAME`: the profile of that name of every user.
      of: (profile) => profiles.get(profile) ?? profiles.get(profile.replace(/^[^/]+(?=\/)/, '*')) ?? defaultProfileSettings,
    },
  };

  function readTable<T>(place: readonly string[], table: Table, keys: Keys<T>, defaults: T): T {
    let settings = defaults;
    for (const [key, value] of Object.entries(table)) {
      const reader = Object.hasOwn(keys, key) ? keys[key] : undefined;
      const result = reader ? reader(value) : `unknown key; there are: ${Object.keys(keys).join(', ')}`;
      if (typeof result === 'string') fault(place, key, `${key}: ${result}`);
      else settings = { ...settings, ...result };
    }
    return settings;
  }

  function readEnrolment(enrolment: string, table: unknown): void {
    if (!isEnrolmentName(enrolment))
      return fault(['enrol'], enrolment, `"${enrolment}": a name of 1 to 64 letters, digits, "-", "_" and "." is wanted`);
    if (!isTable(table)) return fault(['enrol'], enrolment, `an enrolment is a table: [enrol."${enrolment}"]`);
    const place = ['enrol', enrolment];
    const settings = readTable(place, table, enrolmentSettingKeys, defaultEnrolmentSettings);
    const [key, what] = (faults.length === 0 && enrolmentFault(settings)) || [];
    if (what !== undefined) fault(place, key, what);
    enrolments.set(enrolment, settings);
  }

  function readProfile(profile: string, table: unknown): void {
    if (!isTable(table)) return fault(['profile'], profile, `settings of a profile stand in a table: [profile."${profile}"]`);
    const place = ['profile', profile];
    const settings = readTable(place, table, profileSettingKeys, defaultProfileSettings);
    for (const [key, what] of profileFaults(settings)) fault(place, key, what);
    if (Object.hasOwn(table, 'allow-unenforced'))
      notices.push(`[profile."${profile}"] allow-unenforced has no effect: LockDown is enforced`);
    profiles.set(profile, settings);
  }
}

function isTable(value: unknown): value is Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
}
