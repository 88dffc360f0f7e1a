import { wipe, type Endpoint, type IpAddress } from '@aovpn/bytes';
import {
  innerMtu,
  natKeepalive,
  type ChildSaInstall,
  type DataPlane,
  type DataPlaneEvent,
  type DataPlaneOptions,
  type DataPlaneStats,
  type EspSa,
  type OuterPath,
  type Transport,
} from '@aovpn/esp';
import { openRouteSocket, type RouteSocket } from '../network/route-socket.ts';
import { closeDescriptor, constant, openFile, SysError, waitForPacketsUnderWay } from '../sys/index.ts';
import type { TunnelTag } from '../xfrm/tunnel-tag.ts';
import type { DeviceRefusals } from '../xfrm/xfrm-device.ts';
import { watchXfrm, type XfrmWatch } from '../xfrm/watch-xfrm.ts';
import { ourNumbers } from '../xfrm/xfrm-number.ts';
import { openXfrmSocket, type XfrmSocket } from '../xfrm/xfrm-socket.ts';
import { readXfrmStatistics, type XfrmStatistics } from '../xfrm/xfrm-statistic.ts';
import { XfrmRefusal, XfrmTunnel } from '../xfrm/xfrm-tunnel.ts';
import { checkChild, spiText } from './check-child.ts';
import { dataPlaneError } from './data-plane-error.ts';
import { dataPlaneErrors } from './errors.ts';
import type { PathError } from './icmp-error-socket.ts';
import { KernelDevice } from './kernel-device.ts';
import { KernelFlow } from './kernel-flow.ts';
import { probeRoute } from './outer-socket.ts';

const troubleInterval = 1000;
const noRefusals: DeviceRefusals = { noState: 0, tooBig: 0 };

const openPlanes = new Set<KernelDataPlane>();
let watchingExit = false;

/**
 * Opens a data plane whose packets never leave the kernel.
 * @param by what ties packets, policies and SAs to the tunnel: an XFRM interface, or on kernels without it a mark
 */
export function openKernelDataPlane(
  options: DataPlaneOptions,
  onEvent: (event: DataPlaneEvent) => void,
  by: TunnelTag['by'] = 'interface',
): Promise<DataPlane> {
  return new Promise((resolve) => resolve(new KernelDataPlane(options, onEvent, by)));
}

/**
 * ESP in UDP by the kernel's IPsec (XFRM) behind a device of its own. This process reads IKE from the socket, out of which the kernel takes ESP by
 * itself, sends keepalives, and hears of expiring SAs.
 */
class KernelDataPlane implements DataPlane {
  readonly #options: DataPlaneOptions;
  readonly #onEvent: (event: DataPlaneEvent) => void;
  readonly #xfrm: XfrmSocket;
  readonly #routes: RouteSocket;
  readonly #tunnel: XfrmTunnel;
  readonly #device: KernelDevice;
  readonly #flow: KernelFlow;
  readonly #watch: XfrmWatch;
  readonly #statisticsFd: number;
  readonly #atFirst: XfrmStatistics;
  readonly #told = new Set<number>();
  #pathMtu = 0;
  #keepalive: NodeJS.Timeout | undefined;
  #packetsSent = 0;
  #packetsReceived = 0;
  #lastInboundAt: number | undefined;
  #noSa = 0;
  #outsidePolicy = 0;
  #refusals: DeviceRefusals = noRefusals;
  #lastTroubleAt = -Infinity;
  #closed = false;
  #failed = false;

  /** @throws {HostError} AOV-HOST-215 */
  constructor(options: DataPlaneOptions, onEvent: (event: DataPlaneEvent) => void, by: TunnelTag['by']) {
    this.#options = options;
    this.#onEvent = onEvent;
    const opened: { close(): void }[] = [];
    try {
      this.#xfrm = openXfrmSocket();
      opened.push(this.#xfrm);
      this.#routes = openRouteSocket();
      opened.push(this.#routes);
      const tag = nextTag(by);
      this.#tunnel = new XfrmTunnel(this.#xfrm, tag, options.mark, options.copyDscp);
      this.#device = new KernelDevice(this.#routes, options, tag);
      this.#flow = new KernelFlow(options.mark, {
        ike: (datagram, from, fromPort) => this.#tell({ kind: 'ike', datagram, from, fromPort, at: performance.now() }),
        pathError: (error) => this.#pathError(error),
        isOurs: (spi) => this.#tunnel.has(spi),
      });
      this.#watch = watchXfrm(this.#tunnel, {
        expired: (spiIn, why) => this.#askForRekey(spiIn, why),
        lost: (spiIn) => this.#askForRekey(spiIn, 'sequence'),
        policiesGone: () => this.#restorePolicies(),
        deviceGone: (index) => {
          if (this.#device.isGone(index)) this.#fail('deviceGone', `device ${options.device} was removed`);
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
      const route = probeRoute(remote, remotePort, this.#options.mark);
      this.#device.checkFamily(remote.family);
      const path = this.#holding(() => {
        const found = this.#flow.connect(route, remote, remotePort);
        this.#pathMtu = route.pathMtu;
        this.#move(found);
        return found;
      });
      this.#fitPath();
      this.#flow.watchErrors();
      this.#armKeepalive();
      return path;
    });
  }

