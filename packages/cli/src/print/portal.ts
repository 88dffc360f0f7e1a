import type { PortalStatus } from '@aovpn/api';
import { printable, type Style, type Terminal } from '../terminal.ts';
import { clock } from './moment.ts';

const words: Record<PortalStatus['state'], readonly [Style, string]> = {
  none: ['dim', 'no sign-in page is looked for: the tunnel is up, or not wanted'],
  unknown: ['warn', 'nothing says whether this network wants a sign-in'],
  captive: ['warn', 'this network wants a sign-in: aovpn portal open'],
  internet: ['good', 'this network wants no sign-in'],
};

/** `portal status` for people. `now` is milliseconds since the epoch. */
export function portalText({ state, url, trace, open }: PortalStatus, terminal: Terminal, now: number): string {
  const [style, text] = words[state];
  return [
    terminal.style(style, text),
    ...(url === undefined ? [] : [`  sign in at  ${printable(url)}`]),
    ...(open
      ? [
          `  open        for ${Math.max(0, Math.round((Date.parse(open.until) - now) / 1000))} s more, by ${printable(open.by)}, TCP ${open.ports.join(' ')}`,
        ]
      : []),
    ...trace.map((line) => `  ${terminal.style('dim', '·')} ${printable(line)}`),
  ].join('\n');
}

/** One line for `status`; undefined when there is nothing to say. */
export function portalNotice({ state, url, open }: PortalStatus, now: number): readonly [Style, string] | undefined {
  if (open)
    return [
      'warn',
      `the way to this network’s sign-in page is open for one program until ${clock(Date.parse(open.until), now)}, by ${printable(open.by)}`,
    ];
  if (state !== 'captive') return undefined;
  const where = url === undefined ? '' : ` (${printable(url)})`;
  return ['warn', `this network wants a sign-in${where}: aovpn portal open`];
}
