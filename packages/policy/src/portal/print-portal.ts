import { formatAddress, type Endpoint } from '@aovpn/bytes';
import { ip, quotedString, refusals, type CgroupName } from '../filter/ruleset-line.ts';

/** The table of nftables that confines the portal program, with LockDown and without. */
export const portalTable = 'inet aovpn_portal';

/** What the program that shows a captive portal may do, and nothing else. */
export interface PortalConfinement {
  /** Must exist when this is applied. */
  readonly cgroup: CgroupName;
  /** Milliseconds since 1970; the kernel closes by itself then. */
  readonly until: number;
  /** TCP ports of the physical network. */
  readonly ports: readonly number[];
  /** Our own name server on loopback for it, by family: all its questions go there, whatever server it asks. */
  readonly relay: Endpoint;
}

/**
 * As text for `nft -f -`, in one transaction. What leaves by the tunnel or stays on this machine is not its business; LockDown, which judges
 * later, still has the last word. Once the time is over, everything of the program is refused.
 * @param now milliseconds since 1970
 */
export function printPortal({ cgroup, until, ports, relay }: PortalConfinement, now: number): string {
  const left = Math.ceil((until - now) / 1000);
  const member = `socket cgroupv2 level ${cgroup.level} ${quotedString(cgroup.path)}`;
  const open = `socket cgroupv2 level ${cgroup.level} @open`;
  const { family } = relay.address;
  return `${[
    `table ${portalTable}`,
    `delete table ${portalTable}`,
    `table ${portalTable} {`,
    '  set open {',
    `    typeof socket cgroupv2 level ${cgroup.level}`,
    '    flags timeout',
    ...(left > 0 ? [`    elements = { ${quotedString(cgroup.path)} timeout ${left}s }`] : []),
    '  }',
    '  chain names {',
    '    type nat hook output priority -100',
    '    policy accept',
    // Of the relay's family only; the others are refused below, and programs ask the next server.
    `    ${member} meta nfproto ipv${family} meta l4proto { tcp, udp } th dport 53 dnat ${ip(family)} to ${formatAddress(relay.address)}:${relay.port}`,
    '  }',
    '  chain output {',
    '    type filter hook output priority -5',
    '    policy accept',
    `    ${member} jump program`,
    '  }',
    '  chain program {',
    // A query that was turned to the relay still counts as leaving by the link that it was meant for.
    '    oifname "lo" accept',
    '    fib daddr type local accept',
    `    ${open} tcp dport { ${ports.join(', ')} } accept`,
    ...refusals().map((line) => `    ${line}`),
    '  }',
    '}',
  ].join('\n')}\n`;
}

/** Takes the table away; nothing happens when there is none. */
export function printPortalRemoval(): string {
  return `table ${portalTable}\ndelete table ${portalTable}\n`;
}
