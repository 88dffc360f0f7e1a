import { formatAddress, formatPrefix, parseAddress, parsePrefix } from '@aovpn/bytes';
import type { LiveTunnel } from './compile-plan.ts';
import type { HostFacts } from './facts.ts';
import type { Intent } from './intent.ts';

// Documentation ranges (RFC 5737, RFC 3849): nobody takes them for facts.
const addresses = [parsePrefix('192.0.2.10/32')!, parsePrefix('2001:db8::10/128')!];
const gateway = parseAddress('203.0.113.1')!;
const resolver = parseAddress('198.51.100.53')!;
const mtu = 1380;
const mark = 0x61_6f_76;

/** A tunnel as it would be if it were up, for looking at what a profile comes to before there is one. {@link assumptionsOf} says what it takes for granted. */
export function assumeTunnel(intent: Intent, device: string): LiveTunnel {
  return {
    intent,
    facts: { profile: intent.name, device, mtu, addresses, dns: [], dnsDomains: [], subnets: [], remoteSelectors: [], gateway },
  };
}

/** A machine without a network of its own to speak of. */
export function assumeHost(): HostFacts {
  return { resolver: 'stub', physicalDns: [resolver], mark, localSubnets: [] };
}

/** What {@link assumeTunnel} and, unless the facts of a machine are at hand, {@link assumeHost} take for granted, one sentence each. */
export function assumptionsOf({ intent, facts }: LiveTunnel, isHostKnown: boolean): readonly string[] {
  const assumed = facts.addresses === addresses;
  return [
    ...(assumed
      ? [
          `the tunnel of ${JSON.stringify(intent.name)} is up as ${facts.device}, MTU ${facts.mtu}`,
          `the gateway is ${formatAddress(facts.gateway)} and assigns ${facts.addresses.map(formatPrefix).join(' and ')}`,
          'the gateway pushes no name servers, subnets or narrower traffic selectors',
        ]
      : []),
    ...(isHostKnown
      ? []
      : [
          `this machine asks ${formatAddress(resolver)} and has no directly attached networks; our own stub resolver serves names`,
          'users and groups of Claims are those whose numbers stand in sids.d',
        ]),
  ];
}
