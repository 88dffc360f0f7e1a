import { appNameOf, faultOfLinuxPath, normaliseWindowsPath, type AppName } from './app-name.ts';
import type { AppKey } from '../plan.ts';

/** One program: what profiles call it, and what it is on Linux. */
export interface KnownApp {
  readonly key: AppKey;
  readonly title: string;
  /** Windows paths, as written. */
  readonly windows: readonly string[];
  /** Package family names, as written. */
  readonly packages: readonly string[];
  /** Absolute paths; `*` stands for (a part of) one component. */
  readonly executables: readonly string[];
  /** systemd units. */
  readonly units: readonly string[];
  /** Desktop ids without `.desktop`. */
  readonly desktop: readonly string[];
  readonly flatpak: readonly string[];
  readonly snap: readonly string[];
  /** The file that says so. */
  readonly source: string;
}

/** All that the files of apps.d say. */
export interface AppCatalogue {
  readonly apps: readonly KnownApp[];
  /** What a profile means; undefined: unknown. `SYSTEM` and what is unusable are never found. */
  readonly find: (name: AppName) => KnownApp | undefined;
}

/** Something wrong in a file of apps.d; the entry (or the file) does not count. */
export interface AppFileFault {
  readonly source: string;
  /** Which entry, such as `app[3]` or its key. */
  readonly where: string;
  readonly what: string;
}

/** Bounds on files that administrators and packages write. */
const limits = { apps: 5000, list: 500, text: 1024, faults: 200 } as const;

const keyPattern = /^[a-z0-9][a-z0-9-]{0,39}$/;
const listFields = ['windows', 'packages', 'executables', 'units', 'desktop', 'flatpak', 'snap'] as const;
type ListField = (typeof listFields)[number];

export const emptyCatalogue: AppCatalogue = catalogueOf([]);

/**
 * Reads apps.d: files of `[[app]]` tables, already parsed from TOML. A later file replaces an entry of an earlier one with the same key,
 * and takes Windows names over from other entries; within one file both are faults. A fault never hides the entries beside it.
 * @param files in order of precedence, the weakest first
 */
export function readAppCatalogue(files: readonly { readonly source: string; readonly content: unknown }[]): {
  readonly catalogue: AppCatalogue;
  readonly faults: readonly AppFileFault[];
} {
  const faults: AppFileFault[] = [];
  const apps = new Map<AppKey, KnownApp>();
  for (const { source, content } of files) {
    const fault = (where: string, what: string): void => {
      if (faults.length < limits.faults) faults.push({ source, where, what });
    };
    const inFile = new Set<AppKey>();
    for (const [i, table] of tablesOf(content, fault).entries()) {
      const app = readApp(table, source, (what) => fault(`app[${i + 1}]`, what));
      if (!app) continue;
      if (inFile.has(app.key)) fault(app.key, 'the key is there twice in this file; the first one counts');
      else if (apps.size >= limits.apps && !apps.has(app.key)) fault(app.key, `there are more than ${limits.apps} apps`);
      else {
        inFile.add(app.key);
        // At its new place in the order: names that two apps claim go to the later one.
        apps.delete(app.key);
        apps.set(app.key, app);
      }
    }
  }
  const catalogue = catalogueOf([...apps.values()], (app, name, other) => {
    if (app.source === other.source && faults.length < limits.faults)
      faults.push({ source: app.source, where: app.key, what: `${name} belongs to ${other.key} as well; ${app.key} has it` });
  });
  return { catalogue, faults };
}

function catalogueOf(
  apps: readonly KnownApp[],
  onConflict: (app: KnownApp, name: string, other: KnownApp) => void = () => {},
): AppCatalogue {
  const byName = new Map<string, KnownApp>();
  for (const app of apps) {
    const names = [
      ...app.windows.map((text) => `path ${normaliseWindowsPath(text)!}`),
      ...app.packages.map((text) => `family ${text.toLowerCase()}`),
    ];
    for (const name of names) {
      const other = byName.get(name);
      if (other && other !== app) onConflict(app, name, other);
      byName.set(name, app);
    }
  }
  return {
    apps,
    find: (name) => {
      switch (name.kind) {
        case 'windows-path':
          return byName.get(`path ${name.path}`);
        case 'package-family':
          return byName.get(`family ${name.family}`);
        case 'linux-path':
          return linuxApp(name.path);
        case 'system':
        case 'unusable':
          return undefined;
      }
    },
  };
}

