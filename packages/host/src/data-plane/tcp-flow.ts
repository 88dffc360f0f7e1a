import net from 'node:net';
import { concat, formatAddress, type IpAddress } from '@aovpn/bytes';
import { nonEspMarkerLength, readStream, streamFrame, streamPrefix } from '@aovpn/esp';
import {
  beginConnect,
  closeDescriptor,
  constant,
  errno,
  errnoName,
  getOption,
  libc,
  localEnd,
  openPacketPair,
  openTcpSocket,
  setOption,
  SysError,
  trySetOption,
  watchReadable,
  watchWritable,
  type Watch,
} from '../sys/index.ts';
import { dataPlaneError } from './data-plane-error.ts';

export interface TcpFlowOptions {
  readonly remote: IpAddress;
  readonly remotePort: number;
  readonly mark: number;
  /** An IKE message, its non-ESP marker removed. */
  readonly onIke: (datagram: Uint8Array) => void;
  /** The connection is gone; called once, never after `close`. */
  readonly onLost: (why: string) => void;
}

/** Milliseconds until a gateway that does not take the connection is given up. */
const connectPatience = 4000;
/** Octets on their way to the gateway beyond which the workers wait. */
const highWater = 1 << 20;
const pairBuffer = 4 << 20;
/** Datagrams taken from the workers before the event loop has its turn. */
const turnLength = 64;

/**
 * IKE and ESP in one TCP connection (RFC 9329). The workers of the plane see a packet socket in place of the UDP socket, and nothing else
 * differs for them; here its packets become frames of the stream and frames become packets. What cannot be sent on makes the sender wait,
 * so that TCP inside the tunnel slows down instead of losing packets.
 */
export class TcpFlow {
  /** The workers' end. */
  readonly fd: number;
  readonly local: IpAddress;
  readonly localPort: number;
  readonly #options: TcpFlowOptions;
  readonly #socket: net.Socket;
  readonly #inside: number;
  readonly #buffer = new Uint8Array(65536);
  #watch: Watch | undefined;
  #received = new Uint8Array(0);
  /** ESP packets that the workers have no room for. */
  #waiting: Uint8Array[] = [];
  #retry: NodeJS.Timeout | undefined;
  #over = false;

  /** @throws {HostError} AOV-HOST-212 */
  static async open(options: TcpFlowOptions): Promise<TcpFlow> {
    const { remote, remotePort, mark } = options;
    const place = `${formatAddress(remote)} port ${remotePort}`;
    let fd = -1;
    try {
      fd = openTcpSocket(remote.family);
      if (mark !== 0) setOption(fd, constant.SOL_SOCKET, constant.SO_MARK, mark);
      beginConnect(fd, remote, remotePort);
      if (!(await isWritable(fd, connectPatience))) throw dataPlaneError('tcpFailed', `no TCP connection to ${place} in time`);
      const problem = getOption(fd, constant.SOL_SOCKET, constant.SO_ERROR);
      if (problem !== 0) throw dataPlaneError('tcpFailed', `no TCP connection to ${place}: ${errnoName(problem)}`);
      return new TcpFlow(options, fd);
    } catch (error) {
      closeDescriptor(fd);
      throw error instanceof SysError
        ? dataPlaneError('tcpFailed', `no TCP connection to ${place}: ${error.code}`, error)
        : error;
    }
  }

