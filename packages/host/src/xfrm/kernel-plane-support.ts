import { parseAddress, wipe, type IpAddress, type IpFamily } from '@aovpn/bytes';
import { espSuites, espTransform, type EspSuite } from '@aovpn/esp';
import { deleteLinkRequest } from '../network/kernel-network.ts';
import { openRouteSocket, type RouteRequest, type RouteSocket } from '../network/route-socket.ts';
import { check, closeDescriptor, constant, libc, openFile, openUdpSocket, setOption } from '../sys/index.ts';
import { guardRequests } from './device-guard.ts';
import { plugRequests } from './device-plug.ts';
import { algorithmAttributes } from './xfrm-algorithm.ts';
import { newDeviceRequest } from './xfrm-device.ts';
import { newState, putPolicy, replayState, type NewState } from './xfrm-message.ts';
import type { TunnelTag } from './tunnel-tag.ts';
import { newVtiRequest } from './vti-device.ts';
import { ourNumbers } from './xfrm-number.ts';
import { openXfrmSocket } from './xfrm-socket.ts';

const deviceName = 'aovtry0';
const ends = {
  4: { source: parseAddress('192.0.2.1')!, destination: parseAddress('192.0.2.2')! },
  6: { source: parseAddress('2001:db8::1')!, destination: parseAddress('2001:db8::2')! },
} as const;

/** Whether this kernel can be the data plane, found out by doing all of it once. */
export interface KernelPlaneSupport {
  readonly works: boolean;
  /** What was done, or what the kernel said no to. */
  readonly why: string;
  /** ESP suites that the kernel has; all of ours as a rule. */
  readonly suites: readonly EspSuite[];
  /** What ties packets to a tunnel: an XFRM interface where the kernel has one, else a mark. */
  readonly by: TunnelTag['by'];
  /** Families outside: ESP in UDP over IPv6 is of Linux 5.8. */
  readonly families: readonly IpFamily[];
}

/**
 * Makes a device, a guard, a UDP socket for ESP, a policy, and an SA of every suite in a network namespace of its own, which is gone when this
 * returns. It blocks its thread for some milliseconds, longer when the kernel must load modules first.
 */
export function tryKernelPlane(): KernelPlaneSupport {
  let home = -1;
  let away = false;
  try {
    home = openFile('/proc/thread-self/ns/net', constant.O_RDONLY);
    check('unshare CLONE_NEWNET', libc.unshare(constant.CLONE_NEWNET));
    away = true;
    return tryHere();
  } catch (error) {
    return noKernelPlane(error);
  } finally {
    // Nothing else of this thread runs meanwhile. Were there no way back, nothing of ours would work any more: then the process must end.
    if (away) check('setns', libc.setns(home, constant.CLONE_NEWNET));
    closeDescriptor(home);
  }
}

/** @param why an error, or what it would say */
export function noKernelPlane(why: unknown): KernelPlaneSupport {
  return { works: false, why: why instanceof Error ? why.message : String(why), suites: [], by: 'interface', families: [] };
}

function tryHere(): KernelPlaneSupport {
  const id = ourNumbers.last;
  const routes = openRouteSocket();
  let by: TunnelTag['by'] = 'interface';
  let noPlug: ReturnType<RouteSocket['request']>[number] | undefined;
  try {
    const [answer] = routes.request([newDeviceRequest(deviceName, 1400, id)]);
    if (!answer!.ok) {
      by = 'mark';
      tryVti(routes, id, answer!.said);
    }
    const index = libc.interfaceIndex(deviceName);
    must('guarding a device', routes.request(guardRequests(index)));
    noPlug = routes.request(plugRequests(index)).find(({ ok }) => !ok);
  } finally {
    routes.close();
  }
  const tag = { by, id };
  const fd = openUdpSocket(4);
  try {
    setOption(fd, constant.SOL_UDP, constant.UDP_ENCAP, constant.UDP_ENCAP_ESPINUDP);
  } finally {
    closeDescriptor(fd);
  }
  const xfrm = openXfrmSocket();
  try {
    let spi = 0x1000;
    let lastNo = '';
    const takes = (suite: EspSuite, ends: Pick<NewState, 'source' | 'destination'>): boolean => {
      const transform = espTransform(suite)!;
      const keys = {
        // Not of one octet: 3DES wants keys that differ.
        encryptionKey: Uint8Array.from({ length: transform.keyLength + transform.saltLength }, (_, i) => i * 11 + 1),
        integrityKey: new Uint8Array(transform.integrityKeyLength).fill(1),
      };
      const algorithms = algorithmAttributes(transform, keys);
      const limits = { softBytes: undefined, softPackets: undefined };
      const ports = { sourcePort: 4500, destinationPort: 4500 };
      const common = { tag, mark: 1, copyDscp: false, esn: true, replay: replayState(), ...limits };
      const [problem] = xfrm.request([newState({ ...ends, ...ports, ...common, spi: ++spi, algorithms })]);
      wipe(...algorithms.map(([, octets]) => octets));
      if (problem !== undefined) lastNo = `${transform.name}: ${problem}`;
      return problem === undefined;
    };
    const suites = espSuites.filter((suite) => takes(suite, ends[4]));
    if (suites.length === 0) throw new Error(`the kernel takes no ESP SA (${lastNo})`);
    const inner = parseAddress('10.0.0.1')!;
    const [refused] = xfrm.request([putPolicy({ direction: 'in', family: 4, inner, tag })]);
    if (refused !== undefined) throw new Error(`the kernel takes no IPsec policy (${refused})`);
    const missing = espSuites.length - suites.length;
    const without = missing === 0 ? '' : `, without ${missing} of ${espSuites.length} suites (${lastNo})`;
    const found = {
      interface: 'the kernel has ESP, XFRM interfaces and ESP in UDP',
      mark: 'policies with marks: this kernel has ESP and ESP in UDP, but no XFRM interface',
    };
    const unheld = !noPlug || noPlug.ok ? '' : `; it cannot hold packets while a tunnel moves (sch_plug: ${noPlug.said})`;
    const families = ([4, 6] as const).filter((family) => takes(suites[0]!, ends[family]));
    return { works: true, why: `${found[by]}${without}${unheld}`, suites, by, families };
  } finally {
    xfrm.close();
  }
}

/** Both kinds of VTI device: the family outside decides which one a tunnel gets. A kernel without IPv6 needs one only. */
function tryVti(routes: RouteSocket, id: number, noInterface: string): void {
  const make = (local: IpAddress): RouteRequest => newVtiRequest(deviceName, 1400, id, local);
  for (const local of hasSix() ? [ends[6].source, ends[4].source] : [ends[4].source]) {
    const [answer] = routes.request([make(local)]);
    if (!answer!.ok) throw new Error(`making an XFRM interface: ${noInterface}; making a VTI device instead: ${answer!.said}`);
    if (local.family === 6) routes.request([deleteLinkRequest(libc.interfaceIndex(deviceName))]);
  }
}

function hasSix(): boolean {
  try {
    closeDescriptor(openUdpSocket(6));
    return true;
  } catch {
    return false;
  }
}

function must(what: string, answers: readonly { readonly ok: boolean; readonly said?: string }[]): void {
  for (const answer of answers) if (!answer.ok) throw new Error(`${what}: ${answer.said ?? 'refused'}`);
}
