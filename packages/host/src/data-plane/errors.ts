import type { HostErrorEntry } from '../host-error.ts';

/** What can go wrong with a data plane: 200–229. */
export const dataPlaneErrors = {
  noTun: {
    code: 'AOV-HOST-200',
    title: 'This system has no TUN device',
    cure: 'Load the module (modprobe tun); in a container, pass /dev/net/tun in.',
  },
  notPermitted: {
    code: 'AOV-HOST-201',
    title: 'Not permitted to make network devices',
    cure: 'Run the daemon as root, or give it CAP_NET_ADMIN.',
  },
  nameTaken: {
    code: 'AOV-HOST-202',
    title: 'A network device of that name exists already',
    cure: 'Look at `ip link show`; another daemon may be running. Remove that device or choose another name.',
  },
  badDevice: {
    code: 'AOV-HOST-203',
    title: 'The name or MTU of the device cannot be used',
    cure: 'A name has 1 to 15 letters, digits, dots, dashes or underscores; an MTU is 1280 to 65000.',
  },
  deviceFailed: {
    code: 'AOV-HOST-204',
    title: 'The tunnel device cannot be made',
    cure: 'The system call named in the message was refused; the kernel log may say why.',
  },
  noRoute: {
    code: 'AOV-HOST-205',
    title: 'There is no route to the gateway',
    cure: 'Check that the network is up and that `ip route get GATEWAY` finds a way.',
  },
  socketFailed: {
    code: 'AOV-HOST-206',
    title: 'The outer UDP socket cannot be opened',
    cure: 'The system call named in the message was refused; SO_MARK needs CAP_NET_ADMIN.',
  },
  badSuite: {
    code: 'AOV-HOST-207',
    title: 'The CHILD_SA has algorithms or keys that the data plane does not speak',
    cure: 'This is a fault of the program: please report it with the log.',
  },
  badSpi: {
    code: 'AOV-HOST-208',
    title: 'The CHILD_SA has an SPI that is impossible, taken or not installed',
    cure: 'This is a fault of the program: please report it with the log.',
  },
  workerFailed: {
    code: 'AOV-HOST-209',
    title: 'The data plane stopped',
    cure: 'Nothing passes through the tunnel now; reconnect. Please report it with the log.',
  },
  deviceGone: {
    code: 'AOV-HOST-210',
    title: 'The tunnel device vanished',
    cure: 'Somebody removed it; reconnect to make a new one.',
  },
  closed: {
    code: 'AOV-HOST-211',
    title: 'The data plane is closed or not yet connected',
    cure: 'Connect first; if this appears by itself, please report it with the log.',
  },
  tcpFailed: {
    code: 'AOV-HOST-212',
    title: 'The gateway cannot be reached over TCP',
    cure: 'TCP encapsulation (RFC 9329) is tried where UDP is blocked. The gateway must listen on that TCP port (`tcp-port`); otherwise let UDP 4500 pass.',
  },
  kernelRefused: {
    code: 'AOV-HOST-215',
    title: 'The kernel refuses its part of the tunnel (XFRM)',
    cure: 'Look into the kernel log; with data-plane = "userspace" in the settings of the profile nothing of the kernel is needed but TUN.',
  },
} as const satisfies Record<string, HostErrorEntry>;

export type DataPlaneErrorName = keyof typeof dataPlaneErrors;