  private constructor(options: TcpFlowOptions, fd: number) {
    this.#options = options;
    const { address, port } = localEnd(fd);
    this.local = address;
    this.localPort = port;
    [this.fd, this.#inside] = openPacketPair();
    for (const end of [this.fd, this.#inside]) {
      if (!trySetOption(end, constant.SOL_SOCKET, constant.SO_SNDBUFFORCE, pairBuffer))
        trySetOption(end, constant.SOL_SOCKET, constant.SO_SNDBUF, pairBuffer);
    }
    this.#socket = new net.Socket({ fd, readable: true, writable: true });
    this.#socket.setNoDelay(true);
    this.#socket.on('data', (octets) => this.#take(octets));
    this.#socket.on('drain', () => this.#listen());
    this.#socket.on('error', (error: NodeJS.ErrnoException) => this.#lose(error.code ?? error.message));
    this.#socket.on('close', () => this.#lose('closed by the gateway'));
    this.#socket.write(streamPrefix);
    this.#listen();
  }

  get isAlive(): boolean {
    return !this.#over;
  }

  sendIke(datagram: Uint8Array): void {
    if (this.#over) return;
    // What the workers have sent goes first: behind a Delete it would be lost.
    while (this.#forward() === turnLength);
    if (!this.#over) this.#socket.write(streamFrame(concat(new Uint8Array(nonEspMarkerLength), datagram)));
  }

  /** Ends the connection. The workers' end must not be listened to any more. */
  close(): void {
    this.#end();
    closeDescriptor(this.fd);
    closeDescriptor(this.#inside);
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#retry);
    this.#watch?.close();
    this.#watch = undefined;
    this.#waiting = [];
    this.#socket.destroy();
  }

  #lose(why: string): void {
    if (this.#over) return;
    this.#end();
    this.#options.onLost(why);
  }

  /** Workers → stream. */
  #listen(): void {
    if (this.#over) return;
    this.#watch ??= watchReadable(this.#inside, () => void this.#forward());
  }

  /** Returns how many packets there were. */
  #forward(): number {
    const frames: Uint8Array[] = [];
    let taken = 0;
    for (; taken < turnLength; taken++) {
      const length = libc.recvfrom(this.#inside, libc.addressOf(this.#buffer), this.#buffer.length, constant.MSG_DONTWAIT, 0, 0);
      if (length <= 0) break;
      // RFC 9329 §6.6: keepalives of NATs have no place in TCP.
      if (length > 1) frames.push(streamFrame(this.#buffer.subarray(0, length)));
    }
    if (frames.length > 0) this.#socket.write(concat(...frames));
    if (this.#socket.writableLength > highWater) {
      this.#watch?.close();
      this.#watch = undefined;
    }
    return taken;
  }

  /** Stream → main thread (IKE) and workers (ESP). */
  #take(octets: Uint8Array): void {
    const { messages, rest, problem } = readStream(this.#received.length > 0 ? concat(this.#received, octets) : octets);
    this.#received = rest.slice();
    for (const message of messages) {
      if (message.length <= nonEspMarkerLength) continue;
      const marker = message[0]! | message[1]! | message[2]! | message[3]!;
      if (marker === 0) this.#options.onIke(message.slice(nonEspMarkerLength));
      else this.#deliver(message);
      if (this.#over) return;
    }
    if (problem !== undefined) this.#lose(`not a stream of IKE and ESP: ${problem}`);
  }

  #deliver(packet: Uint8Array): void {
    if (this.#waiting.length > 0 || !this.#hand(packet)) {
      this.#waiting.push(packet.slice());
      this.#socket.pause();
      this.#retry ??= setTimeout(() => this.#deliverWaiting(), 1);
    }
  }

  #deliverWaiting(): void {
    this.#retry = undefined;
    while (this.#waiting.length > 0 && this.#hand(this.#waiting[0]!)) this.#waiting.shift();
    if (this.#waiting.length > 0) this.#retry = setTimeout(() => this.#deliverWaiting(), 1);
    else this.#socket.resume();
  }

  /** False: no room now. */
  #hand(packet: Uint8Array): boolean {
    const flags = constant.MSG_DONTWAIT | constant.MSG_NOSIGNAL;
    return libc.sendto(this.#inside, libc.addressOf(packet), packet.length, flags, 0, 0) !== -errno.EAGAIN;
  }
}

function isWritable(fd: number, patience: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const watch = watchWritable(fd, () => {
    clearTimeout(timer);
    resolve(true);
  });
  const timer = setTimeout(() => {
    watch.close();
    resolve(false);
  }, patience);
  return promise;
}
