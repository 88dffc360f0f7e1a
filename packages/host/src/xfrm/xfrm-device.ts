import { constant, libc, littleEndian } from '../sys/index.ts';
import type { RouteRequest, RouteSocket } from '../network/route-socket.ts';
import * as rt from '../network/rtnetlink-number.ts';
import { decodeAttributes, u32, viewOf } from '../network/rtnetlink.ts';
import { nested } from '../network/nested-attribute.ts';
import { transmitQueues } from './device-plug.ts';
import * as nl from './xfrm-number.ts';

const RTM_SETLINK = 19;
const IFLA_AF_SPEC = 26;
const IFLA_INET6_ADDR_GEN_MODE = 8;
const IN6_ADDR_GEN_MODE_NONE = 1;
const AF_INET6 = 10;

/** An XFRM interface: what is routed into it finds policies and states by its interface id alone. Down. */
export function newDeviceRequest(name: string, mtu: number, interfaceId: number): RouteRequest {
  const data = nested([[nl.IFLA_XFRM_IF_ID, u32(interfaceId)]]);
  const info = nested([
    [rt.IFLA_INFO_KIND, new TextEncoder().encode('xfrm')],
    [nl.IFLA_INFO_DATA, data],
  ]);
  return {
    type: rt.RTM_NEWLINK,
    flags: rt.NLM_F_CREATE | rt.NLM_F_EXCL,
    fixed: new Uint8Array(16),
    attributes: [
      [rt.IFLA_IFNAME, new TextEncoder().encode(`${name}\0`)],
      [rt.IFLA_MTU, u32(mtu)],
      [rt.IFLA_NUM_TX_QUEUES, u32(transmitQueues)],
      [rt.IFLA_LINKINFO, info],
    ],
  };
}

/** No link-local address made by the kernel: it would only draw questions into the tunnel. A device has IPv6 settings once it is there. */
export function withoutLinkLocal(index: number): RouteRequest {
  const fixed = new Uint8Array(16);
  viewOf(fixed).setInt32(4, index, littleEndian);
  const six = nested([[AF_INET6, nested([[IFLA_INET6_ADDR_GEN_MODE, Uint8Array.of(IN6_ADDR_GEN_MODE_NONE)]])]]);
  return { type: RTM_SETLINK, flags: 0, fixed, attributes: [[IFLA_AF_SPEC, six]] };
}

/** What the device could not send, by its own counters. */
export interface DeviceRefusals {
  /** No SA, or an inner address that is not ours. */
  readonly noState: number;
  readonly tooBig: number;
}

export function readRefusals(socket: RouteSocket, index: number): DeviceRefusals | undefined {
  const fixed = new Uint8Array(16);
  viewOf(fixed).setInt32(4, index, littleEndian);
  const body = socket.get({ type: rt.RTM_GETLINK, flags: 0, fixed, attributes: [] })?.body;
  const stats = body && decodeAttributes(body, 16).get(nl.IFLA_STATS64);
  // struct rtnl_link_stats64: tx_errors is the sixth, tx_carrier_errors the eighteenth of its counters.
  if (!stats || stats.length < 18 * 8) return undefined;
  const count = (place: number): number => Number(viewOf(stats).getBigUint64(place * 8, littleEndian));
  const noState = count(17);
  return { noState, tooBig: Math.max(0, count(5) - noState) };
}

/**
 * Whether the device takes joined packets (GSO). A joined packet is measured by the device's MTU alone, also when the path carries less: there the
 * kernel must split before, so that senders hear how long a packet may be (RFC 1191).
 * @param fd any socket in the device's network namespace
 */
export function setJoinedPackets(fd: number, name: string, allowed: boolean): void {
  const value = new Uint32Array(2);
  const request = new DataView(new ArrayBuffer(40));
  for (let i = 0; i < name.length; i++) request.setUint8(i, name.charCodeAt(i));
  request.setBigUint64(16, BigInt(libc.addressOf(value)), littleEndian);
  for (const command of [constant.ETHTOOL_STSO, constant.ETHTOOL_SGSO]) {
    value[0] = command;
    value[1] = allowed ? 1 : 0;
    libc.ioctl(fd, constant.SIOCETHTOOL, libc.addressOf(request));
  }
}
