import { RTM_DELLINK, RTMGRP_LINK } from '../network/rtnetlink-number.ts';
import { decodeMessages, viewOf } from '../network/rtnetlink.ts';
import { constant, littleEndian, openNetlink, SysError } from '../sys/index.ts';
import { decodeDeletedState, decodeExpire } from './xfrm-message.ts';
import * as nl from './xfrm-number.ts';
import type { XfrmTunnel } from './xfrm-tunnel.ts';

export interface XfrmWatch {
  close(): void;
}

export interface XfrmNews {
  /** A soft limit was reached: time for another pair. */
  expired(spiIn: number, why: 'sequence' | 'bytes'): void;
  /** A state of ours is gone, and not by us. */
  lost(spiIn: number): void;
  policiesGone(): void;
  deviceGone(index: number): void;
}

/** Hears what the kernel and others do to the states and policies of a tunnel, and to devices. @throws {SysError} */
export function watchXfrm(tunnel: XfrmTunnel, news: XfrmNews): XfrmWatch {
  const xfrm = openNetlink(constant.NETLINK_XFRM, nl.groups.expire | nl.groups.sa | nl.groups.policy);
  let links: ReturnType<typeof openNetlink>;
  try {
    links = openNetlink(constant.NETLINK_ROUTE, RTMGRP_LINK);
  } catch (error) {
    xfrm.close();
    throw error;
  }

  const lookForLost = (): void => {
    for (const pair of tunnel.pairs) if (!tunnel.isWhole(pair)) news.lost(pair.spiIn);
  };
  const take = (type: number, body: Uint8Array): void => {
    switch (type) {
      case nl.XFRM_MSG_EXPIRE: {
        const expire = decodeExpire(body);
        const found = expire && tunnel.pairOf(expire.state);
        if (!expire || !found) return;
        const byBytes = expire.state.bytes >= found.pair.transform.softByteLimit;
        return news.expired(found.pair.spiIn, byBytes ? 'bytes' : 'sequence');
      }
      case nl.XFRM_MSG_DELSA: {
        // Of our own removals the tunnel has let go already, and a state that was made anew is there.
        const deleted = decodeDeletedState(body);
        const found = deleted && tunnel.pairOf(deleted);
        if (found && !tunnel.isWhole(found.pair)) news.lost(found.pair.spiIn);
        return;
      }
      case nl.XFRM_MSG_FLUSHSA:
        return lookForLost();
      case nl.XFRM_MSG_FLUSHPOLICY:
        return news.policiesGone();
    }
  };
  drain(xfrm, take, lookForLost);
  drain(links, (type, body) => {
    if (type === RTM_DELLINK && body.length >= 16) news.deviceGone(viewOf(body).getInt32(4, littleEndian));
  });
  return {
    close: () => {
      xfrm.close();
      links.close();
    },
  };
}

/** @param overrun when more came than the socket could hold */
function drain(
  socket: ReturnType<typeof openNetlink>,
  take: (type: number, body: Uint8Array) => void,
  overrun: () => void = () => undefined,
): void {
  socket
    .watch(() => {
      try {
        for (let datagram = socket.receive(); datagram; datagram = socket.receive()) {
          for (const { type, body } of decodeMessages(datagram)) take(type, body);
          // The kernel tells of new SAs with their keys.
          datagram.fill(0);
        }
      } catch (error) {
        if (!(error instanceof SysError) || error.code !== 'ENOBUFS') throw error;
        overrun();
      }
    })
    .unref();
}
