import { concat, sameAddress, type Endpoint, type IpAddress } from '@aovpn/bytes';
import { classifyDatagram, nonEspMarkerLength, type OuterPath } from '@aovpn/esp';
import {
  closeDescriptor,
  constant,
  decodeSocketAddress,
  encodeSocketAddress,
  libc,
  socketAddressCapacity,
  SysError,
  watchReadable,
  type Watch,
} from '../sys/index.ts';
import { BareEsp } from './bare-esp.ts';
import { dataPlaneError } from './data-plane-error.ts';
import { openIcmpErrorSocket, type IcmpErrorSocket, type PathError } from './icmp-error-socket.ts';
import { openOuterSocket, type OuterRoute, type OuterSocket } from './outer-socket.ts';

/** A replaced socket is listened to for so long: what was on the way to it still arrives. */
const retireMs = 3000;
/** Datagrams that are taken from a socket before others have their turn, and batches of them before a replaced one is closed: more than it can hold. */
const readBatch = 64;
const lastBatches = 256;

export interface KernelFlowEvents {
  /** Without the non-ESP marker. */
  ike(datagram: Uint8Array, from: IpAddress, fromPort: number): void;
  pathError(error: PathError): void;
  /** Whether a pair of this tunnel has that inbound SPI. */
  isOurs(spi: number): boolean;
}

/** The outer UDP flow of the kernel plane: the kernel takes ESP out of the socket by itself (`UDP_ENCAP`), this process reads IKE and sends it. */
export class KernelFlow {
  readonly #mark: number;
  readonly #events: KernelFlowEvents;
  readonly #retiring = new Map<number, { readonly watch: Watch; readonly timer: NodeJS.Timeout }>();
  readonly #bare = new BareEsp((spi) => this.#events.isOurs(spi));
  #socket: OuterSocket | undefined;
  #watch: Watch | undefined;
  #errors: IcmpErrorSocket | undefined;
  #path: OuterPath | undefined;
  #remoteName: Uint8Array = new Uint8Array();
  #sentAt = 0;
  #malformed = 0;
  #closed = false;
  readonly #buffer = new Uint8Array(65536);
  readonly #senderName = new Uint8Array(socketAddressCapacity);
  readonly #senderLength = new Uint32Array(1);

  constructor(mark: number, events: KernelFlowEvents) {
    this.#mark = mark;
    this.#events = events;
  }

  get fd(): number | undefined {
    return this.#socket?.fd;
  }

  get path(): OuterPath | undefined {
    return this.#path;
  }

  /** Monotonic milliseconds of the last datagram that this process sent. */
  get sentAt(): number {
    return this.#sentAt;
  }

  /** Datagrams that were neither IKE nor ESP. */
  get malformed(): number {
    return this.#malformed;
  }

