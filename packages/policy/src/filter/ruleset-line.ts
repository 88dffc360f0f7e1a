import type { IpFamily } from '@aovpn/bytes';
import type { NumberRange } from '@aovpn/profile';
import type { AccessEntry } from '../plan.ts';
import type { MatchSet } from './match-set.ts';
import { impliedNumber } from './name-server-rule.ts';
import { formatNumberRanges } from './number-ranges.ts';

/** A cgroup as nftables names it: its path below /sys/fs/cgroup, and how deep it lies in its hierarchy. */
export interface CgroupName {
  readonly path: string;
  readonly level: number;
}

/**
 * A program must hear of it at once. A TCP socket does not heed ICMP while connect(2) still holds it, and would try again after a second; a
 * reset it heeds.
 */
export function refusals(condition?: string): string[] {
  const prefix = condition === undefined ? '' : `${condition} `;
  return [`${prefix}meta l4proto tcp counter reject with tcp reset`, `${prefix}counter reject with icmpx admin-prohibited`];
}

/** ESP in UDP (RFC 3948 §2.1): not to the port of IKE alone, and no marker where the SPI is. */
export const espOfKernel = 'meta l4proto udp udp dport != 500 @th,64,32 != 0';

export function accessRules({ allow, users, groups }: AccessEntry, goto: string): string[] {
  const verdict = allow ? goto : 'return';
  return [
    ...(users.length > 0 ? [`meta skuid { ${idRanges(users)} } ${verdict}`] : []),
    ...(groups.length > 0 ? [`meta skgid { ${idRanges(groups)} } ${verdict}`] : []),
  ];
}

export function idRanges(ranges: readonly NumberRange[]): string {
  return formatNumberRanges(ranges).replaceAll(',', ', ');
}

/** One verdict map for each level, as nftables compares cgroups of one level at a time; deeper ones first. */
export function byLevel(targets: readonly { readonly cgroup: CgroupName; readonly verdict: string }[]): string[] {
  const levels = new Map<number, string[]>();
  const seen = new Set<string>();
  for (const { cgroup, verdict } of targets) {
    if (seen.has(cgroup.path)) continue;
    seen.add(cgroup.path);
    const element = `${quotedString(cgroup.path)} : ${verdict}`;
    const known = levels.get(cgroup.level);
    if (known) known.push(element);
    else levels.set(cgroup.level, [element]);
  }
  return [...levels]
    .sort(([a], [b]) => b - a)
    .map(([level, elements]) => `socket cgroupv2 level ${level} vmap { ${elements.join(', ')} }`);
}

export function ruleNumbers({ rules }: MatchSet): string {
  const shown = rules.slice(0, 8).map(({ number, because }) => `${number}${because.at ? ` (line ${because.at.line})` : ''}`);
  const more = rules.length > 8 ? ` and ${rules.length - 8} more` : '';
  if (rules.length > 0 && rules.every(({ number }) => number === impliedNumber)) return 'name servers';
  return rules.length === 0 ? 'overlapping filters' : `filters ${shown.join(', ')}${more}`;
}

/** nft knows no escapes: a backslash, as in systemd's names, is one. What it could not read does not come this far. */
export function quotedString(text: string): string {
  // eslint-disable-next-line no-control-regex
  if (/["*\u0000-\u001f\u007f]/.test(text)) throw new TypeError(`not a name for nft: ${JSON.stringify(text)}`);
  return `"${text}"`;
}

/** Text that stays on one line. */
export function comment(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replaceAll(/[\u0000-\u001f\u007f\u2028\u2029]/g, ' ');
}

export function ip(family: IpFamily): string {
  return family === 4 ? 'ip' : 'ip6';
}

export function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`;
}
