import { formatAddress } from '@aovpn/bytes';
import type { Because } from '../facts.ts';
import { hex } from '../filter/ruleset-line.ts';
import { daemonUser, highestSystemUser } from '../linux-number.ts';
import type { LockdownPlan } from './lockdown-plan.ts';

/** One kind of packet that may leave, for people. */
export interface LockdownRule {
  readonly text: string;
  readonly because: Because;
}

/** What a LockDown lets out, line by line, as a plan shows it; the last line is what it refuses. */
export function lockdownRules(plan: LockdownPlan): readonly LockdownRule[] {
  const [first] = plan.because as readonly [Because, ...Because[]];
  const machine = (why: string): Because => ({ profile: '', why });
  const own = `mark ${hex(plan.mark)} uid ${daemonUser}`;
  const rules: LockdownRule[] = [
    { text: 'lockdown allow lo', because: machine('loopback never leaves the machine') },
    ...plan.devices.map((device) => ({ text: `lockdown allow dev ${device}`, because: machine('inside of the tunnel') })),
  ];
  if (plan.mark !== 0) {
    for (const { address, port } of plan.gateways)
      rules.push({
        text: `lockdown allow ${formatAddress(address)} udp ${ports(port)} tcp ${port} ${own}`,
        because: machine('IKE and ESP of the daemon, to the gateway'),
      });
    if (plan.kernelEsp)
      for (const { address, port } of plan.gateways)
        rules.push({
          text: `lockdown allow ${formatAddress(address)} udp ${port} ESP mark ${hex(plan.mark)}, of no socket with that mark`,
          because: machine('ESP of the kernel, to the gateway'),
        });
    for (const { address, port } of plan.questions ?? [])
      rules.push({
        text: `lockdown allow ${formatAddress(address)} tcp ${port} ${own}`,
        because: machine('whether this network wants a sign-in, asked by the daemon'),
      });
    for (const address of plan.resolvers)
      rules.push({
        text: `lockdown allow ${formatAddress(address)} udp 53 tcp 53 ${own}`,
        because: machine('names of gateways, asked by the daemon'),
      });
  }
  rules.push(
    { text: `lockdown allow dhcp uid 0-${highestSystemUser}`, because: machine('an address of the network, DHCPv4 and DHCPv6') },
    { text: 'lockdown allow neighbour discovery', because: machine('RFC 4861; ARP is no IP and is not touched') },
  );
  if (plan.portal) {
    const { cgroup, ports: open, because } = plan.portal;
    const servers = plan.resolvers.map(formatAddress).join(' ') || 'no name server';
    rules.push({
      text: `lockdown allow cgroup ${cgroup.path} tcp ${open.join(' ')}, names at ${servers}, for a limited time`,
      because,
    });
  }
  rules.push(...plan.because.map((because) => ({ text: 'lockdown refuse everything else', because })));
  return first ? rules : [];
}

/** UDP ports of a gateway; each once. */
function ports(port: number): string {
  return port === ikePort ? `${port}` : `${ikePort} ${port}`;
}

/** RFC 7296 §2 */
export const ikePort = 500;