  /**
   * Points the flow at a gateway, from where the route begins; while that is where it is, the socket stays. What is under way to a socket that is
   * replaced waits in it until this process comes to it.
   * @throws {HostError}
   */
  connect(route: OuterRoute, remote: IpAddress, remotePort: number): OuterPath {
    const old = this.#socket;
    if (!old || !sameAddress(old.local, route.local)) {
      const socket = openOuterSocket(route, this.#mark, false);
      const refused = takeEspOut(socket.fd, true);
      if (refused !== undefined) {
        closeDescriptor(socket.fd);
        throw dataPlaneError('socketFailed', `setsockopt UDP_ENCAP: ${refused}`);
      }
      if (old && this.#watch) this.#retire(old.fd, this.#watch);
      this.#socket = socket;
      this.#watch = this.#listen(socket.fd);
    }
    const { local, localPort } = this.#socket!;
    this.#remoteName = encodeSocketAddress(remote, remotePort);
    this.#path = { local, localPort, remote, remotePort };
    this.#bare.follow({ local, localPort, remote, mark: this.#mark });
    return this.#path;
  }

  /** From now on errors that the network tells about the path are heard. */
  watchErrors(): void {
    this.#errors?.close();
    const { local, localPort, remotePort } = this.#path!;
    try {
      this.#errors = openIcmpErrorSocket({ family: local.family, localPort, remotePort }, (error) =>
        this.#events.pathError(error),
      );
    } catch {
      // Without CAP_NET_RAW there are no hints, and a dead path is found by liveness checks alone.
      this.#errors = undefined;
    }
  }

  sendIke(datagram: Uint8Array, to?: Endpoint): void {
    if (to && to.address.family !== this.#socket?.local.family) return;
    const octets = concat(new Uint8Array(nonEspMarkerLength), datagram);
    const name = to && encodeSocketAddress(to.address, to.port);
    // The first try may only tell of an ICMP error for something sent earlier.
    if (this.send(octets, name) < 0) this.send(octets, name);
  }

  /** A negative errno, or the number of octets. */
  send(octets: Uint8Array, name = this.#remoteName): number {
    if (!this.#socket) return 0;
    this.#sentAt = performance.now();
    return sendTo(this.#socket.fd, octets, octets.length, name);
  }

  close(): void {
    this.#closed = true;
    this.#errors?.close();
    this.#bare.close();
    this.#watch?.close();
    for (const [fd, { watch, timer }] of this.#retiring) {
      clearTimeout(timer);
      watch.close();
      closeDescriptor(fd);
    }
    if (this.#socket) closeDescriptor(this.#socket.fd);
    this.#socket = undefined;
  }

  #listen(fd: number): Watch {
    return watchReadable(fd, () => void this.#read(fd));
  }

  /** Takes what waits in a socket, a batch at the most. False: nothing is left. */
  #read(fd: number): boolean {
    const buffer = this.#buffer;
    const name = this.#senderName;
    for (let i = 0; i < readBatch; i++) {
      if (this.#closed) return false;
      this.#senderLength[0] = name.length;
      const at = [libc.addressOf(buffer), libc.addressOf(name), libc.addressOf(this.#senderLength)] as const;
      const length = libc.recvfrom(fd, at[0], buffer.length, constant.MSG_DONTWAIT, at[1], at[2]);
      if (length < 0) return false;
      const kind = classifyDatagram(buffer, 0, length);
      if (kind === 'esp' && this.#retiring.has(fd)) {
        this.#passOn(buffer, length);
        continue;
      }
      // What looks like ESP comes this way only when it is too short to be it.
      if (kind === 'malformed' || kind === 'esp') this.#malformed++;
      if (kind !== 'ike') continue;
      const from = decodeSocketAddress(name);
      if (from) this.#events.ike(buffer.slice(nonEspMarkerLength, length), from.address, from.port);
    }
    return true;
  }

  /** What is under way to it comes to us from now on, and waits in its buffer while the SAs move. */
  #retire(fd: number, watch: Watch): void {
    takeEspOut(fd, false);
    const timer = setTimeout(() => {
      // This process may have been busy all the time.
      for (let batches = 0; batches < lastBatches && this.#read(fd); batches++);
      if (this.#closed) return;
      this.#retiring.delete(fd);
      watch.close();
      closeDescriptor(fd);
    }, retireMs);
    timer.unref();
    this.#retiring.set(fd, { watch, timer });
  }

  /** ESP that was under way to an earlier address of ours goes to the SAs where they are now: one replay window for both. */
  #passOn(octets: Uint8Array, length: number): void {
    if (!this.#socket || !this.#path) return;
    const { local, localPort } = this.#path;
    sendTo(this.#socket.fd, octets, length, encodeSocketAddress(local, localPort));
  }
}

function sendTo(fd: number, octets: Uint8Array, length: number, name: Uint8Array): number {
  const flags = constant.MSG_DONTWAIT | constant.MSG_NOSIGNAL;
  return libc.sendto(fd, libc.addressOf(octets), length, flags, libc.addressOf(name), name.length);
}

/** Whether the kernel takes ESP out of a socket. Undefined when done, else the errno's name. */
function takeEspOut(fd: number, does: boolean): string | undefined {
  const value = new Int32Array([does ? constant.UDP_ENCAP_ESPINUDP : 0]);
  const set = libc.setsockopt(fd, constant.SOL_UDP, constant.UDP_ENCAP, libc.addressOf(value), 4);
  return set < 0 ? new SysError('', -set).code : undefined;
}
