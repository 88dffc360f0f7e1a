import { constant, errnoName, littleEndian, openNetlink, setOption, SysError, waitReadable } from '../sys/index.ts';
import { decodeMessages, encodeMessage, viewOf, type NetlinkMessage } from '../network/rtnetlink.ts';
import { NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR } from '../network/rtnetlink-number.ts';
import type { XfrmRequest } from './xfrm-message.ts';

/** A NETLINK_XFRM socket for requests; the kernel answers within the send. What went out is overwritten: it may have held keys. */
export interface XfrmSocket {
  /** Requests, carried out in order, whatever becomes of those before; undefined for one that was done, or the errno's name. */
  request(requests: readonly XfrmRequest[]): (string | undefined)[];
  /** One request whose answer is a message; undefined when the kernel has none. */
  get(request: XfrmRequest): Uint8Array | undefined;
  /** The bodies of everything of one kind. */
  dump(type: number): Uint8Array[];
  close(): void;
}

const answerMs = 5000;

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
  const send = ({ type, flags, fixed, attributes }: XfrmRequest, more: number): void => {
    const message = encodeMessage(type, flags | more | NLM_F_REQUEST, ++sequence, fixed, attributes);
    try {
      socket.send(message);
    } finally {
      message.fill(0);
    }
  };
  const receive = (): NetlinkMessage[] => {
    for (;;) {
      const datagram = socket.receive();
      if (datagram) return decodeMessages(datagram).filter((message) => message.sequence === sequence);
      if (!waitReadable(socket.fd, answerMs)) throw new SysError('recv NETLINK_XFRM', 110);
    }
  };
  const errorOf = (message: NetlinkMessage): number => -viewOf(message.body).getInt32(0, littleEndian);

  return {
    request: (requests) =>
      requests.map((request) => {
        send(request, NLM_F_ACK);
        for (;;) {
          for (const message of receive()) {
            if (message.type !== NLMSG_ERROR) continue;
            const errno = errorOf(message);
            return errno === 0 ? undefined : errnoName(errno);
          }
        }
      }),
    get: (request) => {
      send(request, 0);
      for (;;) for (const message of receive()) return message.type === NLMSG_ERROR ? undefined : message.body;
    },
    dump: (type) => {
      send({ type, flags: 0, fixed: new Uint8Array(), attributes: [] }, NLM_F_DUMP);
      const found: Uint8Array[] = [];
      for (;;) {
        for (const message of receive()) {
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
