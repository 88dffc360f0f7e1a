import type { Endpoint } from '@aovpn/bytes';
import {
  bindTo,
  closeDescriptor,
  connectTo,
  constant,
  errno,
  errnoName,
  libc,
  openUdpSocket,
  setOption,
  setBuffer,
  watchReadable,
} from '../sys/index.ts';

/** Whom an answer goes to: a socket address as the kernel wrote it. */
export interface DatagramSender {
  readonly octets: Uint8Array;
  readonly port: number;
}

export interface DatagramSocketOptions {
  readonly family: 4 | 6;
  readonly bind?: Endpoint;
  /** The kernel then hands over datagrams of that address and port only, and tells when nobody listens there. */
  readonly connect?: Endpoint;
  /** `SO_MARK`; 0 for none. */
  readonly mark?: number;
  /** `message` is good until the callback returns. */
  readonly onMessage: (message: Uint8Array, from: DatagramSender) => void;
  /** Only of connected sockets. */
  readonly onError?: (why: string) => void;
}

export interface DatagramSocket {
  /**
   * To `to`, or to whom the socket is connected.
   * @returns why it could not be sent
   */
  send(message: Uint8Array, to?: DatagramSender): string | undefined;
  close(): void;
}

/** Read at once before others get their turn. */
const batch = 64;
const maxDatagram = 65_536;
const receiveBuffer = 1 << 20;

// One thread, and nothing is kept across a turn of the event loop: all sockets share them.
const incoming = new Uint8Array(maxDatagram);
const incomingAt = libc.addressOf(incoming);
const outgoing = new Uint8Array(maxDatagram);
const outgoingAt = libc.addressOf(outgoing);
const sender = new Uint8Array(28);
const senderAt = libc.addressOf(sender);
const senderLength = new Uint32Array(1);
const senderLengthAt = libc.addressOf(senderLength);

/**
 * UDP without Node's own layer, which costs more than a question and its answer do.
 * @throws {SysError}
 */
export function openDatagramSocket(options: DatagramSocketOptions): DatagramSocket {
  const { family, bind, connect, mark = 0, onMessage, onError } = options;
  const fd = openUdpSocket(family);
  try {
    if (mark !== 0) setOption(fd, constant.SOL_SOCKET, constant.SO_MARK, mark);
    if (bind) {
      setBuffer(fd, 'receive', receiveBuffer);
      bindTo(fd, bind.address, bind.port);
    }
    if (connect) connectTo(fd, connect.address, connect.port);
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
  let open = true;
  const receive = (): number => {
    if (connect) return libc.read(fd, incomingAt, maxDatagram);
    senderLength[0] = sender.length;
    return libc.recvfrom(fd, incomingAt, maxDatagram, 0, senderAt, senderLengthAt);
  };
  const connected: DatagramSender = { octets: sender, port: connect?.port ?? 0 };
  const watch = watchReadable(fd, () => {
    for (let i = 0; i < batch && open; i++) {
      const length = receive();
      if (length === -errno.EAGAIN) return;
      if (length < 0) {
        onError?.(errnoName(-length));
        return;
      }
      const from = connect ? connected : { octets: sender.slice(0, senderLength[0]), port: (sender[2]! << 8) | sender[3]! };
      onMessage(incoming.subarray(0, length), from);
    }
  });
  // Whoever waits for an answer has a timer.
  if (connect) watch.unref();
  return {
    send: (message, to) => {
      if (!open) return 'closed';
      outgoing.set(message);
      let sent: number;
      if (to) {
        sender.set(to.octets);
        sent = libc.sendto(fd, outgoingAt, message.length, 0, senderAt, to.octets.length);
      } else sent = libc.write(fd, outgoingAt, message.length);
      return sent < 0 ? errnoName(-sent) : undefined;
    },
    close: () => {
      if (!open) return;
      open = false;
      watch.close();
      closeDescriptor(fd);
    },
  };
}
