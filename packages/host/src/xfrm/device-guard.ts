import { concat, type IpAddress } from '@aovpn/bytes';
import { littleEndian } from '../sys/index.ts';
import type { RouteRequest, RouteSocket } from '../network/route-socket.ts';
import { NLM_F_CREATE, NLM_F_EXCL } from '../network/rtnetlink-number.ts';
import { decodeAttributes, viewOf, type Attribute } from '../network/rtnetlink.ts';
import { nested } from '../network/nested-attribute.ts';
import { RTM_NEWQDISC, TCA_KIND, TCA_OPTIONS, tcKind, tcMessage } from './traffic-control.ts';

// <linux/rtnetlink.h>, <linux/pkt_sched.h>, <linux/pkt_cls.h>
const RTM_GETQDISC = 38;
const RTM_NEWTFILTER = 44;
const RTM_DELTFILTER = 45;
const TC_H_INGRESS = 0xffff_fff1;
const ingressHandle = 0xffff_0000;
const TCA_STATS2 = 7;
const TCA_STATS_QUEUE = 3;
const TCA_ACT_KIND = 1;
const TCA_ACT_OPTIONS = 2;
const TCA_GACT_PARMS = 2;
const TCA_FLOWER_ACT = 3;
const TCA_FLOWER_KEY_ETH_TYPE = 8;
const flowerDestination = { 4: 12, 6: 16 } as const;
const TCA_MATCHALL_ACT = 2;
const TC_ACT_OK = 0;
const TC_ACT_SHOT = 2;
const ETH_P_ALL = 3;
const etherType = { 4: 0x0800, 6: 0x86dd } as const;
/** Lower goes first; each family has a number of its own. */
const priority = { 4: 1, 6: 2, rest: 3 } as const;

/**
 * What comes out of the tunnel and is not for one of our inner addresses goes no further: policies of the kernel's IPsec look only at what this
 * machine keeps for itself, or at what it passes on after addresses were translated. The guard stands on the device and goes with it.
 */
export function guardRequests(index: number): readonly RouteRequest[] {
  return [
    {
      type: RTM_NEWQDISC,
      flags: NLM_F_CREATE | NLM_F_EXCL,
      fixed: tcMessage(index, ingressHandle, TC_H_INGRESS, 0),
      attributes: [[TCA_KIND, tcKind('ingress')]],
    },
    filter(index, priority.rest, ETH_P_ALL, 'matchall', [[TCA_MATCHALL_ACT, action(TC_ACT_SHOT)]]),
  ];
}

/** Lets in what is for these addresses, and nothing else. */
export function admitRequests(index: number, addresses: readonly IpAddress[]): readonly RouteRequest[] {
  const old = ([4, 6] as const).map((family) => ({
    type: RTM_DELTFILTER,
    flags: 0,
    fixed: tcMessage(index, 0, ingressHandle, info(priority[family], etherType[family])),
    attributes: [],
  }));
  const admitted = addresses.map(({ family, bytes }) =>
    filter(index, priority[family], etherType[family], 'flower', [
      [TCA_FLOWER_KEY_ETH_TYPE, bigEndian16(etherType[family])],
      [flowerDestination[family], bytes],
      [flowerDestination[family] + 1, new Uint8Array(bytes.length).fill(0xff)],
      [TCA_FLOWER_ACT, action(TC_ACT_OK)],
    ]),
  );
  return [...old, ...admitted];
}

/** Packets that the guard turned away. */
export function readTurnedAway(socket: RouteSocket, index: number): number {
  for (const { body } of socket.dump(RTM_GETQDISC, tcMessage(index, 0, 0, 0))) {
    if (body.length < 20 || viewOf(body).getInt32(4, littleEndian) !== index) continue;
    const attributes = decodeAttributes(body, 20);
    const statistics = attributes.get(TCA_STATS2);
    // struct gnet_stats_queue: qlen, backlog, drops
    const queue = statistics && decodeAttributes(statistics, 0).get(TCA_STATS_QUEUE);
    if (viewOf(body).getUint32(12, littleEndian) === TC_H_INGRESS && queue && queue.length >= 12)
      return viewOf(queue).getUint32(8, littleEndian);
  }
  return 0;
}

function filter(index: number, order: number, protocol: number, kind: string, options: readonly Attribute[]): RouteRequest {
  return {
    type: RTM_NEWTFILTER,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    fixed: tcMessage(index, 0, ingressHandle, info(order, protocol)),
    attributes: [
      [TCA_KIND, tcKind(kind)],
      [TCA_OPTIONS, nested(options)],
    ],
  };
}

/** A list of one action, which says what becomes of the packet (`struct tc_gact`). */
function action(verdict: number): Uint8Array {
  const parameters = new Uint8Array(20);
  viewOf(parameters).setInt32(8, verdict, littleEndian);
  const one = nested([
    [TCA_ACT_KIND, tcKind('gact')],
    [TCA_ACT_OPTIONS, nested([[TCA_GACT_PARMS, parameters]])],
  ]);
  return nested([[1, one]]);
}

/** The priority in the upper half, the protocol in network byte order in the lower. */
function info(order: number, protocol: number): number {
  return new DataView(
    concat(
      ...(littleEndian ? [bigEndian16(protocol), Uint8Array.of(order, 0)] : [Uint8Array.of(0, order), bigEndian16(protocol)]),
    ).buffer,
  ).getUint32(0, littleEndian);
}

function bigEndian16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value & 0xff);
}