  sendIke(datagram: Uint8Array, to?: Endpoint): void {
    if (!this.#closed) this.#flow.sendIke(datagram, to);
  }

  openDevice(): Promise<void> {
    return this.#now(() => {
      this.#device.open();
      this.#fitPath();
    });
  }

  setInnerAddresses(addresses: readonly IpAddress[]): Promise<void> {
    return this.#now(() => {
      this.#tunnel.setAddresses(addresses);
      this.#device.admit(addresses);
    });
  }

  installChild(child: ChildSaInstall): Promise<void> {
    const inbound = takeOver(child.inbound);
    const outbound = takeOver(child.outbound);
    return this.#now(() => {
      try {
        const transform = checkChild(child, inbound, outbound, (spi) => this.#tunnel.has(spi));
        if (!this.#flow.path) throw dataPlaneError('closed', 'the data plane is not connected yet');
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
    this.#noteInbound(packetsIn);
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
        malformed: this.#flow.malformed + Math.max(0, drops.protocol - this.#atFirst.protocol - authentication),
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

  /** The kernel tells no times, so that packets count as having come when they are first seen in its counters. */
  #noteInbound(packetsIn: number): void {
    if (packetsIn > this.#packetsReceived) this.#lastInboundAt = performance.now();
    this.#packetsReceived = packetsIn;
  }

  /** At once and without waiting, so that it can also be the last thing that the process does. */
  #clear(): void {
    if (this.#closed) return;
    this.#closed = true;
    openPlanes.delete(this);
    clearTimeout(this.#keepalive);
    this.#watch.close();
    try {
      this.#tunnel.clear();
      this.#device.remove();
    } catch {
      // What is left is found by its tag at the next start.
    }
    this.#flow.close();
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

  /** What is sent into the tunnel meanwhile waits in its device. That ends, or the tunnel does. */
  #holding<T>(operation: () => T): T {
    this.#device.hold();
    try {
      return operation();
    } finally {
      try {
        this.#device.letGo();
      } catch (error) {
        this.#fail('kernelRefused', error instanceof Error ? error.message : String(error));
      }
    }
  }

  /** Half moved is worse than gone: the tunnel is made anew then. */
  #move(path: OuterPath): void {
    // Packets that have left the device's queue, and ESP on its way from a socket that is no longer one for ESP, still need the SAs as they are.
    if (this.#tunnel.isElsewhere(path)) waitForPacketsUnderWay();
    // What has come in until now came to the old ends, and is no sign that the gateway has followed.
    this.#noteInbound(
      this.#tunnel.pairs.reduce((total, pair) => total + this.#tunnel.counters(pair).packetsIn, this.#tunnel.gone.packetsIn),
    );
    try {
      this.#device.follow(path.local);
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

  #pathError({ code, mtu }: PathError): void {
    if (this.#closed) return;
    if (mtu !== undefined) {
      // The kernel has taken note of it for its routes already.
      if (mtu >= this.#pathMtu) return;
      this.#pathMtu = mtu;
      return this.#fitPath();
    }
    const now = performance.now();
    if (now - this.#lastTroubleAt < troubleInterval) return;
    this.#lastTroubleAt = now;
    this.#tell({ kind: 'path-error', code });
  }

  #fitPath(): void {
    const { fd, path } = this.#flow;
    const transform = this.#tunnel.current?.transform;
    if (fd === undefined || !path || !transform) return;
    this.#device.fit(fd, innerMtu(this.#pathMtu, path.local.family, transform));
  }

  /** The device counts what it cannot send in one number: while no SA sends it is for want of one, else for the packet's address. */
  #countRefusals(): void {
    if (this.#closed || this.#failed) return;
    const seen = this.#device.refusals();
    if (!seen) return;
    const more = seen.noState - this.#refusals.noState;
    if (this.#tunnel.current) this.#outsidePolicy += more;
    else this.#noSa += more;
    this.#refusals = seen;
  }

  #turnedAway(): number {
    return this.#closed || this.#failed ? 0 : this.#device.turnedAway();
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
      if (sent === this.#packetsSent && performance.now() - this.#flow.sentAt >= period - 1)
        this.#flow.send(Uint8Array.of(natKeepalive));
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

let lastNumber = 0;

/** Of no other plane of this process. Those that a killed one left are cleared away before the first. */
function nextTag(by: TunnelTag['by']): TunnelTag {
  const { first, last } = ourNumbers;
  lastNumber = lastNumber >= last - first ? 1 : lastNumber + 1;
  return { by, id: first + lastNumber - 1 };
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
