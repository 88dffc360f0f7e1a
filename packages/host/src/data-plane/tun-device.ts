import type { HostError } from '../host-error.ts';
import { check, closeDescriptor, constant, errno, libc, openFile, openNetlink, SysError, waitReadable } from '../sys/index.ts';
import { dataPlaneError } from './data-plane-error.ts';
import { linkSettings, netlinkAnswer } from './link-message.ts';
import type { DeviceOffload } from './worker-protocol.ts';

export interface TunDevice {
  readonly fd: number;
  readonly name: string;
  readonly offload: DeviceOffload;
}

/** Longest joined packet that we ask the kernel for: with ESP around each of its segments it still fits one send. */
const gsoMaxSize = 58000;
/** Packets that may wait for us; the default of 500 drops bursts of small ones. */
const queueLength = 1000;

/**
 * Makes a TUN device: down, without addresses, gone when its descriptor closes, however that happens.
 * @param allowOffload false makes the kernel hand over one finished packet at a time, as old kernels do
 * @throws {HostError}
 */
export function openTunDevice(name: string, mtu: number, allowOffload: boolean): TunDevice {
  checkDevice(name, mtu);
  const fd = openTun(name);
  try {
    const offload = attach(fd, name, allowOffload);
    setLinkNumber(name, constant.SIOCSIFMTU, mtu);
    setLinkNumber(name, constant.SIOCSIFTXQLEN, queueLength);
    tuneLink(name);
    return { fd, name, offload };
  } catch (error) {
    closeDescriptor(fd);
    throw asHostError(error, name);
  }
}

/** @throws {HostError} AOV-HOST-202, AOV-HOST-203 */
export function checkDevice(name: string, mtu: number): void {
  if (!/^[\w.-]{1,15}$/.test(name) || name === '.' || name === '..')
    throw dataPlaneError('badDevice', `device name ${JSON.stringify(name)}`);
  if (!Number.isInteger(mtu) || mtu < 1280 || mtu > 65000) throw dataPlaneError('badDevice', `MTU ${mtu} of device ${name}`);
  if (libc.interfaceIndex(name) !== 0) throw dataPlaneError('nameTaken', `a network device ${name} exists already`);
}

function openTun(name: string): number {
  try {
    return openFile('/dev/net/tun', constant.O_RDWR | constant.O_NONBLOCK);
  } catch (error) {
    throw asHostError(error, name);
  }
}

function attach(fd: number, name: string, allowOffload: boolean): DeviceOffload {
  const plain = constant.IFF_TUN | constant.IFF_NO_PI | constant.IFF_TUN_EXCL;
  if (allowOffload) {
    const request = interfaceRequest(name);
    request.setUint16(16, plain | constant.IFF_VNET_HDR, true);
    const result = libc.ioctl(fd, constant.TUNSETIFF, libc.addressOf(request));
    if (result >= 0) {
      const tcp = constant.TUN_F_CSUM | constant.TUN_F_TSO4 | constant.TUN_F_TSO6 | constant.TUN_F_TSO_ECN;
      const udp = constant.TUN_F_USO4 | constant.TUN_F_USO6;
      const udpSegmentation = libc.ioctl(fd, constant.TUNSETOFFLOAD, tcp | udp) >= 0;
      // Without any offload the header is still there, and says so for each packet.
      if (!udpSegmentation && libc.ioctl(fd, constant.TUNSETOFFLOAD, tcp) < 0) libc.ioctl(fd, constant.TUNSETOFFLOAD, 0);
      return { vnetHeader: true, udpSegmentation };
    }
    if (result !== -errno.EINVAL) throw new SysError('ioctl TUNSETIFF', -result);
  }
  const request = interfaceRequest(name);
  request.setUint16(16, plain, true);
  check('ioctl TUNSETIFF', libc.ioctl(fd, constant.TUNSETIFF, libc.addressOf(request)));
  return { vnetHeader: false, udpSegmentation: false };
}

function setLinkNumber(name: string, operation: number, value: number): void {
  const fd = check('socket', libc.socket(constant.AF_INET, constant.SOCK_DGRAM | constant.SOCK_CLOEXEC, 0));
  try {
    const request = interfaceRequest(name);
    request.setInt32(16, value, true);
    check(`ioctl 0x${operation.toString(16)}`, libc.ioctl(fd, operation, libc.addressOf(request)));
  } finally {
    closeDescriptor(fd);
  }
}

/** `struct ifreq`: the name in 16 octets, then a union of 24. */
function interfaceRequest(name: string): DataView<ArrayBuffer> {
  const request = new DataView(new ArrayBuffer(40));
  for (let i = 0; i < name.length; i++) request.setUint8(i, name.charCodeAt(i));
  return request;
}

/** Asks for joined packets that fit a send, and for no link-local address of the kernel's. A kernel that refuses costs speed only. */
function tuneLink(name: string): void {
  const socket = openNetlink(constant.NETLINK_ROUTE, 0);
  try {
    for (const message of linkSettings(libc.interfaceIndex(name), gsoMaxSize)) {
      socket.send(message);
      if (!waitReadable(socket.fd, 1000)) return;
      const answer = socket.receive();
      if (!answer || netlinkAnswer(answer) !== 0) continue;
    }
  } finally {
    socket.close();
  }
}

function asHostError(error: unknown, name: string): unknown {
  if (!(error instanceof SysError)) return error;
  return describe(error, name);
}

function describe(error: SysError, name: string): HostError {
  switch (error.errno) {
    case errno.ENOENT:
    case errno.ENODEV:
    case 6: // ENXIO: the node is there, the driver is not
      return dataPlaneError('noTun', '/dev/net/tun cannot be opened', error);
    case errno.EPERM:
    case errno.EACCES:
      return dataPlaneError('notPermitted', `making network device ${name}: ${error.message}`, error);
    case errno.EBUSY:
    case errno.EEXIST:
      return dataPlaneError('nameTaken', `a network device ${name} exists already`, error);
    default:
      return dataPlaneError('deviceFailed', `making network device ${name}: ${error.message}`, error);
  }
}
