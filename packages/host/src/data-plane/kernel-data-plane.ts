import { concat, sameAddress, wipe, type IpAddress } from '@aovpn/bytes';
import {
  classifyDatagram,
  innerMtu,
  natKeepalive,
  nonEspMarkerLength,
  type ChildSaInstall,
  type DataPlane,
  type DataPlaneEvent,
  type DataPlaneOptions,
  type DataPlaneStats,
  type EspTransform,
  type EspSa,
  type OpenDataPlane,
  type OuterPath,
  type Transport,
} from '@aovpn/esp';
import { deleteLinkRequest } from '../network/kernel-network.ts';
import { openRouteSocket, type RouteRequest, type RouteSocket } from '../network/route-socket.ts';
import {
  closeDescriptor,
  constant,
  decodeSocketAddress,
  encodeSocketAddress,
  libc,
  openFile,
  socketAddressCapacity,
  SysError,
  watchReadable,
  type Watch,
} from '../sys/index.ts';
import { admitRequests, guardRequests, readTurnedAway } from '../xfrm/device-guard.ts';
import { newDeviceRequest, readRefusals, setJoinedPackets, withoutLinkLocal, type DeviceRefusals } from '../xfrm/xfrm-device.ts';
import { watchXfrm, type XfrmWatch } from '../xfrm/watch-xfrm.ts';
import { ourInterfaceIds } from '../xfrm/xfrm-number.ts';
import { openXfrmSocket, type XfrmSocket } from '../xfrm/xfrm-socket.ts';
import { readXfrmStatistics, type XfrmStatistics } from '../xfrm/xfrm-statistic.ts';
import { XfrmRefusal, XfrmTunnel } from '../xfrm/xfrm-tunnel.ts';
import { checkChild, spiText } from './check-child.ts';
import { dataPlaneError } from './data-plane-error.ts';
import { dataPlaneErrors } from './errors.ts';
import { openIcmpErrorSocket, type IcmpErrorSocket } from './icmp-error-socket.ts';
import { openOuterSocket, probeRoute, type OuterSocket } from './outer-socket.ts';
import { checkDevice } from './tun-device.ts';

/** A replaced socket is listened to for so long: what was on the way to it still arrives. */
const retireMs = 3000;
const troubleInterval = 1000;
const noRefusals: DeviceRefusals = { noState: 0, tooBig: 0 };

const openPlanes = new Set<KernelDataPlane>();
let watchingExit = false;

/** Opens a data plane whose packets never leave the kernel. */
export const openKernelDataPlane: OpenDataPlane = (options, onEvent) =>
  new Promise((resolve) => resolve(new KernelDataPlane(options, onEvent)));

/**
 * ESP in UDP by the kernel's IPsec (XFRM) behind an XFRM interface. This process reads IKE from the socket, out of which the kernel takes ESP by
 * itself, sends keepalives, and hears of expiring SAs.
 */
class KernelDataPlane implements DataPlane {
  readonly #options: DataPlaneOptions;
  readonly #onEvent: (event: DataPlaneEvent) => void;
  readonly #xfrm: XfrmSocket;
  readonly #routes: RouteSocket;
  readonly #tunnel: XfrmTunnel;
  readonly #interfaceId: number;
  readonly #watch: XfrmWatch;
  readonly #statisticsFd: number;
  readonly #atFirst: XfrmStatistics;
  readonly #retiring = new Map<number, { readonly watch: Watch; readonly timer: NodeJS.Timeout }>();
  readonly #told = new Set<number>();
  #device: number | undefined;
  #path: OuterPath | undefined;
  #pathMtu = 0;
  #socket: OuterSocket | undefined;
  #socketWatch: Watch | undefined;
  #errors: IcmpErrorSocket | undefined;
  #remoteName: Uint8Array = new Uint8Array();
  #keepalive: NodeJS.Timeout | undefined;
  #sentAt = 0;
  #packetsSent = 0;
  #packetsReceived = 0;
  #lastInboundAt: number | undefined;
  #malformed = 0;
  #noSa = 0;
  #outsidePolicy = 0;
  #refusals: DeviceRefusals = noRefusals;
  #lastTroubleAt = -Infinity;
  #closed = false;
  #failed = false;

