import { availableParallelism } from 'node:os';
import { concat } from '@aovpn/bytes';
import type { RouteRequest } from '../network/route-socket.ts';
import { NLM_F_CREATE, NLM_F_EXCL } from '../network/rtnetlink-number.ts';
import { u32 } from '../network/rtnetlink.ts';
import { RTM_NEWQDISC, TCA_KIND, TCA_OPTIONS, tcKind, tcMessage } from './traffic-control.ts';

// <linux/pkt_sched.h>
const TC_H_ROOT = 0xffff_ffff;
const TCQ_PLUG_BUFFER = 0;
const TCQ_PLUG_RELEASE_INDEFINITE = 2;
/** Of the root, and of the first plug; handles of one device differ. */
const rootHandle = 0x1_0000;
const firstPlug = 0x10_0000;
const handleStep = 0x1_0000;
/** Octets that wait behind one plug; beyond that packets are dropped. A second at 32 Mbit/s, 20 ms at 1.6 Gbit/s. */
const plugOctets = 4 << 20;

/** Queues of a tunnel's device, so that processors encrypt beside each other as they would without any queue; `mq` wants two at least. */
export const transmitQueues = Math.min(8, Math.max(2, availableParallelism()));

/**
 * A plug (sch_plug) in every queue of a device, open. They stay for the life of the device: to put a queue discipline on a device that is up, the kernel
 * drops for a moment what is sent. The device has to be down, and nothing waits behind a plug that is made, opened and never used.
 */
export function plugRequests(index: number): readonly RouteRequest[] {
  const flags = NLM_F_CREATE | NLM_F_EXCL;
  const root = { type: RTM_NEWQDISC, flags, fixed: tcMessage(index, rootHandle, TC_H_ROOT, 0), attributes: [kind('mq')] };
  const plugs = handles().map((handle, i) => ({
    type: RTM_NEWQDISC,
    flags,
    fixed: tcMessage(index, handle, rootHandle + i + 1, 0),
    attributes: [kind('plug'), options(TCQ_PLUG_BUFFER)],
  }));
  return [root, ...plugs, ...openPlugs(index)];
}

/** What is sent from now on waits in the device, except what has left its queue already. */
export function closePlugs(index: number): readonly RouteRequest[] {
  return change(index, TCQ_PLUG_BUFFER);
}

/** What has waited is sent, in its order. */
export function openPlugs(index: number): readonly RouteRequest[] {
  return change(index, TCQ_PLUG_RELEASE_INDEFINITE);
}

function change(index: number, action: number): readonly RouteRequest[] {
  return handles().map((handle) => ({
    type: RTM_NEWQDISC,
    flags: 0,
    fixed: tcMessage(index, handle, 0, 0),
    attributes: [kind('plug'), options(action)],
  }));
}

function handles(): number[] {
  return Array.from({ length: transmitQueues }, (_, i) => firstPlug + i * handleStep);
}

function kind(name: string): readonly [number, Uint8Array] {
  return [TCA_KIND, tcKind(name)];
}

/** `struct tc_plug_qopt`; the limit counts when a plug is made. */
function options(action: number): readonly [number, Uint8Array] {
  return [TCA_OPTIONS, concat(u32(action), u32(plugOctets))];
}
