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
  let support: KernelPlaneSupport | undefined;
  const kernelSupport = (): KernelPlaneSupport => (support ??= readKernelPlaneSupport());
  return {
    kernel: (options, onEvent) => openKernelDataPlane(options, onEvent, kernelSupport().by),
    userspace: openUserspaceDataPlane,
    kernelSupport,
    pathMtu: (gateway, port) => readPathMtu(gateway, port, outerMark),
  };
}
