import { formatPrefix, formatRange, rangeToPrefixes, type IpRange } from '@aovpn/bytes';
import type { AccessEntry, FilterRule } from '../plan.ts';
import { everyId } from './identity.ts';
import { formatNumberRanges } from './number-ranges.ts';

/** Entries of one list that are shown. */
const shown = 12;

/** A rule as one line: `out tcp to 10.0.0.0/8 port 443 of app firefox`. */
export function describeRule(rule: FilterRule): string {
  const { direction, owner, protocol, localPorts, remotePorts, local, remote } = rule;
  const words: string[] = [direction];
  if (protocol !== undefined) words.push(protocolName(protocol));
  if (remote || remotePorts) {
    words.push(direction === 'out' ? 'to' : 'from', remote ? describeAddresses(remote) : 'any');
    if (remotePorts) words.push('port', describeList(formatNumberRanges(remotePorts).split(',')));
  }
  if (local || localPorts) {
    words.push(direction === 'out' ? 'from' : 'to', local ? describeAddresses(local) : 'any');
    if (localPorts) words.push('port', describeList(formatNumberRanges(localPorts).split(',')));
  }
  if (words.length === 1) words.push('everything');
  if (owner?.apps) words.push('of app', owner.apps.join(','));
  if (owner?.system) words.push('of SYSTEM');
  if (owner?.access) words.push('of', describeAccess(owner.access));
  return words.join(' ');
}

export function describeAccess(access: readonly AccessEntry[]): string {
  return access
    .map(({ allow, users, groups }) => {
      const who = [
        ...(users.length > 0
          ? [
              users[0]!.from === 0 && users[0]!.to === everyId.to
                ? 'everybody'
                : `uid ${describeList(formatNumberRanges(users).split(','))}`,
            ]
          : []),
        ...(groups.length > 0 ? [`gid ${describeList(formatNumberRanges(groups).split(','))}`] : []),
      ].join(' or ');
      return `${allow ? '' : 'not '}${who === '' ? 'nobody' : who}`;
    })
    .join(', then ');
}

/** `tcp`, or `protocol 47`. */
export function protocolName(protocol: number): string {
  return protocolNames.find(([, number]) => number === protocol)?.[0] ?? `protocol ${protocol}`;
}

/** Undefined when it is no protocol. */
export function protocolNumber(text: string): number | undefined {
  const known = protocolNames.find(([name]) => name === text.toLowerCase());
  if (known) return known[1];
  return /^\d{1,3}$/.test(text) && Number(text) <= 255 ? Number(text) : undefined;
}

const protocolNames: readonly (readonly [string, number])[] = [
  ['tcp', 6],
  ['udp', 17],
  ['icmp', 1],
  ['icmp6', 58],
  ['icmpv6', 58],
  ['ipv6-icmp', 58],
  ['sctp', 132],
  ['gre', 47],
  ['esp', 50],
  ['igmp', 2],
  ['udplite', 136],
  ['dccp', 33],
];

export function describeAddresses(ranges: readonly IpRange[]): string {
  return describeList(
    ranges.map((range) => {
      const [prefix, ...more] = rangeToPrefixes(range);
      const host = prefix!.length === prefix!.address.bytes.length * 8;
      return more.length === 0 && !host ? formatPrefix(prefix!) : formatRange(range);
    }),
  );
}

function describeList(texts: readonly string[]): string {
  const more = texts.length > shown ? `,… (${texts.length})` : '';
  return `${texts.slice(0, shown).join(',')}${more}`;
}
