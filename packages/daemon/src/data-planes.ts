import { openKernelDataPlane, openUserspaceDataPlane, readKernelPlaneSupport, type KernelPlaneSupport } from '@aovpn/host';
import type { DataPlanes } from './choose-data-plane.ts';

/** Those of this machine. What its kernel can is found out when it is first asked, and remembered. */
export function linuxDataPlanes(): DataPlanes {
  let support: KernelPlaneSupport | undefined;
  return {
    kernel: openKernelDataPlane,
    userspace: openUserspaceDataPlane,
    kernelSupport: () => (support ??= readKernelPlaneSupport()),
  };
}
