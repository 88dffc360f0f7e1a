import type { Endpoint, IpAddress } from '@aovpn/bytes';

/** ESP algorithms by their IKEv2 numbers (IANA "Transform Type 1" and "3"); `integ` is 0 (NONE) with an AEAD. */
export interface EspSuite {
  readonly encr: number;
  readonly keyBits: number;
  readonly integ: number;
}

/** One direction of a CHILD_SA. `encryptionKey` carries the salt of AEAD ciphers at its end (RFC 4106 §8.1, RFC 7634 §2). */
export interface EspSa {
  /** The receiver's SPI, 1 to 2³²−1. */
  readonly spi: number;
  readonly encryptionKey: Uint8Array;
  readonly integrityKey: Uint8Array;
}

export interface ChildSaInstall {
  readonly suite: EspSuite;
  readonly inbound: EspSa;
  readonly outbound: EspSa;
  /** Whether sequence numbers have 64 bits (RFC 4303 §2.2.1), of which the lower 32 travel. */
  readonly esn: boolean;
  /** Whether outgoing packets use this pair from now on. During a rekey both pairs receive, one sends. */
  readonly sendNow: boolean;
}

/** How the outer flow travels: in UDP (RFC 3948), or where UDP is blocked in TCP (RFC 9329). */
export type Transport = 'udp' | 'tcp';

/** Both ends of the outer flow. Ports are those on the wire. */
export interface OuterPath {
  readonly local: IpAddress;
  readonly localPort: number;
  readonly remote: IpAddress;
  readonly remotePort: number;
}

export interface DataPlaneStats {
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly packetsIn: number;
  readonly packetsOut: number;
  /** Milliseconds of the monotonic clock (`performance.now()` of the main thread) when the last authentic ESP packet came in; undefined if none has. */
  readonly lastInboundAt: number | undefined;
  readonly dropped: {
    readonly replay: number;
    readonly authentication: number;
    readonly malformed: number;
    readonly unknownSpi: number;
    /** Inner source or destination outside the negotiated traffic selectors or addresses. */
    readonly policy: number;
    readonly noSa: number;
    readonly tooBig: number;
  };
  /** Per installed pair, by inbound SPI. */
  readonly children: readonly {
    readonly spiIn: number;
    readonly bytesIn: number;
    readonly bytesOut: number;
    /** The last sequence number sent; a rekey is due well before 2³². */
    readonly sequenceOut: number;
  }[];
}

export type DataPlaneEvent =
  /** An IKE message from anybody, non-ESP marker removed. `at`: monotonic milliseconds (`performance.now()` of the main thread). */
  | {
      readonly kind: 'ike';
      readonly datagram: Uint8Array;
      readonly from: IpAddress;
      readonly fromPort: number;
      readonly at: number;
    }
  /** Sequence numbers run out soon, or a byte limit was reached: the CHILD_SA needs a rekey. */
  | { readonly kind: 'rekey-needed'; readonly spiIn: number; readonly why: 'sequence' | 'bytes' }
  /** ICMP or the kernel says that the path cannot carry packets now. */
  | { readonly kind: 'path-error'; readonly code: string }
  /**
   * A packet has left, and none has come in for `silenceMs`: at most once a second, and only from a plane that needs not be asked
   * (the kernel's has to be).
   */
  | { readonly kind: 'unanswered' }
  /** The TCP connection of the flow is gone: it can be opened again with `connect`. */
  | { readonly kind: 'flow-lost'; readonly why: string }
  /** The plane cannot go on; nothing passes from now on. */
  | { readonly kind: 'fatal'; readonly code: string; readonly what: string };

export interface DataPlaneOptions {
  /** Name of the TUN, xfrm or VTI device, at most 15 characters. */
  readonly device: string;
  /** Inner MTU in octets, 1280 or more. */
  readonly mtu: number;
  /** `SO_MARK` for outer packets, so that they never enter a tunnel themselves; 0 for none. */
  readonly mark: number;
  /** Seconds between NAT keepalives (RFC 3948 §4) when nothing else was sent; 0 for none. */
  readonly keepaliveSeconds: number;
  /** Whether outer packets show the DSCP of the inner ones; not unless told: whoever can send inside could signal to the outside by it. */
  readonly copyDscp?: boolean;
}

/**
 * One tunnel's way of moving packets: its outer UDP flow (IKE and ESP share it, RFC 3948), its device and its SAs.
 * The userspace plane (TUN) and the kernel plane (XFRM) both implement it and pass the same compliance suite.
 * Every promise rejects with a host error (code, what, is traffic still blocked); after `close` no event is delivered.
 */
export interface DataPlane {
  /**
   * Opens the outer flow to the gateway. Called again it moves the flow to the local address that the kernel picks now; while that is the
   * address it has, the local port stays, and a TCP connection that is alive stays. SAs stay in any case, also when the transport changes.
   * A plane that cannot do TCP, or cannot follow to the other family, rejects, and stays where it was.
   */
  connect(remote: IpAddress, remotePort: number, transport?: Transport): Promise<OuterPath>;
  /**
   * Sends an IKE message on the outer flow, behind the non-ESP marker. Losing it is allowed. `to`: from the same socket to somebody else than the gateway;
   * in TCP there is nobody else.
   */
  sendIke(datagram: Uint8Array, to?: Endpoint): void;
  /** Makes the device, down and without addresses; the plan brings it up. */
  openDevice(): Promise<void>;
  /** Inner addresses that are ours: outbound packets from, and inbound packets to anything else are dropped as `policy`. Until the first call nothing passes. */
  setInnerAddresses(addresses: readonly IpAddress[]): Promise<void>;
  /**
   * Installs a pair; when the promise resolves it receives, and with `sendNow` it sends. The plane takes the key octets over and
   * overwrites the caller's once they are handed on. An inbound SPI that is already there is an error.
   */
  installChild(child: ChildSaInstall): Promise<void>;
  /** From now on this installed pair sends (RFC 7296 §2.8: the responder of a rekey waits for the initiator's first packet or delete). */
  useChild(spiIn: number): Promise<void>;
  /** Removes a pair and overwrites its keys; unknown SPIs are not an error. */
  removeChild(spiIn: number): Promise<void>;
  stats(): Promise<DataPlaneStats>;
  close(): Promise<void>;
}

/** How a plane is made: `onEvent` is called from the event loop, never re-entrantly. */
export type OpenDataPlane = (options: DataPlaneOptions, onEvent: (event: DataPlaneEvent) => void) => Promise<DataPlane>;
