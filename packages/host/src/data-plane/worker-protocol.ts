import type { MessagePort } from 'node:worker_threads';
import type { EspSuite } from '@aovpn/esp';

/** What the tunnel device and the kernel's UDP do for us; found out when they are opened. */
export interface DeviceOffload {
  /** A `struct virtio_net_hdr` precedes every packet; checksums may be unfinished and TCP segments joined, in both directions. */
  readonly vnetHeader: boolean;
  /** UDP datagrams may be joined, too (Linux 6.2). */
  readonly udpSegmentation: boolean;
}

/** One direction of a CHILD_SA on its way to a worker. Buffers are moved, not copied; the worker overwrites them. */
export interface DirectedSa {
  readonly spi: number;
  readonly encryptionKey: Uint8Array;
  readonly integrityKey: Uint8Array;
}

export type WorkerCommand =
  | { readonly kind: 'device'; readonly fd: number; readonly mtu: number; readonly offload: DeviceOffload }
  | {
      readonly kind: 'flow';
      readonly fd: number;
      /** `struct sockaddr_in` or `sockaddr_in6`. */
      readonly remote: Uint8Array;
      readonly family: 4 | 6;
      readonly pathMtu: number;
      /** Whether the kernel splits one send into datagrams (`UDP_SEGMENT`). */
      readonly segmentation: boolean;
    }
  /** Stop listening on a socket that a newer flow replaced. */
  | { readonly kind: 'retire'; readonly fd: number }
  | {
      readonly kind: 'install';
      readonly spiIn: number;
      readonly row: number;
      readonly suite: EspSuite;
      readonly esn: boolean;
      readonly sa: DirectedSa;
    }
  | { readonly kind: 'use'; readonly spiIn: number }
  | { readonly kind: 'remove'; readonly spiIn: number }
  | { readonly kind: 'addresses'; readonly addresses: readonly Uint8Array[] }
  | { readonly kind: 'path-mtu'; readonly mtu: number };

export interface Numbered {
  readonly id: number;
  readonly commands: readonly WorkerCommand[];
}

export type WorkerMessage =
  /** The commands of that number are carried out, unless there was a problem. */
  | { readonly kind: 'done'; readonly id: number; readonly problem?: string }
  | { readonly kind: 'ike'; readonly datagram: Uint8Array; readonly from: Uint8Array; readonly at: number }
  | { readonly kind: 'rekey-needed'; readonly spiIn: number; readonly why: 'sequence' | 'bytes' }
  | { readonly kind: 'path-error'; readonly code: string }
  | { readonly kind: 'path-mtu'; readonly mtu: number }
  | { readonly kind: 'unanswered' }
  | { readonly kind: 'device-gone'; readonly code: string };

/** What a worker is started with. */
export interface WorkerSetup {
  readonly port: MessagePort;
  /** The eventfd that wakes it. */
  readonly wakeFd: number;
  readonly shared: SharedArrayBuffer;
  /** Which of {@link control} counts its commands. */
  readonly commandIndex: number;
  /** `process.hrtime` minus `performance.now()` in the main thread, milliseconds: one clock for all threads. */
  readonly clockOffset: number;
  readonly keepaliveMs: number;
  readonly copyDscp: boolean;
}

/** 32-bit words at the beginning of the shared memory. */
export const control = {
  /** Set to 1 once: both workers end. */
  stop: 0,
  /** Commands ever posted to a worker; it looks at this between packets, without a system call. */
  transmitCommands: 1,
  receiveCommands: 2,
  /** IKE datagrams that the main thread has taken from the receiver; bounds what waits in between. */
  ikeTaken: 3,
} as const;
const controlOctets = 64;

/** Numbers in the shared memory after that; each has one writer. */
export const counter = {
  bytesIn: 0,
  bytesOut: 1,
  packetsIn: 2,
  packetsOut: 3,
  /** Milliseconds of the main thread's `performance.now()`; 0 before the first. */
  lastInboundAt: 4,
  /** The same for anything sent by the main thread. */
  lastIkeSentAt: 5,
  replay: 6,
  authentication: 7,
  malformed: 8,
  unknownSpi: 9,
  policyIn: 10,
  policyOut: 11,
  noSa: 12,
  tooBig: 13,
} as const;
const counters = 16;

/** Per installed pair, after the counters. */
export const childRow = { bytesIn: 0, bytesOut: 1, sequenceOut: 2 } as const;
const childRowLength = 4;
/** Pairs at the same time; a rekey needs two. */
export const childRows = 32;

export function makeShared(): SharedArrayBuffer {
  return new SharedArrayBuffer(controlOctets + 8 * (counters + childRows * childRowLength));
}

export function controlWords(shared: SharedArrayBuffer): Int32Array<SharedArrayBuffer> {
  return new Int32Array(shared, 0, controlOctets / 4);
}

export function sharedCounters(shared: SharedArrayBuffer): Float64Array<SharedArrayBuffer> {
  return new Float64Array(shared, controlOctets);
}

export function childCounterIndex(row: number, field: number): number {
  return counters + row * childRowLength + field;
}

/** `process.hrtime` minus `performance.now()` of this thread, milliseconds. */
export function clockOffsetHere(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000 - performance.now();
}
