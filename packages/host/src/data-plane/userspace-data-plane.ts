import { concat, equal, sameAddress, wipe, type Endpoint, type IpAddress } from '@aovpn/bytes';
import {
  classifyDatagram,
  nonEspMarkerLength,
  type ChildSaInstall,
  type DataPlane,
  type DataPlaneEvent,
  type DataPlaneOptions,
  type DataPlaneStats,
  type EspSa,
  type OuterPath,
  type Transport,
} from '@aovpn/esp';
import {
  closeDescriptor,
  constant,
  decodeSocketAddress,
  encodeSocketAddress,
  libc,
  socketAddressCapacity,
  watchReadable,
  type Watch,
} from '../sys/index.ts';
import { BareEsp } from './bare-esp.ts';
import { checkChild, spiText } from './check-child.ts';
import { dataPlaneError } from './data-plane-error.ts';
import { dataPlaneErrors } from './errors.ts';
import { closeOuter, openOuterSocket, probeRoute, type OuterSocket } from './outer-socket.ts';
import { TcpFlow } from './tcp-flow.ts';
import { openTunDevice, type TunDevice } from './tun-device.ts';
import { WorkerLine } from './worker-line.ts';
import {
  childCounterIndex,
  childRow,
  childRows,
  control,
  controlWords,
  counter,
  makeShared,
  sharedCounters,
  type WorkerCommand,
  type WorkerMessage,
} from './worker-protocol.ts';

/** What of the kernel's offloads may be used; all by default, less to try out what old kernels do. */
export interface AllowedOffload {
  /** Joined packets to and from the TUN device. */
  readonly device: boolean;
  /** `UDP_SEGMENT` and `UDP_GRO`. */
  readonly socket: boolean;
}

/** No packet is too long for a stream; far above what the device gives. */
const streamMtu = 65_535;
/** A replaced socket is listened to for so long: what was on the way to it still arrives. */
const retireMs = 3000;

/** Every open plane, to be stopped when the process exits: a worker asleep in a system call would keep it from doing so for ever. */
const openPlanes = new Set<UserspaceDataPlane>();
let watchingExit = false;

/** ESP in UDP by two worker threads between a TUN device and a UDP socket. Until the first CHILD_SA the main thread reads the socket itself. */
export class UserspaceDataPlane implements DataPlane {
  readonly #options: DataPlaneOptions;
  readonly #onEvent: (event: DataPlaneEvent) => void;
  readonly #allowed: AllowedOffload;
  readonly #shared = makeShared();
  readonly #words = controlWords(this.#shared);
  readonly #counters = sharedCounters(this.#shared);
  readonly #transmitter: WorkerLine;
  readonly #receiver: WorkerLine;
  /** Row of the shared counters by inbound SPI. */
  readonly #rows = new Map<number, number>();
  readonly #retiring = new Map<OuterSocket, ReturnType<typeof setTimeout>>();
  readonly #bare = new BareEsp((spi) => this.#rows.has(spi));
  #device: TunDevice | undefined;
  #socket: OuterSocket | undefined;
  #remoteName: Uint8Array = new Uint8Array();
  #pathMtu = 0;
  #watch: Watch | undefined;
  #workersListen = false;
  #queue: Promise<unknown> = Promise.resolve();
  #closed = false;
  #failed = false;
  #closing: Promise<void> | undefined;

  constructor(options: DataPlaneOptions, onEvent: (event: DataPlaneEvent) => void, allowed: AllowedOffload) {
    this.#options = options;
    this.#onEvent = onEvent;
    this.#allowed = allowed;
    const told = (message: Exclude<WorkerMessage, { kind: 'done' }>): void => this.#told(message);
    const failed = (what: string): void => this.#fail('workerFailed', what);
    const shared = this.#shared;
    const keepaliveMs = options.keepaliveSeconds * 1000;
    const transmit = { shared, commandIndex: control.transmitCommands, keepaliveMs, copyDscp: options.copyDscp ?? false };
    const receive = { shared, commandIndex: control.receiveCommands, keepaliveMs: 0, copyDscp: false };
    this.#transmitter = new WorkerLine(new URL('./transmit-worker.ts', import.meta.url), transmit, told, failed);
    this.#receiver = new WorkerLine(new URL('./receive-worker.ts', import.meta.url), receive, told, failed);
    openPlanes.add(this);
    if (!watchingExit) {
      watchingExit = true;
      process.on('exit', () => {
        for (const plane of openPlanes) plane.#stopWorkers();
      });
    }
  }

