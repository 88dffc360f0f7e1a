import type { AppKey } from '../plan.ts';
import type { AppCatalogue, KnownApp } from './app-catalogue.ts';
import type { AppName } from './app-name.ts';
import { matchesExecutable } from './executable.ts';

/** The apps that the profiles in force name, each program in exactly one. */
export interface AppBook {
  readonly apps: readonly KnownApp[];
  readonly find: (name: AppName) => KnownApp | undefined;
  /**
   * The cgroups in which an app may run: its own, and that of each path of a profile that is one of its executables (a process can
   * sit in one cgroup only, and the path is the narrower name).
   */
  readonly keysOf: (app: KnownApp) => readonly AppKey[];
}

/** @param names all that filters and triggers name; time is linear in them for a given catalogue */
export function openAppBook(names: Iterable<AppName>, catalogue: AppCatalogue): AppBook {
  const used = new Map<AppKey, KnownApp>();
  const clashing = new Set<AppKey>();
  const byName = new Map<string, KnownApp | undefined>();
  for (const name of names) {
    const text = textOf(name);
    if (byName.has(text)) continue;
    const app = catalogue.find(name);
    byName.set(text, app);
    if (!app) continue;
    const other = used.get(app.key);
    // Two paths with one key would share rights.
    if (other && name.kind === 'linux-path' && other.title !== app.title) clashing.add(app.key);
    used.set(app.key, app);
  }
  for (const key of clashing) used.delete(key);
  const apps = [...used.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
  const shared = shareExecutables(apps);
  return {
    apps,
    find: (name) => {
      const app = byName.get(textOf(name));
      return app && used.has(app.key) ? app : undefined;
    },
    keysOf: (app) => [app.key, ...(shared.get(app.key) ?? [])],
  };
}

function shareExecutables(apps: readonly KnownApp[]): ReadonlyMap<AppKey, readonly AppKey[]> {
  const exact = new Map<string, AppKey[]>();
  const patterns: { readonly pattern: string; readonly key: AppKey }[] = [];
  for (const { key, executables } of apps) {
    if (isPathApp(key)) continue;
    for (const path of executables) {
      if (path.includes('*')) patterns.push({ pattern: path, key });
      else exact.set(path, [...(exact.get(path) ?? []), key]);
    }
  }
  const shared = new Map<AppKey, AppKey[]>();
  for (const { key, executables } of apps) {
    if (!isPathApp(key)) continue;
    const path = executables[0]!;
    const wider = [
      ...(exact.get(path) ?? []),
      ...patterns.filter(({ pattern }) => matchesExecutable(pattern, path)).map((one) => one.key),
    ];
    for (const owner of new Set(wider)) {
      const known = shared.get(owner);
      if (known) known.push(key);
      else shared.set(owner, [key]);
    }
  }
  return shared;
}

/** Whether the app is one path of a profile; catalogues cannot have such keys. */
function isPathApp(key: AppKey): boolean {
  return key.startsWith('x-');
}

function textOf(name: AppName): string {
  switch (name.kind) {
    case 'system':
      return 'system';
    case 'windows-path':
    case 'linux-path':
      return `${name.kind} ${name.path}`;
    case 'package-family':
      return `family ${name.family}`;
    case 'unusable':
      return 'unusable';
  }
}
