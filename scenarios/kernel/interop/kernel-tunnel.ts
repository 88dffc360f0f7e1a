import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { assertOnlyEsp } from '../../../lab/capture.ts';
import type { Host } from '../../../lab/host.ts';
import { canary, network } from '../../../lab/network.ts';
import { hangMs } from '../../../lab/patience.ts';
import type { WirePacket } from '../../../lab/pcap.ts';
import type { Product } from '../../../lab/product.ts';
import type { Stage } from '../../../lab/stage.ts';
import type { World } from '../../../lab/world.ts';

/** SPIs of a host's SAs, as its kernel lists them, in one line. */
export async function kernelSpis(host: Host): Promise<string> {
  const states = await host.exec(['ip', 'xfrm', 'state']);
  return [...states.matchAll(/spi (0x[0-9a-f]+)/g)]
    .map(([, spi]) => spi)
    .toSorted((a, b) => (a! < b! ? -1 : 1))
    .join(' ');
}

/** All of the kernel's IPsec on a host, devices included; empty: nothing. */
export async function ipsecLeft(host: Host): Promise<string> {
  // The kernel has a VTI device of its own for each family, once it has had any.
  const devices = ['xfrm', 'vti', 'vti6'].map((kind) => `ip -o link show type ${kind}`).join('; ');
  const script = `ip xfrm state; ip xfrm policy; (${devices}) | grep -vE ': ip6?_vti0'`;
  return (await host.exec(['sh', '-c', `${script} || true`])).trim();
}

/** Waits until a host has no SA, policy or device of the kernel's IPsec any more. */
export async function nothingLeft(host: Host): Promise<void> {
  const deadline = performance.now() + hangMs;
  for (;;) {
    const left = await ipsecLeft(host);
    if (left === '') return;
    // Keys are none of a log's business, not even these.
    if (performance.now() > deadline) throw new Error(`left: ${left.replaceAll(/0x[0-9a-f]{24,}/g, '…')}`);
    await sleep(50);
  }
}

/** Waits until something is no longer what it was. */
export async function changes(what: string, before: string, look: () => Promise<string>): Promise<string> {
  const deadline = performance.now() + hangMs;
  for (;;) {
    const now = await look();
    if (now !== before) return now;
    if (performance.now() > deadline) throw new Error(`${what} are as before: ${before}`);
    await sleep(50);
  }
}

/** Numbered datagrams go to the company and back meanwhile; not one may be missing. */
export async function echoes(world: World, action: () => Promise<void>): Promise<void> {
  const flow = await world.application.flow(network.corp.web4, network.corp.echoPort, 50);
  const hosts = [world.client, world.gatewayHost, world.corp];
  const before = await thrownAway(hosts);
  await sleep(500);
  try {
    await action();
  } finally {
    const report = await flow.stop(10_000);
    const said = JSON.stringify({ ...report, thrownAway: { before, after: await thrownAway(hosts) } });
    assert.equal(report.lost, 0, said);
    assert.ok(report.sent > 20, said);
  }
}

/** What the kernel has dropped for want of room or of an SA: by all of its processors, and on each host. */
async function thrownAway(hosts: readonly Host[]): Promise<Readonly<Record<string, string>>> {
  const script = `awk '{ print $2 }' /proc/net/softnet_stat; awk '/^Udp:/ { print $6 }' /proc/net/snmp; grep -v '[^0-9]0$' /proc/net/xfrm_stat`;
  const seen = await Promise.all(
    hosts.map(async (host) => [host.name, (await host.run(['sh', '-c', script])).stdout.replaceAll(/\s+/g, ' ').trim()] as const),
  );
  return Object.fromEntries(seen);
}

/** Both families go through the tunnel. */
export async function intranet({ world, product }: Pick<Stage, 'world' | 'product'>): Promise<void> {
  for (const address of [network.corp.web4, `[${network.corp.web6}]`])
    await withKernelState(world.client, product, async () => {
      assert.match((await world.application.fetch(`http://${address}/`)).body, new RegExp(canary));
    });
}

/** A failure comes with what the kernel has (without keys) and what the daemon said last. */
async function withKernelState(host: Host, product: Product, action: () => Promise<void>): Promise<void> {
  try {
    await action();
  } catch (error) {
    const script =
      'ip -s xfrm state; ip xfrm policy; grep -v "[^0-9]0$" /proc/net/xfrm_stat; ip route get 10.20.0.80; ip -s -d link; ip addr';
    const seen = (await host.run(['sh', '-c', script])).stdout
      .replaceAll(/0x[0-9a-f]{24,}/g, '…')
      .replaceAll(/(?: [0-9a-f]{8}){3,} ?\n/g, '');
    throw new Error(`${String(error)}\n${seen}\n${product.daemon.output().slice(-3000)}`, { cause: error });
  }
}

/** Nothing but ESP and IKE on the wire. A slow gateway is tried over TCP as well (RFC 9329), which ours refuses. */
export function assertOnlyTunnel(packets: readonly WirePacket[]): void {
  const refused = ({ protocol, sourcePort, destinationPort }: WirePacket): boolean =>
    protocol === 6 && (sourcePort === 4500 || destinationPort === 4500);
  const publicDns = [network.internet.dns4, network.internet.dns6];
  assertOnlyEsp(
    packets.filter((packet) => !refused(packet)),
    [canary],
    { publicDns },
  );
}