  /** @throws {HostError} AOV-HOST-215 */
  constructor(options: DataPlaneOptions, onEvent: (event: DataPlaneEvent) => void) {
    this.#options = options;
    this.#onEvent = onEvent;
    const opened: { close(): void }[] = [];
    try {
      this.#xfrm = openXfrmSocket();
      opened.push(this.#xfrm);
      this.#routes = openRouteSocket();
      opened.push(this.#routes);
      this.#interfaceId = nextInterfaceId();
      this.#tunnel = new XfrmTunnel(this.#xfrm, this.#interfaceId, options.mark, options.copyDscp);
      this.#watch = watchXfrm(this.#tunnel, {
        expired: (spiIn, why) => this.#askForRekey(spiIn, why),
        lost: (spiIn) => this.#askForRekey(spiIn, 'sequence'),
        policiesGone: () => this.#restorePolicies(),
        deviceGone: (index) => {
          if (index !== this.#device) return;
          this.#device = undefined;
          this.#fail('deviceGone', `device ${options.device} was removed`);
        },
      });
    } catch (error) {
      for (const socket of opened) socket.close();
      throw asHostError(error, 'opening the kernel’s IPsec');
    }
    this.#statisticsFd = openStatistics();
    this.#atFirst = readXfrmStatistics(this.#statisticsFd);
    openPlanes.add(this);
    if (watchingExit) return;
    watchingExit = true;
    process.on('exit', () => {
      for (const plane of openPlanes) plane.#clear();
    });
  }

  connect(remote: IpAddress, remotePort: number, transport: Transport = 'udp'): Promise<OuterPath> {
    return this.#now(() => {
      if (transport === 'tcp') throw dataPlaneError('tcpFailed', 'the kernel’s ESP cannot go over TCP');
      const { mark } = this.#options;
      const route = probeRoute(remote, remotePort, mark);
      const old = this.#socket;
      const stays = old && sameAddress(old.local, route.local);
      const socket = stays ? old : openOuterSocket(route, mark, false);
      if (!stays) {
        const encapsulates = takeEspOut(socket.fd, true);
        if (encapsulates !== undefined) {
          closeDescriptor(socket.fd);
          throw dataPlaneError('socketFailed', `setsockopt UDP_ENCAP: ${encapsulates}`);
        }
        const watch = this.#socketWatch;
        if (old && watch) this.#retire(old.fd, watch);
        this.#socket = socket;
        this.#socketWatch = this.#listen(socket.fd);
      }
      this.#remoteName = encodeSocketAddress(remote, remotePort);
      const path = { local: socket.local, localPort: socket.localPort, remote, remotePort };
      this.#path = path;
      this.#pathMtu = route.pathMtu;
      this.#move(path);
      this.#fitPath();
      this.#watchErrors(path);
      this.#armKeepalive();
      return path;
    });
  }

  sendIke(datagram: Uint8Array): void {
    if (this.#closed || !this.#socket) return;
    const octets = concat(new Uint8Array(nonEspMarkerLength), datagram);
    // The first try may only tell of an ICMP error for something sent earlier.
    if (this.#sendTo(octets) < 0) this.#sendTo(octets);
  }

  openDevice(): Promise<void> {
    return this.#now(() => {
      if (this.#device !== undefined) return;
      const { device, mtu } = this.#options;
      checkDevice(device, mtu);
      const [answer] = this.#routes.request([newDeviceRequest(device, mtu, this.#interfaceId)]);
      if (!answer!.ok) {
        if (answer!.code === 'EPERM') throw dataPlaneError('notPermitted', `making network device ${device}: ${answer!.said}`);
        throw dataPlaneError('deviceFailed', `making network device ${device}: ${answer!.said}`);
      }
      // Asked in the namespace in which the device was made.
      const index = libc.interfaceIndex(device);
      this.#device = index;
      // A kernel without IPv6 refuses, and has nothing to leave out.
      this.#routes.request([withoutLinkLocal(index)]);
      this.#mustRoute('guarding the device', guardRequests(index));
      this.#fitPath();
    });
  }

  setInnerAddresses(addresses: readonly IpAddress[]): Promise<void> {
    return this.#now(() => {
      this.#tunnel.setAddresses(addresses);
      // Removing what was admitted before fails the first time.
      if (this.#device !== undefined) {
        const [, , ...admit] = this.#routes.request(admitRequests(this.#device, addresses));
        const refused = admit.find((answer) => !answer.ok);
        if (refused && !refused.ok) throw dataPlaneError('kernelRefused', `admitting inner addresses: ${refused.said}`);
      }
    });
  }

  installChild(child: ChildSaInstall): Promise<void> {
    const inbound = takeOver(child.inbound);
    const outbound = takeOver(child.outbound);
    return this.#now(() => {
      try {
        const transform = checkChild(child, inbound, outbound, (spi) => this.#tunnel.has(spi));
        if (!this.#path) throw dataPlaneError('closed', 'the data plane is not connected yet');
        this.#tunnel.install({ spiIn: inbound.spi, spiOut: outbound.spi, transform, esn: child.esn }, inbound, outbound);
        if (child.sendNow) this.#use(inbound.spi);
      } catch (error) {
        if (error instanceof XfrmRefusal && error.code === 'EEXIST')
          throw dataPlaneError(
            'badSpi',
            `SPI ${spiText(inbound.spi)} or ${spiText(outbound.spi)} belongs to somebody else`,
            error,
          );
        throw error;
      } finally {
        wipe(inbound.encryptionKey, inbound.integrityKey, outbound.encryptionKey, outbound.integrityKey);
      }
    });
  }

  useChild(spiIn: number): Promise<void> {
    return this.#now(() => {
      if (!this.#tunnel.has(spiIn)) throw dataPlaneError('badSpi', `no CHILD_SA with inbound SPI ${spiText(spiIn)}`);
      this.#use(spiIn);
    });
  }

  removeChild(spiIn: number): Promise<void> {
    return this.#now(() => {
      this.#countRefusals();
      this.#tunnel.remove(spiIn);
      this.#told.delete(spiIn);
    });
  }

  stats(): Promise<DataPlaneStats> {
    const children = this.#closed ? [] : this.#tunnel.pairs.map((pair) => this.#tunnel.counters(pair));
    const { gone } = this.#tunnel;
    const sum = (name: keyof typeof gone): number => children.reduce((total, child) => total + child[name], gone[name]);
    const packetsIn = sum('packetsIn');
    const now = performance.now();
    if (packetsIn > this.#packetsReceived) this.#lastInboundAt = now;
    this.#packetsReceived = packetsIn;
    this.#countRefusals();
    const drops = readXfrmStatistics(this.#statisticsFd);
    const authentication = sum('unauthentic');
    return Promise.resolve({
      bytesIn: sum('bytesIn'),
      bytesOut: sum('bytesOut'),
      packetsIn,
      packetsOut: sum('packetsOut'),
      lastInboundAt: this.#lastInboundAt,
      dropped: {
        replay: sum('replayed'),
        authentication,
        malformed: this.#malformed + Math.max(0, drops.protocol - this.#atFirst.protocol - authentication),
        unknownSpi: drops.noState - this.#atFirst.noState,
        policy: this.#outsidePolicy + this.#turnedAway() + drops.noPolicy - this.#atFirst.noPolicy,
        noSa: this.#noSa,
        tooBig: this.#refusals.tooBig,
      },
      children: children.map(({ spiIn, bytesIn, bytesOut, sequenceOut }) => ({ spiIn, bytesIn, bytesOut, sequenceOut })),
    });
  }

  close(): Promise<void> {
    this.#clear();
    return Promise.resolve();
  }

  /** At once and without waiting, so that it can also be the last thing that the process does. */
  #clear(): void {
    if (this.#closed) return;
    this.#closed = true;
    openPlanes.delete(this);
    clearTimeout(this.#keepalive);
    this.#watch.close();
    this.#errors?.close();
    this.#socketWatch?.close();
    for (const [fd, { watch, timer }] of this.#retiring) {
      clearTimeout(timer);
      watch.close();
      closeDescriptor(fd);
    }
    try {
      this.#tunnel.clear();
      if (this.#device !== undefined) this.#routes.request([deleteLinkRequest(this.#device)]);
    } catch {
      // What is left is found by its interface id at the next start.
    }
    if (this.#socket) closeDescriptor(this.#socket.fd);
    closeDescriptor(this.#statisticsFd);
    this.#xfrm.close();
    this.#routes.close();
  }

  /** Runs now; what is thrown rejects the promise, as an error of the table. */
  #now<T>(operation: () => T): Promise<T> {
    return new Promise((resolve) => {
      if (this.#closed || this.#failed) throw dataPlaneError('closed', 'the data plane is closed');
      try {
        resolve(operation());
      } catch (error) {
        throw asHostError(error, 'the kernel’s IPsec');
      }
    });
  }

  /** Half moved is worse than gone: the tunnel is made anew then. */
  #move(path: OuterPath): void {
    try {
      this.#tunnel.move(path);
    } catch (error) {
      this.#fail('kernelRefused', error instanceof Error ? error.message : String(error));
      throw error;
    }
  }

  #use(spiIn: number): void {
    this.#countRefusals();
    this.#tunnel.use(spiIn);
    this.#fitPath();
  }

  /** ICMP says that the path carries less; the kernel has taken note of it for its routes already. */
  #narrow(mtu: number): void {
    if (mtu >= this.#pathMtu) return;
    this.#pathMtu = mtu;
    this.#fitPath();
  }

  #carries(transform: EspTransform): number {
    return innerMtu(this.#pathMtu, this.#path!.local.family, transform);
  }

  /** Where the path carries less than the device promises, packets come to the kernel's IPsec one at a time. */
  #fitPath(): void {
    const { device, mtu } = this.#options;
    const transform = this.#tunnel.current?.transform;
    if (this.#device === undefined || !this.#path || !this.#socket || !transform) return;
    setJoinedPackets(this.#socket.fd, device, this.#carries(transform) >= mtu);
  }

  #mustRoute(what: string, requests: readonly RouteRequest[]): void {
    for (const answer of this.#routes.request(requests))
      if (!answer.ok) throw dataPlaneError('kernelRefused', `${what}: ${answer.said}`);
  }

  /** The device counts what it cannot send in one number: while no SA sends it is for want of one, else for the packet's address. */
  #countRefusals(): void {
    if (this.#device === undefined || this.#closed || this.#failed) return;
    const seen = readRefusals(this.#routes, this.#device);
    if (!seen) return;
    const more = seen.noState - this.#refusals.noState;
    if (this.#tunnel.current) this.#outsidePolicy += more;
    else this.#noSa += more;
    this.#refusals = seen;
  }

  #turnedAway(): number {
    return this.#device === undefined || this.#closed || this.#failed ? 0 : readTurnedAway(this.#routes, this.#device);
  }

  #listen(fd: number): Watch {
    const buffer = new Uint8Array(65536);
    const name = new Uint8Array(socketAddressCapacity);
    const nameLength = new Uint32Array(1);
    return watchReadable(fd, () => {
      for (let i = 0; i < 64 && !this.#closed; i++) {
        nameLength[0] = name.length;
        const at = [libc.addressOf(buffer), libc.addressOf(name), libc.addressOf(nameLength)] as const;
        const length = libc.recvfrom(fd, at[0], buffer.length, constant.MSG_DONTWAIT, at[1], at[2]);
        if (length < 0) return;
        const kind = classifyDatagram(buffer, 0, length);
        if (kind === 'esp' && this.#retiring.has(fd)) {
          this.#passOn(buffer, length);
          continue;
        }
        // What looks like ESP comes this way only when it is too short to be it.
        if (kind === 'malformed' || kind === 'esp') this.#malformed++;
        if (kind !== 'ike') continue;
        const from = decodeSocketAddress(name);
        const datagram = buffer.slice(nonEspMarkerLength, length);
        if (from) this.#tell({ kind: 'ike', datagram, from: from.address, fromPort: from.port, at: performance.now() });
      }
    });
  }

  /** What is under way to it comes to us from now on, and waits in its buffer while the SAs move. */
  #retire(fd: number, watch: Watch): void {
    takeEspOut(fd, false);
    const timer = setTimeout(() => {
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
    const own = encodeSocketAddress(this.#path.local, this.#path.localPort);
    const flags = constant.MSG_DONTWAIT | constant.MSG_NOSIGNAL;
    libc.sendto(this.#socket.fd, libc.addressOf(octets), length, flags, libc.addressOf(own), own.length);
  }

  #watchErrors({ local, localPort, remotePort }: OuterPath): void {
    this.#errors?.close();
    try {
      this.#errors = openIcmpErrorSocket({ family: local.family, localPort, remotePort }, ({ code, mtu }) => {
        if (mtu !== undefined) return this.#narrow(mtu);
        const now = performance.now();
        if (now - this.#lastTroubleAt < troubleInterval) return;
        this.#lastTroubleAt = now;
        this.#tell({ kind: 'path-error', code });
      });
    } catch {
      // Without CAP_NET_RAW there are no hints, and a dead path is found by liveness checks alone.
      this.#errors = undefined;
    }
  }

  #sendTo(octets: Uint8Array): number {
    const name = this.#remoteName;
    const flags = constant.MSG_DONTWAIT | constant.MSG_NOSIGNAL;
    this.#sentAt = performance.now();
    return libc.sendto(this.#socket!.fd, libc.addressOf(octets), octets.length, flags, libc.addressOf(name), name.length);
  }

  /** RFC 3948 §4: a keepalive when nothing else was sent for that long. */
  #armKeepalive(): void {
    clearTimeout(this.#keepalive);
    const period = this.#options.keepaliveSeconds * 1000;
    if (period === 0) return;
    this.#keepalive = setTimeout(() => {
      if (this.#closed || this.#failed) return;
      const { gone } = this.#tunnel;
      const sent = this.#tunnel.pairs.reduce((total, pair) => total + this.#tunnel.counters(pair).packetsOut, gone.packetsOut);
      if (sent === this.#packetsSent && performance.now() - this.#sentAt >= period - 1) this.#sendTo(Uint8Array.of(natKeepalive));
      this.#packetsSent = sent;
      this.#armKeepalive();
    }, period);
    this.#keepalive.unref();
  }

  #askForRekey(spiIn: number, why: 'sequence' | 'bytes'): void {
    if (this.#told.has(spiIn)) return;
    this.#told.add(spiIn);
    this.#tell({ kind: 'rekey-needed', spiIn, why });
  }

  #restorePolicies(): void {
    try {
      this.#tunnel.restorePolicies();
    } catch (error) {
      this.#fail('kernelRefused', `policies that somebody removed: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  #fail(name: 'kernelRefused' | 'deviceGone', what: string): void {
    if (this.#closed || this.#failed) return;
    this.#failed = true;
    this.#tell({ kind: 'fatal', code: dataPlaneErrors[name].code, what });
  }

  #tell(event: DataPlaneEvent): void {
    if (!this.#closed) this.#onEvent(event);
  }
}

let lastInterfaceId = 0;

/** Of no other plane of this process. Those that a killed one left are cleared away before the first. */
function nextInterfaceId(): number {
  const { first, last } = ourInterfaceIds;
  lastInterfaceId = lastInterfaceId >= last - first ? 1 : lastInterfaceId + 1;
  return first + lastInterfaceId - 1;
}

/** Whether the kernel takes ESP out of a socket. Undefined when done, else the errno's name. */
function takeEspOut(fd: number, does: boolean): string | undefined {
  const value = new Int32Array([does ? constant.UDP_ENCAP_ESPINUDP : 0]);
  const set = libc.setsockopt(fd, constant.SOL_UDP, constant.UDP_ENCAP, libc.addressOf(value), 4);
  return set < 0 ? new SysError('', -set).code : undefined;
}

function takeOver(sa: EspSa): EspSa {
  const copy = { spi: sa.spi, encryptionKey: sa.encryptionKey.slice(), integrityKey: sa.integrityKey.slice() };
  wipe(sa.encryptionKey, sa.integrityKey);
  return copy;
}

function openStatistics(): number {
  try {
    return openFile('/proc/thread-self/net/xfrm_stat', constant.O_RDONLY);
  } catch {
    return -1;
  }
}

function asHostError(error: unknown, doing: string): unknown {
  if (error instanceof XfrmRefusal || error instanceof SysError)
    return dataPlaneError('kernelRefused', `${doing}: ${error.message}`, error);
  return error;
}
