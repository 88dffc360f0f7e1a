import { routingTables, rulePriorities } from '@aovpn/policy';
import { HostError } from '../host-error.ts';
import { constant, littleEndian, openNetlink, SysError } from '../sys/index.ts';
import { networkCure } from './errors.ts';
import * as nl from './rtnetlink-number.ts';
import { decodeAttributes, decodeMessages, readU32, viewOf, type NetlinkMessage } from './rtnetlink.ts';

/** Events within this time are one. */
const quietMs = 20;

/**
 * Calls back soon after something happened that may concern our routes, rules or devices, whoever did it; what is true now is for the
 * callee to read. Never from within this call.
 * @throws {HostError} AOV-HOST-300
 */
export function watchOurs(onStir: () => void): { close(): void } {
  let events: ReturnType<typeof openNetlink>;
  try {
    const groups =
      nl.RTMGRP_LINK |
      nl.RTMGRP_IPV4_IFADDR |
      nl.RTMGRP_IPV6_IFADDR |
      nl.RTMGRP_IPV4_ROUTE |
      nl.RTMGRP_IPV6_ROUTE |
      nl.RTMGRP_IPV4_RULE |
      nl.RTMGRP_IPV6_RULE;
    events = openNetlink(constant.NETLINK_ROUTE, groups);
  } catch (error) {
    throw new HostError('AOV-HOST-300', `netlink events: ${String(error)}`, networkCure('AOV-HOST-300'), error);
  }
  let timer: NodeJS.Timeout | undefined;
  const stir = (): void => {
    timer ??= setTimeout(() => {
      timer = undefined;
      onStir();
    }, quietMs);
  };
  const watch = events.watch(() => {
    try {
      for (let datagram = events.receive(); datagram; datagram = events.receive())
        if (decodeMessages(datagram).some(mayBeOurs)) stir();
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      // Events were lost: any may have been ours.
      stir();
    }
  });
  watch.unref();
  return {
    close: () => {
      clearTimeout(timer);
      events.close();
    },
  };
}

/** Machines with many routes of their own change them often: those are none of our business. */
function mayBeOurs({ type, body }: NetlinkMessage): boolean {
  switch (type) {
    case nl.RTM_NEWROUTE:
    case nl.RTM_DELROUTE:
      return body.length >= 12 && routingTables.includes(readU32(decodeAttributes(body, 12).get(nl.RTA_TABLE)) ?? body[4]!);
    case nl.RTM_NEWRULE:
    case nl.RTM_DELRULE: {
      const priority = body.length < 12 ? undefined : readU32(decodeAttributes(body, 12).get(nl.FRA_PRIORITY));
      return priority !== undefined && priority >= rulePriorities.first && priority <= rulePriorities.last;
    }
    case nl.RTM_NEWLINK:
      // A device that was taken down loses its routes without a word about them.
      return body.length >= 16 && (viewOf(body).getUint32(8, littleEndian) & nl.IFF_UP) === 0;
    case nl.RTM_DELADDR:
      return true;
    default:
      return false;
  }
}
