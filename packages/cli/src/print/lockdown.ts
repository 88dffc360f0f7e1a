import type { LockdownStatus } from '@aovpn/api';
import { printable, type Style, type Terminal } from '../terminal.ts';
import { clock } from './moment.ts';

const words: Readonly<Record<LockdownStatus['traffic'], readonly [string, Style]>> = {
  'through-tunnel': ['nothing leaves this machine but through the tunnel', 'good'],
  blocked: ['all traffic of this machine is blocked until the tunnel is up', 'bad'],
  open: ['NOT in force, traffic goes where routes lead', 'bad'],
};

/** LockDown of the machine, as the head of a status. `now` is milliseconds since the epoch. */
export function lockdownText(
  { traffic, profiles, problem, lastRepair }: LockdownStatus,
  terminal: Terminal,
  now: number,
): string {
  const [text, style] = words[traffic];
  const lines = [`${terminal.style(style, '■')} LockDown: ${terminal.style(style, text)}`];
  const add = (label: string, value: string): void =>
    void lines.push(`  ${terminal.style('dim', label.padEnd(11))} ${printable(value)}`);
  for (const { because, released } of profiles)
    add(
      released ? 'released' : 'because',
      released ? `${because}; by ${released.by} at ${clock(Date.parse(released.at), now)}` : because,
    );
  if (problem) {
    add('problem', `${problem.message}${problem.code === '' ? '' : ` [${problem.code}]`}`);
    add('what to do', problem.cure);
  }
  if (lastRepair)
    add(
      'repaired',
      `${lastRepair.what} at ${clock(Date.parse(lastRepair.at), now)}${lastRepair.failure === undefined ? '' : `: ${lastRepair.failure}`}`,
    );
  return lines.join('\n');
}
