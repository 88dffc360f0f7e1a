import { execFileSync } from 'node:child_process';
import { parseAddress, type IpAddress } from '@aovpn/bytes';
import {
  bindTo,
  check,
  closeDescriptor,
  constant,
  encodeSocketAddress,
  enterNetworkNamespace,
  libc,
  openFile,
  openRawSocket,
  setOption,
} from '../../src/sys/index.ts';

/** Two network namespaces joined by a veth pair: v4 and v6, with names of their own, gone at the latest when this process ends. */
export interface NetWorld {
  readonly a: string;
  readonly b: string;
  /** Names of the two ends of the wire. */
  readonly wireA: string;
  readonly wireB: string;
  remove(): void;
}

/** Outer addresses. */
export const outer = {
  a: { 4: address('10.99.0.1'), 6: address('fd99::1') },
  b: { 4: address('10.99.0.2'), 6: address('fd99::2') },
} as const;

/** Inner addresses. */
export const inner = {
  a: { 4: address('10.77.1.1'), 6: address('fd77:1::1') },
  b: { 4: address('10.77.2.2'), 6: address('fd77:2::2') },
} as const;

export function address(text: string): IpAddress {
  const parsed = parseAddress(text);
  if (!parsed) throw new TypeError(`not an address: ${text}`);
  return parsed;
}

let count = 0;

export function makeNetWorld(): NetWorld {
  const id = `${process.pid.toString(36)}${(count++).toString(36)}`;
  const a = `esp-${id}-a`;
  const b = `esp-${id}-b`;
  const wireA = `ea${id}`;
  const wireB = `eb${id}`;
  const remove = (): void => {
    process.off('exit', remove);
    for (const name of [a, b]) {
      try {
        ip('netns', 'del', name);
      } catch {
        // It was never made, or is gone.
      }
    }
  };
  process.on('exit', remove);
  try {
    for (const name of [a, b]) {
      ip('netns', 'add', name);
      ip('-n', name, 'link', 'set', 'lo', 'up');
    }
    ip('link', 'add', wireA, 'netns', a, 'type', 'veth', 'peer', 'name', wireB, 'netns', b);
    for (const [name, wire, v4, v6] of [
      [a, wireA, '10.99.0.1/24', 'fd99::1/64'],
      [b, wireB, '10.99.0.2/24', 'fd99::2/64'],
    ] as const) {
      ip('-n', name, 'addr', 'add', v4, 'dev', wire);
      ip('-n', name, 'addr', 'add', v6, 'dev', wire, 'nodad');
      ip('-n', name, 'link', 'set', wire, 'up');
    }
  } catch (error) {
    remove();
    throw error;
  }
  return { a, b, wireA, wireB, remove };
}

export function ip(...args: string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Runs a program in a namespace to its end. */
export function run(namespace: string, command: string, ...args: string[]): string {
  return execFileSync('ip', ['netns', 'exec', namespace, command, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** Sends an ESP packet as it is, without UDP. @param trafficClass of the outer header */
export function sendBareEsp(
  namespace: string,
  from: IpAddress,
  to: IpAddress,
  packet: Uint8Array,
  trafficClass = 0,
): Promise<void> {
  return inside(namespace, () => {
    const fd = openRawSocket(from.family, constant.IPPROTO_ESP);
    try {
      bindTo(fd, from, 0);
      if (from.family === 4) setOption(fd, constant.SOL_IP, constant.IP_TOS, trafficClass);
      else setOption(fd, constant.SOL_IPV6, constant.IPV6_TCLASS, trafficClass);
      const name = encodeSocketAddress(to, 0);
      check('sendto', libc.sendto(fd, libc.addressOf(packet), packet.length, 0, libc.addressOf(name), name.length));
      libc.keepUntilHere(packet, name);
    } finally {
      closeDescriptor(fd);
    }
  });
}

const homeNamespace = openFile('/proc/thread-self/ns/net', constant.O_RDONLY);
let home: Promise<unknown> = Promise.resolve();

/** Does something with this thread moved into a namespace; sockets and devices made meanwhile stay there. One at a time. */
export function inside<T>(namespace: string, work: () => T | Promise<T>): Promise<T> {
  const turn = home.then(async (): Promise<T> => {
    enterNetworkNamespace(`/run/netns/${namespace}`);
    try {
      return await work();
    } finally {
      check('setns', libc.setns(homeNamespace, constant.CLONE_NEWNET));
    }
  });
  home = turn.catch(() => undefined);
  return turn;
}
