import { concat, wipe } from '@aovpn/bytes';
import { constant, errnoName, littleEndian, openNetlink, setOption, SysError, waitReadable } from '../sys/index.ts';
import { decodeMessages, encodeMessage, viewOf, type NetlinkMessage } from '../network/rtnetlink.ts';
import { NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR } from '../network/rtnetlink-number.ts';
import type { XfrmRequest } from './xfrm-message.ts';

/** A NETLINK_XFRM socket for requests; the kernel answers within the send. What went out is overwritten: it may have held keys. */
export interface XfrmSocket {
  /** Requests, carried out in order, whatever becomes of those before; undefined for one that was done, or the errno's name. */
  request(requests: readonly XfrmRequest[]): (string | undefined)[];
  /** The same, and what the kernel tells all listeners of a group (XFRMNLGRP_…) meanwhile, about anybody's. */
  requestHearing(requests: readonly XfrmRequest[], group: number): readonly NetlinkMessage[];
  /** One request whose answer is a message; undefined when the kernel has none. */
  get(request: XfrmRequest): Uint8Array | undefined;
  /** The bodies of everything of one kind. */
  dump(type: number): Uint8Array[];
  close(): void;
}

const answerMs = 5000;
/** Requests to a datagram: with the longest of them it stays far below what a socket takes, and so do their answers. */
const batchSize = 16;

/** @throws {SysError} EPROTONOSUPPORT where the kernel has no XFRM at all */
export function openXfrmSocket(): XfrmSocket {
  const socket = openNetlink(constant.NETLINK_XFRM, 0);
  let sequence = 0;
  try {
    setOption(socket.fd, constant.SOL_NETLINK, constant.NETLINK_EXT_ACK, 1);
  } catch (error) {
    socket.close();
    throw error;
  }
  /** All in one datagram: nothing of this process comes between them. */
  const send = (requests: readonly XfrmRequest[], more: number): void => {
    const messages = requests.map(({ type, flags, fixed, attributes }) =>
      encodeMessage(type, flags | more | NLM_F_REQUEST, ++sequence, fixed, attributes),
    );
    const datagram = concat(...messages);
    try {
      socket.send(datagram);
    } finally {
      wipe(datagram, ...messages);
    }
  };
  const receive = (): NetlinkMessage[] => {
    for (;;) {
      const datagram = socket.receive();
      if (datagram) return decodeMessages(datagram);
      if (!waitReadable(socket.fd, answerMs)) throw new SysError('recv NETLINK_XFRM', 110);
    }
  };
  const errorOf = (message: NetlinkMessage): number => -viewOf(message.body).getInt32(0, littleEndian);

  const request = (requests: readonly XfrmRequest[], hear?: (message: NetlinkMessage) => void): (string | undefined)[] => {
    const answers: (string | undefined)[] = [];
    for (let at = 0; at < requests.length; at += batchSize) {
      const batch = requests.slice(at, at + batchSize);
      const first = sequence + 1;
      send(batch, NLM_F_ACK);
      for (let missing = batch.length; missing > 0;) {
        for (const message of receive()) {
          const index = message.sequence - first;
          if (message.type !== NLMSG_ERROR) hear?.(message);
          if (message.type !== NLMSG_ERROR || index < 0 || index >= batch.length) continue;
          const errno = errorOf(message);
          answers[at + index] = errno === 0 ? undefined : errnoName(errno);
          missing--;
        }
      }
    }
    return requests.map((_, i) => answers[i]);
  };

  return {
    request: (requests) => request(requests),
    requestHearing: (requests, group) => {
      const heard: NetlinkMessage[] = [];
      setOption(socket.fd, constant.SOL_NETLINK, constant.NETLINK_ADD_MEMBERSHIP, group);
      try {
        // The kernel tells of what it does before it says that it is done.
        request(requests, (message) => heard.push(message));
      } finally {
        setOption(socket.fd, constant.SOL_NETLINK, constant.NETLINK_DROP_MEMBERSHIP, group);
        // What is left was told to listeners, and must not be taken for an answer.
        for (let rest = socket.receive(); rest; rest = socket.receive()) wipe(rest);
      }
      return heard;
    },
    get: (request) => {
      send([request], 0);
      for (;;) {
        const answer = receive().find((message) => message.sequence === sequence);
        if (answer) return answer.type === NLMSG_ERROR ? undefined : answer.body;
      }
    },
    dump: (type) => {
      send([{ type, flags: 0, fixed: new Uint8Array(), attributes: [] }], NLM_F_DUMP);
      const found: Uint8Array[] = [];
      for (;;) {
        for (const message of receive()) {
          if (message.sequence !== sequence) continue;
          if (message.type === NLMSG_DONE) return found;
          if (message.type === NLMSG_ERROR) {
            if (errorOf(message) !== 0) throw new SysError('dump NETLINK_XFRM', errorOf(message));
            return found;
          }
          found.push(message.body);
        }
      }
    },
    close: () => socket.close(),
  };
}