  connect(remote: IpAddress, remotePort: number, transport: Transport = 'udp'): Promise<OuterPath> {
    return this.#inTurn(async () => {
      const { mark } = this.#options;
      const route = probeRoute(remote, remotePort, mark);
      const old = this.#socket;
      const name = encodeSocketAddress(remote, remotePort);
      const stays =
        old &&
        sameAddress(old.local, route.local) &&
        (transport === 'tcp' ? old.tcp?.isAlive === true && equal(this.#remoteName, name) : !old.tcp);
      const socket = stays
        ? old
        : transport === 'tcp'
          ? await this.#openTcp(remote, remotePort, name)
          : openOuterSocket(route, mark, this.#allowed.socket);
      if (this.#closed) {
        if (!stays) closeOuter(socket);
        throw dataPlaneError('closed', 'the data plane is closed');
      }
      this.#socket = socket;
      // A stream has no packets that could be too long for the path.
      this.#pathMtu = transport === 'tcp' ? streamMtu : route.pathMtu;
      this.#remoteName = name;
      this.#bare.follow(socket.tcp ? undefined : { local: socket.local, localPort: socket.localPort, remote, mark });
      if (this.#workersListen) await this.#giveSocketToWorkers();
      else if (!stays) this.#listen();
      if (old && !stays) {
        if (this.#workersListen) this.#retire(old);
        else closeOuter(old);
      }
      return { local: socket.local, localPort: socket.localPort, remote, remotePort };
    });
  }

  sendIke(datagram: Uint8Array, to?: Endpoint): void {
    if (this.#closed || !this.#socket) return;
    if (this.#socket.tcp) return this.#socket.tcp.sendIke(datagram);
    const octets = concat(new Uint8Array(nonEspMarkerLength), datagram);
    if (to && to.address.family !== this.#socket.local.family) return;
    const name = to ? encodeSocketAddress(to.address, to.port) : this.#remoteName;
    const flags = constant.MSG_DONTWAIT | constant.MSG_NOSIGNAL;
    const send = (): number =>
      libc.sendto(this.#socket!.fd, libc.addressOf(octets), octets.length, flags, libc.addressOf(name), name.length);
    // The first try may only tell of an ICMP error for something sent earlier.
    if (send() < 0) send();
    this.#counters[counter.lastIkeSentAt] = performance.now();
  }

  openDevice(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#device) return;
      const { device, mtu } = this.#options;
      const opened = openTunDevice(device, mtu, this.#allowed.device);
      this.#device = opened;
      const command = { kind: 'device', fd: opened.fd, mtu, offload: opened.offload } as const;
      // Workers may be starting still, which takes longer than a handshake: they find it before whatever is sent to them later.
      Promise.all([this.#receiver.send(command), this.#transmitter.send(command)]).catch((error: unknown) =>
        this.#fail('workerFailed', error instanceof Error ? error.message : String(error)),
      );
    });
  }

  setInnerAddresses(addresses: readonly IpAddress[]): Promise<void> {
    return this.#inTurn(async () => {
      const command = { kind: 'addresses', addresses: addresses.map(({ bytes }) => bytes.slice()) } as const;
      await Promise.all([this.#receiver.send(command), this.#transmitter.send(command)]);
    });
  }

  installChild(child: ChildSaInstall): Promise<void> {
    // At once, not in turn: from here on the keys are ours, whatever happens.
    const inbound = takeOver(child.inbound);
    const outbound = takeOver(child.outbound);
    return this.#inTurn(async () => {
      const { suite, esn } = child;
      const spiIn = inbound.spi;
      let begun = false;
      try {
        checkChild(child, inbound, outbound, (spi) => this.#rows.has(spi));
        begun = true;
        const row = this.#freeRow();
        this.#counters.fill(0, childCounterIndex(row, 0), childCounterIndex(row + 1, 0));
        this.#rows.set(spiIn, row);
        const flow: WorkerCommand[] = [];
        if (!this.#workersListen) {
          this.#workersListen = true;
          this.#watch?.close();
          this.#watch = undefined;
          if (this.#socket) flow.push(this.#flowCommand());
        }
        const install = { kind: 'install', spiIn, row, suite, esn } as const;
        const use = child.sendNow ? ([{ kind: 'use', spiIn }] as const) : [];
        // The receiver first: as soon as the peer hears from a pair it may answer on it. What it hears before its own command keeps until then.
        const receiver = this.#receiver.send(...flow, { ...install, sa: inbound });
        const transmitter = this.#transmitter.send(...flow, { ...install, sa: outbound }, ...use);
        await Promise.all([receiver, transmitter]);
      } catch (error) {
        // Buffers that were handed on are empty here; the worker overwrote them.
        wipe(inbound.encryptionKey, inbound.integrityKey, outbound.encryptionKey, outbound.integrityKey);
        if (begun) await this.#forget(spiIn);
        throw error;
      }
    });
  }

  useChild(spiIn: number): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.#rows.has(spiIn)) throw dataPlaneError('badSpi', `no CHILD_SA with inbound SPI ${spiText(spiIn)}`);
      await this.#transmitter.send({ kind: 'use', spiIn });
    });
  }

  removeChild(spiIn: number): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#rows.has(spiIn)) await this.#forget(spiIn);
    });
  }

  stats(): Promise<DataPlaneStats> {
    const read = (index: number): number => this.#counters[index]!;
    const lastInboundAt = read(counter.lastInboundAt);
    return Promise.resolve({
      bytesIn: read(counter.bytesIn),
      bytesOut: read(counter.bytesOut),
      packetsIn: read(counter.packetsIn),
      packetsOut: read(counter.packetsOut),
      lastInboundAt: lastInboundAt === 0 ? undefined : lastInboundAt,
      dropped: {
        replay: read(counter.replay),
        authentication: read(counter.authentication),
        malformed: read(counter.malformed),
        unknownSpi: read(counter.unknownSpi),
        policy: read(counter.policyIn) + read(counter.policyOut),
        noSa: read(counter.noSa),
        tooBig: read(counter.tooBig),
      },
      children: [...this.#rows].map(([spiIn, row]) => ({
        spiIn,
        bytesIn: read(childCounterIndex(row, childRow.bytesIn)),
        bytesOut: read(childCounterIndex(row, childRow.bytesOut)),
        sequenceOut: read(childCounterIndex(row, childRow.sequenceOut)),
      })),
    });
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#closing ??= this.#tearDown();
    return this.#closing;
  }

  async #tearDown(): Promise<void> {
    this.#watch?.close();
    this.#bare.close();
    this.#stopWorkers();
    await Promise.all([this.#transmitter.exited(), this.#receiver.exited()]);
    for (const [socket, timer] of this.#retiring) {
      clearTimeout(timer);
      closeOuter(socket);
    }
    this.#retiring.clear();
    if (this.#socket) closeOuter(this.#socket);
    if (this.#device) closeDescriptor(this.#device.fd);
    openPlanes.delete(this);
  }

  #stopWorkers(): void {
    Atomics.store(this.#words, control.stop, 1);
    this.#transmitter.wake();
    this.#receiver.wake();
  }

  /** One operation at a time, each on what the one before left. */
  #inTurn<T>(operation: () => Promise<T>): Promise<T> {
    const turn = this.#queue.then(() => {
      if (this.#closed || this.#failed) throw dataPlaneError('closed', 'the data plane is closed');
      return operation();
    });
    this.#queue = turn.catch(() => undefined);
    return turn;
  }

  async #giveSocketToWorkers(): Promise<void> {
    const command = this.#flowCommand();
    await this.#receiver.send(command);
    await this.#transmitter.send(command);
  }

  #flowCommand(): WorkerCommand {
    const { fd, segmentation, local, tcp } = this.#socket!;
    // A packet pair knows its other end.
    const remote = tcp ? new Uint8Array(0) : this.#remoteName.slice();
    return { kind: 'flow', fd, remote, family: local.family, pathMtu: this.#pathMtu, segmentation };
  }

  async #openTcp(remote: IpAddress, remotePort: number, name: Uint8Array): Promise<OuterSocket> {
    const tcp = await TcpFlow.open({
      remote,
      remotePort,
      mark: this.#options.mark,
      onIke: (datagram) => this.#tellIke(datagram, name, performance.now()),
      onLost: (why) => {
        if (this.#socket?.tcp === tcp) this.#tell({ kind: 'flow-lost', why });
      },
    });
    return { fd: tcp.fd, local: tcp.local, localPort: tcp.localPort, segmentation: false, tcp };
  }

  #retire(socket: OuterSocket): void {
    const timer = setTimeout(() => {
      this.#retiring.delete(socket);
      const close = (): void => closeOuter(socket);
      void this.#receiver.send({ kind: 'retire', fd: socket.fd }).then(close, close);
    }, retireMs);
    timer.unref();
    this.#retiring.set(socket, timer);
  }

  /** Reads IKE in the main thread, while there is nothing else to read: a handshake needs no worker. */
  #listen(): void {
    this.#watch?.close();
    this.#watch = undefined;
    const { fd, tcp } = this.#socket!;
    // A stream hands its IKE on by itself.
    if (tcp) return;
    const buffer = new Uint8Array(65536);
    const name = new Uint8Array(socketAddressCapacity);
    const nameLength = new Uint32Array(1);
    this.#watch = watchReadable(fd, () => {
      for (let i = 0; i < 64 && !this.#closed && this.#watch; i++) {
        nameLength[0] = name.length;
        const flags = constant.MSG_DONTWAIT;
        const length = libc.recvfrom(
          fd,
          libc.addressOf(buffer),
          buffer.length,
          flags,
          libc.addressOf(name),
          libc.addressOf(nameLength),
        );
        if (length < 0) return;
        if (classifyDatagram(buffer, 0, length) !== 'ike') continue;
        this.#tellIke(buffer.slice(nonEspMarkerLength, length), name, performance.now());
      }
    });
  }

  #tellIke(datagram: Uint8Array, name: Uint8Array, at: number): void {
    const from = decodeSocketAddress(name);
    if (from) this.#tell({ kind: 'ike', datagram, from: from.address, fromPort: from.port, at });
  }

  #told(message: Exclude<WorkerMessage, { kind: 'done' }>): void {
    switch (message.kind) {
      case 'ike':
        Atomics.add(this.#words, control.ikeTaken, 1);
        return this.#tellIke(message.datagram, message.from, message.at);
      case 'rekey-needed':
        return this.#tell({ kind: 'rekey-needed', spiIn: message.spiIn, why: message.why });
      case 'path-error':
        return this.#tell({ kind: 'path-error', code: message.code });
      case 'unanswered':
        return this.#tell({ kind: 'unanswered' });
      case 'path-mtu':
        void this.#transmitter.send({ kind: 'path-mtu', mtu: message.mtu }).catch(() => undefined);
        return;
      case 'device-gone':
        return this.#fail('deviceGone', `device ${this.#options.device}: ${message.code}`);
    }
  }

  #fail(name: 'workerFailed' | 'deviceGone', what: string): void {
    if (this.#closed || this.#failed) return;
    this.#failed = true;
    this.#stopWorkers();
    this.#tell({ kind: 'fatal', code: dataPlaneErrors[name].code, what });
  }

  #tell(event: DataPlaneEvent): void {
    if (!this.#closed) this.#onEvent(event);
  }

  async #forget(spiIn: number): Promise<void> {
    this.#rows.delete(spiIn);
    await Promise.all([this.#receiver.send({ kind: 'remove', spiIn }), this.#transmitter.send({ kind: 'remove', spiIn })]);
  }

  #freeRow(): number {
    const taken = new Set(this.#rows.values());
    for (let row = 0; row < childRows; row++) if (!taken.has(row)) return row;
    throw dataPlaneError('badSpi', `more than ${childRows} CHILD_SAs at the same time`);
  }
}

/** A copy with buffers of its own; the caller's keys are overwritten. */
function takeOver(sa: EspSa): EspSa {
  const copy = { spi: sa.spi, encryptionKey: ownBuffer(sa.encryptionKey), integrityKey: ownBuffer(sa.integrityKey) };
  wipe(sa.encryptionKey, sa.integrityKey);
  return copy;
}

function ownBuffer(octets: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(new ArrayBuffer(octets.length));
  copy.set(octets);
  return copy;
}
