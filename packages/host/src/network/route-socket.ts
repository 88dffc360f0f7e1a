import { concat } from '@aovpn/bytes';
import { constant, errnoName, openNetlink, setOption, SysError, trySetOption, waitReadable } from '../sys/index.ts';
import { HostError } from '../host-error.ts';
import { networkCure } from './errors.ts';
import * as nl from './rtnetlink-number.ts';
import {
  decodeAttributes,
  decodeMessages,
  encodeMessage,
  readText,
  viewOf,
  type Attribute,
  type NetlinkMessage,
} from './rtnetlink.ts';
import { littleEndian } from '../sys/index.ts';

/** One request to the kernel; `flags` beyond REQUEST and ACK. */
export interface RouteRequest {
  readonly type: number;
  readonly flags: number;
  readonly fixed: Uint8Array;
  readonly attributes: readonly Attribute[];
}

/** What the kernel said to one request: nothing, or its errno's name and its own words. */
type RouteAnswer = { readonly ok: true } | { readonly ok: false; readonly code: string; readonly said: string };

/** A NETLINK_ROUTE socket for requests. The kernel answers within the send, so nothing here waits for the world. */
export interface RouteSocket {
  /** All requests in as few datagrams as possible; a failed one does not stop those behind it. */
  request(requests: readonly RouteRequest[]): RouteAnswer[];
  /** One request whose answer is a message, not a dump; undefined when the kernel says no. */
  get(request: RouteRequest): NetlinkMessage | undefined;
  /** Everything of one kind; repeated when it changed while it was read. */
  dump(type: number, fixed: Uint8Array, attributes?: readonly Attribute[]): NetlinkMessage[];
  close(): void;
}

/** Acknowledgements of a batch wait in our receive buffer: this many surely fit. */
const batchSize = 64;
const answerMs = 5000;

/** @throws {HostError} AOV-HOST-300 */
export function openRouteSocket(): RouteSocket {
  let socket: ReturnType<typeof openNetlink>;
  try {
    socket = openNetlink(constant.NETLINK_ROUTE, 0);
    setOption(socket.fd, constant.SOL_NETLINK, constant.NETLINK_EXT_ACK, 1);
    // With it the kernel filters dumps by table and family; without it (before Linux 4.20) we do.
    trySetOption(socket.fd, constant.SOL_NETLINK, constant.NETLINK_GET_STRICT_CHK, 1);
  } catch (error) {
    throw refusal(error);
  }
  let sequence = 0;

  const encode = ({ type, flags, fixed, attributes }: RouteRequest, more: number): Uint8Array =>
    encodeMessage(type, flags | more | nl.NLM_F_REQUEST, ++sequence, fixed, attributes);
  const receive = (): NetlinkMessage[] => {
    for (;;) {
      const datagram = socket.receive();
      if (datagram) return decodeMessages(datagram);
      if (!waitReadable(socket.fd, answerMs))
        throw new HostError('AOV-HOST-300', 'the kernel does not answer on netlink', networkCure('AOV-HOST-300'));
    }
  };
  const batch = (requests: readonly RouteRequest[]): RouteAnswer[] => {
    const first = sequence + 1;
    socket.send(concat(...requests.map((request) => encode(request, nl.NLM_F_ACK))));
    const answers: (RouteAnswer | undefined)[] = requests.map(() => undefined);
    for (let missing = requests.length; missing > 0;) {
      for (const message of receive()) {
        const index = message.sequence - first;
        if (message.type !== nl.NLMSG_ERROR || index < 0 || index >= answers.length || answers[index]) continue;
        answers[index] = readAnswer(message);
        missing--;
      }
    }
    return answers as RouteAnswer[];
  };
  const dumpOnce = (type: number, fixed: Uint8Array, attributes: readonly Attribute[]): NetlinkMessage[] | undefined => {
    socket.send(encode({ type, flags: nl.NLM_F_DUMP, fixed, attributes }, 0));
    const found: NetlinkMessage[] = [];
    let interrupted = false;
    for (;;) {
      for (const message of receive()) {
        if (message.sequence !== sequence) continue;
        if ((message.flags & nl.NLM_F_DUMP_INTR) !== 0) interrupted = true;
        if (message.type === nl.NLMSG_DONE) return interrupted ? undefined : found;
        if (message.type === nl.NLMSG_ERROR) {
          const answer = readAnswer(message);
          // A table or family that does not exist has nothing in it.
          if (!answer.ok && !['ENOENT', 'EAFNOSUPPORT', 'EOPNOTSUPP'].includes(answer.code))
            throw new HostError('AOV-HOST-300', `netlink dump: ${answer.said}`, networkCure('AOV-HOST-300'));
          return found;
        }
        found.push(message);
      }
    }
  };

  return {
    request: (requests) => {
      try {
        const answers: RouteAnswer[] = [];
        for (let at = 0; at < requests.length; at += batchSize) answers.push(...batch(requests.slice(at, at + batchSize)));
        return answers;
      } catch (error) {
        throw refusal(error);
      }
    },
    get: (request) => {
      try {
        socket.send(encode(request, 0));
        for (;;) {
          for (const message of receive()) {
            if (message.sequence === sequence) return message.type === nl.NLMSG_ERROR ? undefined : message;
          }
        }
      } catch (error) {
        throw refusal(error);
      }
    },
    dump: (type, fixed, attributes = []) => {
      try {
        for (let tries = 0; tries < 5; tries++) {
          const found = dumpOnce(type, fixed, attributes);
          if (found) return found;
        }
      } catch (error) {
        throw refusal(error);
      }
      throw new HostError('AOV-HOST-300', 'the kernel’s tables change faster than they can be read', networkCure('AOV-HOST-300'));
    },
    close: () => socket.close(),
  };
}

function readAnswer({ body, flags }: NetlinkMessage): RouteAnswer {
  const errno = -viewOf(body).getInt32(0, littleEndian);
  if (errno === 0) return { ok: true };
  const code = errnoName(errno);
  if ((flags & nl.NLM_F_ACK_TLVS) === 0) return { ok: false, code, said: code };
  // struct nlmsgerr: errno, then the request (only its header when capped), then attributes.
  const request = viewOf(body).getUint32(4, littleEndian);
  const words = readText(decodeAttributes(body, 4 + ((flags & nl.NLM_F_CAPPED) === 0 ? request : 16)).get(nl.NLMSGERR_ATTR_MSG));
  return { ok: false, code, said: words ? `${code} (${words})` : code };
}

function refusal(error: unknown): unknown {
  return error instanceof SysError
    ? new HostError('AOV-HOST-300', `netlink: ${error.message}`, networkCure('AOV-HOST-300'), error)
    : error;
}
