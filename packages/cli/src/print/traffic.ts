import type { AppStatus, ConnectionStatus, TrafficStatus } from '@aovpn/api';
import { printable, type Style } from '../terminal.ts';
import { clock } from './moment.ts';

/** A label, what stands there, and the profile line behind it. */
export type StatusRow = readonly [label: string, value: string, because?: string];

const shownRules = 12;

/** Filters and apps of one connection. */
export function trafficRows({ filters, apps = [] }: ConnectionStatus, traffic: TrafficStatus | undefined): readonly StatusRow[] {
  const rows: StatusRow[] = [];
  if (filters) {
    const dead = filters.unusable > 0 ? `, ${filters.unusable} can never fit` : '';
    rows.push(['filters', `${filters.count} in force${dead}; everything else is refused`]);
    for (const { text, because } of filters.rules.slice(0, shownRules)) rows.push(['  allow', text, because]);
    if (filters.count > shownRules) rows.push(['  allow', `and ${filters.count - shownRules} more: aovpn plan`]);
  }
  for (const app of traffic?.apps.filter(({ key }) => apps.includes(key)) ?? []) rows.push(['app', appText(app), app.because]);
  return rows;
}

/** What is to be said of filters and apps whatever the connection. */
export function trafficNotices(
  { state, problem, execWatch, lastRepair }: TrafficStatus,
  now: number,
): readonly (readonly [Style, string])[] {
  const lines: (readonly [Style, string])[] = [];
  const add = (style: Style, text: string): void => void lines.push([style, printable(text)]);
  if (state === 'failed' && problem) add('bad', `filters: ${problem.message} [${problem.code}]; ${problem.cure}`);
  if (execWatch.state === 'stopped' || execWatch.state === 'unavailable')
    add('bad', `starts of apps are not seen (${execWatch.why ?? execWatch.state}): they are refused on tunnels with filters`);
  if (lastRepair) {
    const { at, what, failure } = lastRepair;
    const changes = what.join('; ');
    if (failure === undefined)
      add('warn', `filters: somebody else changed them at ${clock(Date.parse(at), now)}, and they were put back: ${changes}`);
    else add('bad', `filters: somebody else changed them (${changes}), and they could not be put back: ${failure}`);
  }
  return lines;
}

function appText({ key, executables, units, flatpak, snap, routing, device, perAppVpn, pids, late }: AppStatus): string {
  const what = [...executables, ...units, ...flatpak, ...snap].slice(0, 3).join(', ');
  const way =
    routing === 'ForceTunnel'
      ? device === undefined
        ? '; nothing leaves while its tunnel is down'
        : `; everything through ${device}`
      : '';
  const running = pids.length === 0 ? 'not running' : `${pids.length} ${pids.length === 1 ? 'process' : 'processes'}`;
  const old = late.length > 0 ? `; start again: ${late.join(' ')}` : '';
  return `${key} (${what}): ${running}${perAppVpn ? '; per-app VPN' : ''}${way}${old}`;
}
