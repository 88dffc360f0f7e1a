import { isWebUrl } from '@aovpn/policy';

/** `[portal]` of aovpn.toml. */
export interface PortalSettings {
  /** Who may open the way to a captive portal besides root: names or numbers of users. */
  readonly users: readonly (string | number)[];
  /** An http URL whose answer is known; undefined: nothing is probed. */
  readonly probeUrl?: string;
  /** The whole answer to it. */
  readonly probeAnswer: string;
  /** How long the way is open unless somebody says otherwise. */
  readonly minutes: number;
  /** TCP ports. */
  readonly ports: readonly number[];
  /** The program and its arguments; `{url}` stands for the portal's address. */
  readonly browser?: readonly string[];
}

export const defaultPortalSettings: PortalSettings = { users: [], probeAnswer: '', minutes: 10, ports: [80, 443] };

export const longestPortalMinutes = 60;

type Reader = (value: unknown) => Partial<PortalSettings> | string;

/** Every key of the `[portal]` table; docs/settings.md lists the same. */
export const portalSettingKeys: { readonly [key: string]: Reader } = {
  users: (value) =>
    Array.isArray(value) && value.length <= 100 && value.every(isUser)
      ? { users: value }
      : 'a list of users, names in quotes or numbers, is wanted',
  'probe-url': (value) =>
    typeof value === 'string' && isWebUrl(value, ['http:']) ? { probeUrl: value } : 'an http URL in quotes is wanted',
  'probe-answer': (value) =>
    typeof value === 'string' && value.length <= 1000
      ? { probeAnswer: value }
      : 'a text of at most 1000 characters in quotes is wanted',
  minutes: (value) =>
    isWhole(value, 1, longestPortalMinutes) ? { minutes: value } : `a whole number from 1 to ${longestPortalMinutes} is wanted`,
  ports: (value) =>
    Array.isArray(value) && value.length > 0 && value.length <= 16 && value.every((port) => isWhole(port, 1, 65_535))
      ? { ports: value }
      : 'a list of 1 to 16 TCP ports is wanted',
  browser: (value) =>
    Array.isArray(value) && value.length > 0 && value.length <= 50 && value.every(isWord)
      ? { browser: value as string[] }
      : 'a list of a program and its arguments, each in quotes, is wanted',
};

function isWhole(value: unknown, from: number, to: number): value is number {
  return Number.isInteger(value) && (value as number) >= from && (value as number) <= to;
}

function isWord(value: unknown): boolean {
  return typeof value === 'string' && value !== '' && value.length <= 1000 && !value.includes('\0');
}

/** A user by name or number. */
export function isUser(value: unknown): value is string | number {
  if (typeof value === 'number') return isWhole(value, 0, 0xffff_fffe);
  return typeof value === 'string' && /^[^\p{Cc}\s:/]{1,256}$/u.test(value);
}