/** The app that is one executable of this machine and nothing else. */
function linuxApp(path: string): KnownApp {
  const name = path.slice(path.lastIndexOf('/') + 1);
  const readable = name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
    .slice(0, 20);
  return {
    key: `x-${readable === '' ? 'app' : readable}-${digest(path)}`,
    title: path,
    windows: [],
    packages: [],
    executables: [path],
    units: [],
    desktop: [],
    flatpak: [],
    snap: [],
    source: 'the profile',
  };
}

/** 16 hexadecimal digits that tell paths apart (FNV-1a, 64 bits); where two meet all the same, the compiler refuses the second. */
function digest(text: string): string {
  let hash = 0xcbf29ce484222325n;
  for (const character of text) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(character.codePointAt(0)!)) * 0x100000001b3n);
  }
  return hash.toString(16).padStart(16, '0');
}

function tablesOf(content: unknown, fault: (where: string, what: string) => void): readonly unknown[] {
  if (!isTable(content)) {
    fault('file', 'it is not a table');
    return [];
  }
  for (const key of Object.keys(content)) if (key !== 'app') fault(key, 'this key is unknown; entries are [[app]]');
  const tables = content['app'];
  if (tables === undefined) return [];
  if (!Array.isArray(tables)) {
    fault('app', 'it is not a list of tables; write [[app]]');
    return [];
  }
  return tables;
}

function readApp(table: unknown, source: string, fault: (what: string) => void): KnownApp | undefined {
  if (!isTable(table)) {
    fault('it is not a table');
    return undefined;
  }
  const { key, title } = table;
  if (typeof key !== 'string' || !keyPattern.test(key) || key.startsWith('x-')) {
    fault('key must be 1 to 40 of a-z, 0-9 and -, not begin with - or x-');
    return undefined;
  }
  for (const name of Object.keys(table)) {
    if (name !== 'key' && name !== 'title' && !listFields.some((field) => field === name)) {
      fault(`${key}: ${JSON.stringify(name.slice(0, 40))} is unknown`);
      return undefined;
    }
  }
  if (title !== undefined && (typeof title !== 'string' || !isPlainText(title))) {
    fault(`${key}: title is not a text`);
    return undefined;
  }
  const lists: Partial<Record<ListField, readonly string[]>> = {};
  for (const field of listFields) {
    const value = table[field] ?? [];
    if (!Array.isArray(value) || value.length > limits.list || !value.every((entry) => isPlainText(entry))) {
      fault(`${key}: ${field} is not a list of at most ${limits.list} texts`);
      return undefined;
    }
    const wrong = value.map((entry: string) => faultOf(field, entry)).find((what) => what !== undefined);
    if (wrong !== undefined) {
      fault(`${key}: ${field}: ${wrong}`);
      return undefined;
    }
    lists[field] = value;
  }
  const app = { key, title: typeof title === 'string' ? title : key, ...(lists as Record<ListField, readonly string[]>), source };
  if (app.executables.length + app.units.length + app.flatpak.length + app.snap.length === 0) {
    fault(`${key}: it has no executables, units, flatpak or snap, so that nothing could ever be it`);
    return undefined;
  }
  return app;
}

function faultOf(field: ListField, entry: string): string | undefined {
  const quoted = JSON.stringify(entry.slice(0, 80));
  switch (field) {
    case 'windows':
      return appNameOf({ id: entry, type: 'FilePath' }).kind === 'windows-path'
        ? undefined
        : `${quoted} is not a full Windows path`;
    case 'packages':
      return /^[\w.-]{1,200}$/.test(entry) ? undefined : `${quoted} is not a package family name`;
    case 'executables': {
      const wrong = faultOfLinuxPath(entry) ?? (entry.split('/')[1]!.includes('*') ? 'its first component has a *' : undefined);
      return wrong === undefined ? undefined : `${quoted}: ${wrong}`;
    }
    case 'units':
      return /^[\w@.:\\-]{1,240}\.(?:service|scope|slice)$/.test(entry) ? undefined : `${quoted} is not a systemd unit`;
    case 'desktop':
    case 'flatpak':
      return /^[\w.-]{1,240}$/.test(entry) && !entry.endsWith('.desktop') ? undefined : `${quoted} is not an id`;
    case 'snap':
      return /^[a-z0-9][a-z0-9-]{0,79}$/.test(entry) ? undefined : `${quoted} is not a snap name`;
  }
}

function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isPlainText(value: unknown): value is string {
  // eslint-disable-next-line no-control-regex
  return typeof value === 'string' && value !== '' && value.length <= limits.text && !/[\u0000-\u001f\u007f]/.test(value);
}
