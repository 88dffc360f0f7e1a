import type { LiveTunnel } from '../compile-plan.ts';
import type { Intent } from '../intent.ts';

/** Lower interface metric first, then the user tunnel, then the name. */
export function compareIntents(a: Intent, b: Intent): number {
  const byMetric =
    a.interfaceMetric.v4.value - b.interfaceMetric.v4.value || a.interfaceMetric.v6.value - b.interfaceMetric.v6.value;
  if (byMetric !== 0) return byMetric;
  if (a.tunnel !== b.tunnel) return a.tunnel === 'user' ? -1 : 1;
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

export function byPreference(a: LiveTunnel, b: LiveTunnel): number {
  return compareIntents(a.intent, b.intent);
}

/** Why {@link compareIntents} puts `winner` before `loser`, in words. */
export function describePreference(winner: Intent, loser: Intent): string {
  for (const family of ['v4', 'v6'] as const) {
    const [low, high] = [winner.interfaceMetric[family].value, loser.interfaceMetric[family].value];
    if (low !== high) return `its interface metric is ${low}, the other one’s ${high}`;
  }
  if (winner.tunnel !== loser.tunnel) return 'equal interface metrics, and a user tunnel goes before a device tunnel';
  return `equal interface metrics, and ${JSON.stringify(winner.name)} comes before ${JSON.stringify(loser.name)} in the alphabet`;
}
