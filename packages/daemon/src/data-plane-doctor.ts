import type { DoctorCheck } from '@aovpn/api';
import type { KernelPlaneSupport } from '@aovpn/host';
import type { DataPlaneWish } from './choose-data-plane.ts';

/** Which data plane tunnels get on this machine. That the kernel has none is no fault, unless somebody asks for it. */
export function checkDataPlane(
  { works, why }: Pick<KernelPlaneSupport, 'works' | 'why'>,
  wishes: readonly DataPlaneWish[],
): DoctorCheck {
  if (works) return { name: 'data plane', verdict: 'ok', found: `kernel: ${why}` };
  if (!wishes.includes('kernel')) return { name: 'data plane', verdict: 'ok', found: `userspace; not in the kernel: ${why}` };
  return {
    name: 'data plane',
    verdict: 'failed',
    found: `the settings ask for the kernel, but: ${why}`,
    cure: 'Load the modules (modprobe -a xfrm_interface esp4 esp6 xfrm_user; without xfrm_interface: ip_vti ip6_vti), or leave data-plane at "auto".',
  };
}
