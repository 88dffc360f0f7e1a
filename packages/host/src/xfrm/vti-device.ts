import type { IpAddress } from '@aovpn/bytes';
import { littleEndian } from '../sys/index.ts';
import type { RouteRequest } from '../network/route-socket.ts';
import * as rt from '../network/rtnetlink-number.ts';
import { u32, viewOf, type Attribute } from '../network/rtnetlink.ts';
import { nested } from '../network/nested-attribute.ts';
import { transmitQueues } from './device-plug.ts';
import * as nl from './xfrm-number.ts';

/**
 * A VTI device: what is routed into it finds policies by its mark; what arrives for its local address, in ESP from whomever, finds states by it,
 * and what was in it comes out of the device when an inbound policy with the mark says so. There is one of a kind for each family outside, and one
 * of them for each local address. Down.
 */
export function newVtiRequest(name: string, mtu: number, mark: number, local: IpAddress): RouteRequest {
  return {
    type: rt.RTM_NEWLINK,
    flags: rt.NLM_F_CREATE | rt.NLM_F_EXCL,
    fixed: new Uint8Array(16),
    attributes: [
      [rt.IFLA_IFNAME, new TextEncoder().encode(`${name}\0`)],
      [rt.IFLA_NUM_TX_QUEUES, u32(transmitQueues)],
      ...settings(mtu, mark, local),
    ],
  };
}

/** The device has another local address from now on, of the same family. */
export function moveVtiRequest(index: number, mtu: number, mark: number, local: IpAddress): RouteRequest {
  const fixed = new Uint8Array(16);
  viewOf(fixed).setInt32(4, index, littleEndian);
  return { type: rt.RTM_NEWLINK, flags: 0, fixed, attributes: settings(mtu, mark, local) };
}

function settings(mtu: number, mark: number, local: IpAddress): readonly Attribute[] {
  const key = new Uint8Array(4);
  viewOf(key).setUint32(0, mark);
  const data = nested([
    [nl.IFLA_VTI_IKEY, key],
    [nl.IFLA_VTI_OKEY, key],
    [nl.IFLA_VTI_LOCAL, local.bytes],
  ]);
  const info = nested([
    [rt.IFLA_INFO_KIND, new TextEncoder().encode(local.family === 4 ? 'vti' : 'vti6')],
    [nl.IFLA_INFO_DATA, data],
  ]);
  // Without an MTU said again the kernel would choose one.
  return [
    [rt.IFLA_MTU, u32(mtu)],
    [rt.IFLA_LINKINFO, info],
  ];
}
