import { parseAddress, wipe } from '@aovpn/bytes';
import { espSuites, espTransform, type EspSuite } from '@aovpn/esp';
import { openRouteSocket } from '../network/route-socket.ts';
import { check, closeDescriptor, constant, libc, openFile, openUdpSocket, setOption } from '../sys/index.ts';
import { guardRequests } from './device-guard.ts';
import { algorithmAttributes } from './xfrm-algorithm.ts';
import { newDeviceRequest } from './xfrm-device.ts';
import { newState, putPolicy, replayState } from './xfrm-message.ts';
import { ourInterfaceIds } from './xfrm-number.ts';
import { openXfrmSocket } from './xfrm-socket.ts';

/** Whether this kernel can be the data plane, found out by doing all of it once. */
export interface KernelPlaneSupport {
  readonly works: boolean;
  /** What was done, or what the kernel said no to. */
  readonly why: string;
  /** ESP suites that the kernel has; all of ours as a rule. */
  readonly suites: readonly EspSuite[];
}

/**
 * Makes a device, a guard, a UDP socket for ESP, a policy, and an SA of every suite in a network namespace of its own, which is gone when this
 * returns. It blocks for some milliseconds, longer when the kernel must load modules first.
 */
export function readKernelPlaneSupport(): KernelPlaneSupport {
  let home = -1;
  let away = false;
  try {
    home = openFile('/proc/thread-self/ns/net', constant.O_RDONLY);
    check('unshare CLONE_NEWNET', libc.unshare(constant.CLONE_NEWNET));
    away = true;
    return tryHere();
  } catch (error) {
    return { works: false, why: error instanceof Error ? error.message : String(error), suites: [] };
  } finally {
    // Nothing else of this thread runs meanwhile. Were there no way back, nothing of ours would work any more: then the process must end.
    if (away) check('setns', libc.setns(home, constant.CLONE_NEWNET));
    closeDescriptor(home);
  }
}

function tryHere(): KernelPlaneSupport {
  const name = 'aovtry0';
  const id = ourInterfaceIds.last;
  const routes = openRouteSocket();
  try {
    must('making an XFRM interface', routes.request([newDeviceRequest(name, 1400, id)]));
    must('guarding a device', routes.request(guardRequests(libc.interfaceIndex(name))));
  } finally {
    routes.close();
  }
  const fd = openUdpSocket(4);
  try {
    setOption(fd, constant.SOL_UDP, constant.UDP_ENCAP, constant.UDP_ENCAP_ESPINUDP);
  } finally {
    closeDescriptor(fd);
  }
  const xfrm = openXfrmSocket();
  try {
    const ends = {
      source: parseAddress('192.0.2.1')!,
      sourcePort: 4500,
      destination: parseAddress('192.0.2.2')!,
      destinationPort: 4500,
    };
    let spi = 0x1000;
    let lastNo = '';
    const suites = espSuites.filter((suite) => {
      const transform = espTransform(suite)!;
      const keys = {
        // Not of one octet: 3DES wants keys that differ.
        encryptionKey: Uint8Array.from({ length: transform.keyLength + transform.saltLength }, (_, i) => i * 11 + 1),
        integrityKey: new Uint8Array(transform.integrityKeyLength).fill(1),
      };
      const algorithms = algorithmAttributes(transform, keys);
      const limits = { softBytes: undefined, softPackets: undefined };
      const common = { interfaceId: id, mark: 1, copyDscp: false, esn: true, replay: replayState(), ...limits };
      const [problem] = xfrm.request([newState({ ...ends, ...common, spi: ++spi, algorithms })]);
      wipe(...algorithms.map(([, octets]) => octets));
      if (problem !== undefined) lastNo = `${transform.name}: ${problem}`;
      return problem === undefined;
    });
    if (suites.length === 0) throw new Error(`the kernel takes no ESP SA (${lastNo})`);
    const inner = parseAddress('10.0.0.1')!;
    const [refused] = xfrm.request([putPolicy({ direction: 'in', family: 4, inner, interfaceId: id })]);
    if (refused !== undefined) throw new Error(`the kernel takes no IPsec policy (${refused})`);
    const missing = espSuites.length - suites.length;
    return {
      works: true,
      why: `the kernel has ESP, XFRM interfaces and ESP in UDP${missing === 0 ? '' : `, without ${missing} of ${espSuites.length} suites (${lastNo})`}`,
      suites,
    };
  } finally {
    xfrm.close();
  }
}

function must(what: string, answers: readonly { readonly ok: boolean; readonly said?: string }[]): void {
  for (const answer of answers) if (!answer.ok) throw new Error(`${what}: ${answer.said ?? 'refused'}`);
}
