import {
  openKernelDataPlane,
  openUserspaceDataPlane,
  readKernelPlaneSupport,
  readPathMtu,
  type KernelPlaneSupport,
} from '@aovpn/host';
import { outerMark } from './outer-mark.ts';
import type { DataPlanes } from './choose-data-plane.ts';

/** Those of this machine. What its kernel can is found out when it is first asked, and remembered. */
export function linuxDataPlanes(): DataPlanes {
  let reading: Promise<KernelPlaneSupport> | undefined;
  let known: KernelPlaneSupport | undefined;
  const kernelSupport = async (): Promise<KernelPlaneSupport> => (known = await (reading ??= readKernelPlaneSupport()));
  return {
    kernel: async (options, onEvent) => await openKernelDataPlane(options, onEvent, (await kernelSupport()).by),
    userspace: openUserspaceDataPlane,
    kernelSupport,
    knownKernelSupport: () => known,
    pathMtu: (gateway, port) => readPathMtu(gateway, port, outerMark),
  };
}
