import { sameAddress, type IpAddress } from '@aovpn/bytes';
import {
  bindTo,
  closeDescriptor,
  connectTo,
  constant,
  encodeSocketAddress,
  libc,
  openRawSocket,
  openUdpSocket,
  setOption,
  SysError,
  trySetOption,
  watchReadable,
} from '../sys/index.ts';

export interface BareEspFlow {
  readonly local: IpAddress;
  /** Of the socket to which ESP in UDP comes. */
  readonly localPort: number;
  readonly remote: IpAddress;
  readonly mark: number;
}

/** Packets that are looked at before others get their turn; a flood costs no more. */
const atATime = 64;
/** SPI and sequence number (RFC 4303 §2). */
const shortest = 8;

/**
 * Takes ESP that the gateway sends without UDP: either side may choose at any time, whatever the other does (RFC 7296 §2.23), although we ask for
 * UDP. It goes on as a datagram to the flow's own socket, with the Traffic Class that it came with, and so to where ESP in UDP is opened: in this
 * process or in the kernel, which keeps an SA with UDP for itself (`XfrmInStateMismatch`). Only what comes from the gateway's address is seen.
 */
export class BareEsp {
  readonly #isOurs: (spi: number) => boolean;
  #flow: BareEspFlow | undefined;
  #close: (() => void) | undefined;

  /** @param isOurs whether a pair of this flow has that inbound SPI: other tunnels to the same gateway hear the same packets, and so does a flood */
  constructor(isOurs: (spi: number) => boolean) {
    this.#isOurs = isOurs;
  }

  /** Listens for a flow from now on; for none where there is no UDP, and where raw sockets are not allowed: the gateway has been asked for UDP. */
  follow(flow: BareEspFlow | undefined): void {
    if (flow && this.#flow && sameFlow(flow, this.#flow)) return;
    this.close();
    if (!flow) return;
    try {
      this.#close = listen(flow, this.#isOurs);
      this.#flow = flow;
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
    }
  }

  close(): void {
    this.#close?.();
    this.#close = undefined;
    this.#flow = undefined;
  }
}

function sameFlow(a: BareEspFlow, b: BareEspFlow): boolean {
  return a.localPort === b.localPort && sameAddress(a.local, b.local) && sameAddress(a.remote, b.remote);
}

/** Returns what ends it. @throws {SysError} */
function listen({ local, localPort, remote, mark }: BareEspFlow, isOurs: (spi: number) => boolean): () => void {
  const { family } = local;
  const opened: number[] = [];
  const keep = (fd: number): number => {
    opened.push(fd);
    if (mark !== 0) setOption(fd, constant.SOL_SOCKET, constant.SO_MARK, mark);
    bindTo(fd, local, 0);
    return fd;
  };
  try {
    const raw = keep(openRawSocket(family, constant.IPPROTO_ESP));
    connectTo(raw, remote, 0);
    const onward = keep(openUdpSocket(family));
    const receiver = new Receiver(raw, family);
    const own = encodeSocketAddress(local, localPort);
    const watch = watchReadable(raw, () => {
      for (let i = 0; i < atATime; i++) {
        const packet = receiver.next();
        if (!packet) return;
        const { octets, trafficClass } = packet;
        if (octets.length < shortest) continue;
        const spi = new DataView(octets.buffer, octets.byteOffset).getUint32(0);
        // No SA has SPI 0, which would look like the marker of an IKE message (RFC 3948 §2.2).
        if (spi === 0 || !isOurs(spi)) continue;
        const [level, name] = family === 4 ? [constant.SOL_IP, constant.IP_TOS] : [constant.SOL_IPV6, constant.IPV6_TCLASS];
        trySetOption(onward, level, name, trafficClass);
        const flags = constant.MSG_DONTWAIT | constant.MSG_NOSIGNAL;
        libc.sendto(onward, libc.addressOf(octets), octets.length, flags, libc.addressOf(own), own.length);
      }
    });
    watch.unref();
    return () => {
      watch.close();
      for (const fd of opened) closeDescriptor(fd);
    };
  } catch (error) {
    for (const fd of opened) closeDescriptor(fd);
    throw error;
  }
}

interface Received {
  /** From the ESP header on; good until the next one is taken. */
  readonly octets: Uint8Array;
  /** Of the outer header. */
  readonly trafficClass: number;
}

/** Reads a raw socket, together with what the outer header said. */
class Receiver {
  readonly #fd: number;
  readonly #four: boolean;
  readonly #data = new Uint8Array(65536);
  readonly #control = new DataView(new ArrayBuffer(64));
  readonly #vector = new BigUint64Array(2);
  readonly #message = new BigUint64Array(7);

  /** @throws {SysError} */
  constructor(fd: number, family: 4 | 6) {
    this.#fd = fd;
    this.#four = family === 4;
    if (!this.#four) setOption(fd, constant.SOL_IPV6, constant.IPV6_RECVTCLASS, 1);
    this.#vector[0] = BigInt(libc.addressOf(this.#data));
    this.#vector[1] = BigInt(this.#data.length);
  }

  /** Undefined where nothing more waits. */
  next(): Received | undefined {
    const message = this.#message.fill(0n);
    message[2] = BigInt(libc.addressOf(this.#vector));
    message[3] = 1n;
    message[4] = BigInt(libc.addressOf(this.#control));
    message[5] = BigInt(this.#control.byteLength);
    const length = libc.recvmsg(this.#fd, libc.addressOf(message), constant.MSG_DONTWAIT);
    if (length < 0) return undefined;
    const data = this.#data;
    if (!this.#four) return { octets: data.subarray(0, length), trafficClass: this.#classOfControl(Number(message[5])) };
    // With IPv4 a raw socket gets the IP header too.
    const header = (data[0]! & 15) * 4;
    return { octets: data.subarray(header, length), trafficClass: data[1]! };
  }

  /** Of the one control message that was asked for: its `struct cmsghdr` takes 16 octets, then comes an int. */
  #classOfControl(length: number): number {
    const control = this.#control;
    const is =
      length >= 20 && control.getInt32(8, true) === constant.SOL_IPV6 && control.getInt32(12, true) === constant.IPV6_TCLASS;
    return is ? control.getInt32(16, true) & 0xff : 0;
  }
}
