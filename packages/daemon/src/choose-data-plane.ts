import type { EspSuite, OpenDataPlane, Transport } from '@aovpn/esp';
import type { KernelPlaneSupport } from '@aovpn/host';
import type { ChildProposalConfig } from '@aovpn/ike';

/** What `data-plane` in the settings says. */
export const dataPlaneWishes = ['auto', 'kernel', 'userspace'] as const;
export type DataPlaneWish = (typeof dataPlaneWishes)[number];

export interface DataPlaneChoice {
  readonly kind: 'kernel' | 'userspace';
  /** One sentence for people. */
  readonly why: string;
}

export interface DataPlaneNeeds {
  readonly proposals: readonly ChildProposalConfig[];
  readonly transport: Transport;
}

/**
 * The kernel's IPsec where it can do all that the proposals may end in, else our own.
 * @param support asked only when it matters: finding out takes the kernel a moment
 */
export function chooseDataPlane(
  wish: DataPlaneWish,
  { proposals, transport }: DataPlaneNeeds,
  support: () => KernelPlaneSupport,
): DataPlaneChoice {
  if (transport === 'tcp') return { kind: 'userspace', why: 'the kernel has no ESP in TCP of ours' };
  if (wish === 'userspace') return { kind: 'userspace', why: 'the settings say so' };
  if (wish === 'kernel') return { kind: 'kernel', why: 'the settings say so' };
  const { works, why, suites } = support();
  if (!works) return { kind: 'userspace', why: `not in the kernel: ${why}` };
  const missing = suitesOf(proposals).find((suite) => !suites.some((one) => same(one, suite)));
  if (missing) {
    const { encr, keyBits, integ } = missing;
    return { kind: 'userspace', why: `the kernel lacks an ESP suite that we offer (${encr}/${keyBits}/${integ})` };
  }
  return { kind: 'kernel', why };
}

export interface DataPlanes {
  readonly kernel: OpenDataPlane;
  readonly userspace: OpenDataPlane;
  /** What the kernel can; found out once. */
  kernelSupport(): KernelPlaneSupport;
}

function suitesOf(proposals: readonly ChildProposalConfig[]): readonly EspSuite[] {
  return proposals.flatMap(({ encr, integ }) =>
    encr.flatMap(({ id, keyBits }) => (integ.length === 0 ? [0] : integ).map((one) => ({ encr: id, keyBits, integ: one }))),
  );
}

function same(a: EspSuite, b: EspSuite): boolean {
  return a.encr === b.encr && a.keyBits === b.keyBits && a.integ === b.integ;
}
