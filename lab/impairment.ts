import process from 'node:process';
import type { Host } from './host.ts';
import { network } from './network.ts';
import { hangMs } from './patience.ts';
import type { RelaySettings } from './relay/packet-relay.ts';
import type { Running } from './running.ts';

/** What the internet between client and gateway does to packets, in both directions. Absent: nothing. */
export interface Impairment {
  /** Share of packets that are lost, 0 to 1. */
  readonly loss?: number;
  readonly delayMs?: number;
  readonly jitterMs?: number;
  readonly duplicate?: number;
  readonly reorder?: number;
  readonly rateKbit?: number;
  /** Nothing passes, and nobody is told. */
  readonly blackhole?: boolean;
  /** UDP datagrams to or from these ports do not pass. */
  readonly dropUdpPorts?: readonly number[];
  /** UDP datagrams of this family do not pass. */
  readonly dropUdpFamily?: 4 | 6;
  /** UDP datagrams larger than this (IP length) do not pass: a path that eats IP fragments and large packets. */
  readonly dropLongerThan?: number;
  /** The client sits behind a NAT that rewrites addresses and ports, v4 and v6. */
  readonly nat?: boolean;
  readonly seed?: number;
}

const table = 100;
const device = 'impair0';

/** Applies impairments on the router: nftables where the kernel can do it, our own relay for the rest. */
export class Impairments {
  readonly #router: Host;
  #relay: Running | undefined;
  #relaying = false;

  constructor(router: Host) {
    this.#router = router;
  }

  /** Replaces what was there before. */
  async apply(impairment: Impairment): Promise<void> {
    const nat = impairment.nat === true;
    await this.#router.exec(['nft', '-f', '-'], { input: ruleset(impairment) });
    // A mapping outlives its rule; a NAT that appears or goes is a new path for every flow.
    await this.#router.run(['conntrack', '-F']);
    if (!nat) await this.#router.run(['conntrack', '-F', '-f', 'ipv6']);
    const { delayMs = 0, jitterMs = 0, duplicate = 0, reorder = 0, rateKbit = 0, seed = 1 } = impairment;
    const relayed = delayMs + jitterMs + duplicate + reorder + rateKbit > 0;
    if (relayed)
      await this.#relayWith({ delayMs, jitterMs, duplicate, reorder, reorderMs: Math.max(10, delayMs / 2), rateKbit, seed });
    if (relayed !== this.#relaying) await this.#detour(relayed ? 'add' : 'del');
    this.#relaying = relayed;
  }

  /** A NAT forgets its mappings, as home routers do: the next packet comes from another port. */
  async forgetMappings(): Promise<void> {
    await this.#router.run(['conntrack', '-F']);
    await this.#router.run(['conntrack', '-F', '-f', 'ipv6']);
  }

  async #relayWith(settings: RelaySettings): Promise<void> {
    if (!this.#relay) {
      const program = new URL('./relay/packet-relay.ts', import.meta.url).pathname;
      this.#relay = this.#router.spawn([process.execPath, program, device], { name: 'packet-relay', stdin: true });
      await this.#relay.saysWithin(/ready/);
      await this.#router.exec(['sh', '-euc', `echo 0 > /proc/sys/net/ipv4/conf/${device}/rp_filter`]);
      await this.#router.ip(
        `link set ${device} up mtu 1500`,
        `route add default dev ${device} table ${table}`,
        `-6 route add default dev ${device} table ${table}`,
      );
    }
    const before = this.#relay.output().split('set\n').length;
    this.#relay.stdin!.write(`${JSON.stringify(settings)}\n`);
    for (const deadline = performance.now() + hangMs; this.#relay.output().split('set\n').length === before;) {
      if (performance.now() > deadline) throw new Error(`the relay does not take its settings:\n${this.#relay.output()}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** Packets that come from a link go through the relay; those that come from the relay go their normal way. */
  async #detour(verb: 'add' | 'del'): Promise<void> {
    const { toClient, toGateway } = network.router;
    await this.#router.ip(
      ...[toClient, toGateway].flatMap((link) => [
        `rule ${verb} iif ${link} lookup ${table}`,
        `-6 rule ${verb} iif ${link} lookup ${table}`,
      ]),
    );
  }
}

function ruleset(impairment: Impairment): string {
  const { toClient, toGateway } = network.router;
  const forward: string[] = [];
  if (impairment.blackhole) forward.push('drop');
  for (const port of impairment.dropUdpPorts ?? []) forward.push(`udp sport ${port} drop`, `udp dport ${port} drop`);
  if (impairment.dropUdpFamily) forward.push(`meta nfproto ipv${impairment.dropUdpFamily} meta l4proto udp drop`);
  if (impairment.dropLongerThan) forward.push(`meta l4proto udp meta length > ${impairment.dropLongerThan} drop`);
  if (impairment.loss) forward.push(`numgen random mod 10000 < ${Math.round(impairment.loss * 10_000)} drop`);
  const links = `{ "${toClient}", "${toGateway}", "${device}" }`;
  return [
    'table inet impairment',
    'delete table inet impairment',
    'table inet impairment {',
    '  chain forward {',
    '    type filter hook forward priority 0; policy accept;',
    // A packet that the relay hands back has met its fate already.
    `    iifname "${device}" accept`,
    ...forward.map((rule) => `    iifname ${links} ${rule}`),
    '  }',
    ...(impairment.nat
      ? [
          '  chain postrouting {',
          '    type nat hook postrouting priority 100; policy accept;',
          `    oifname "${toGateway}" meta l4proto { tcp, udp } masquerade to :20000-60000 random`,
          `    oifname "${toGateway}" masquerade`,
          '  }',
        ]
      : []),
    '}',
    '',
  ].join('\n');
}
