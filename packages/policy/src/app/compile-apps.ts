import type { Because } from '../facts.ts';
import { quoted, type FilterProblems } from '../filter/problem.ts';
import type { Intent } from '../intent.ts';
import type { AppKey, AppPlan, FilterPlan } from '../plan.ts';
import type { AppBook } from './app-book.ts';
import type { ForcedWays } from './forced-way.ts';

/** Every known app that a profile in force names, by key. */
export function compileApps(
  intents: readonly Intent[],
  filters: readonly FilterPlan[],
  ways: ForcedWays,
  book: AppBook,
  problemsOf: (profile: string) => FilterProblems,
): readonly AppPlan[] {
  const uses = new Map<AppKey, { triggers: Set<string>; filtered: Set<string>; because: Because }>();
  const useOf = (key: AppKey, because: Because): { triggers: Set<string>; filtered: Set<string> } => {
    const known = uses.get(key) ?? { triggers: new Set<string>(), filtered: new Set<string>(), because };
    uses.set(key, known);
    return known;
  };
  for (const intent of intents) {
    for (const { app, because } of intent.filters) {
      const known = app && book.find(app.value);
      for (const key of known ? book.keysOf(known) : [])
        useOf(key, { ...because, why: `${because.why}, App ${nameOf(app!.value)}` }).filtered.add(intent.name);
    }
    for (const { number, app } of intent.triggers) {
      const known = book.find(app.value);
      for (const key of known ? book.keysOf(known) : [])
        useOf(key, { ...app.because, why: `${app.because.why} ${nameOf(app.value)}` }).triggers.add(intent.name);
      if (!known && app.value.kind !== 'system')
        problemsOf(intent.name).add(
          'unknownTrigger',
          app.because.at!,
          `VPNProfile/AppTrigger[${number}]/App/Id`,
          nameOf(app.value),
        );
    }
  }
  const devices = new Map<AppKey, Set<string>>();
  for (const { device, rules } of filters) {
    for (const { owner } of rules) {
      for (const key of owner?.apps ?? []) {
        const known = devices.get(key);
        if (known) known.add(device);
        else devices.set(key, new Set([device]));
      }
    }
  }
  return book.apps.flatMap((app): AppPlan[] => {
    const use = uses.get(app.key);
    if (!use) return [];
    const way = ways.ofApp.get(app.key);
    const { key, title, executables, units, desktop, flatpak, snap } = app;
    return [
      {
        key,
        title,
        executables,
        units,
        desktop,
        flatpak,
        snap,
        tunnels: [...(devices.get(key) ?? [])].sort(),
        routing: way ? 'ForceTunnel' : 'SplitTunnel',
        ...(way ? { force: way.path } : {}),
        perAppVpn: [...use.triggers].some((profile) => use.filtered.has(profile)),
        triggers: [...use.triggers].sort(),
        because: use.because,
      },
    ];
  });
}

function nameOf(name: Intent['triggers'][number]['app']['value']): string {
  return name.kind === 'system' ? 'SYSTEM' : quoted(name.written);
}
