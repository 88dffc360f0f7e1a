import type { IpAddress, IpFamily } from '@aovpn/bytes';
import { espTransform, innerMtu, type EspSuite, type OpenDataPlane, type Transport } from '@aovpn/esp';
import type { KernelPlaneSupport } from '@aovpn/host';
import type { ChildProposalConfig } from '@aovpn/ike';

/** Every IPv6 link carries that much (RFC 8200 §5). Where less is left inside, the kernel drops such packets instead of cutting those outside. */
const ipv6MinimumMtu = 1280;

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
  /** How the gateway would be reached, where it is known: in which family, and how many octets of a packet the way there carries. */
  readonly path?: { readonly family: IpFamily; readonly mtu: number | undefined };
  /** Another tunnel of ours has its packets moved by the kernel. */
  readonly besideKernel: boolean;
}

/**
 * The kernel's IPsec where it can do all that the proposals may end in, else our own.
 * @param support asked only when it matters; where it is not known yet the choice is none
 */
export function chooseDataPlane(wish: DataPlaneWish, needs: DataPlaneNeeds, support: () => KernelPlaneSupport): DataPlaneChoice;
export function chooseDataPlane(
  wish: DataPlaneWish,
  needs: DataPlaneNeeds,
  support: () => KernelPlaneSupport | undefined,
): DataPlaneChoice | undefined;
export function chooseDataPlane(
  wish: DataPlaneWish,
  { proposals, transport, path, besideKernel }: DataPlaneNeeds,
  support: () => KernelPlaneSupport | undefined,
): DataPlaneChoice | undefined {
  if (transport === 'tcp') return { kind: 'userspace', why: 'the kernel has no ESP in TCP of ours' };
  if (wish === 'userspace') return { kind: 'userspace', why: 'the settings say so' };
  if (wish === 'kernel') return { kind: 'kernel', why: 'the settings say so' };
  const found = support();
  if (!found) return undefined;
  const { works, why, suites, by, families } = found;
  if (works && by === 'mark' && besideKernel)
    return { kind: 'userspace', why: 'a kernel without XFRM interfaces moves one tunnel at a time' };
  if (works && path && !families.includes(path.family))
    return { kind: 'userspace', why: `the kernel has no ESP in UDP over IPv${path.family}` };
  if (!works) return { kind: 'userspace', why: `not in the kernel: ${why}` };
  const missing = suitesOf(proposals).find((suite) => !suites.some((one) => same(one, suite)));
  if (missing) {
    const { encr, keyBits, integ } = missing;
    return { kind: 'userspace', why: `the kernel lacks an ESP suite that we offer (${encr}/${keyBits}/${integ})` };
  }
  if (path?.mtu !== undefined && leastInnerMtu(proposals, path.family, path.mtu) < ipv6MinimumMtu)
    return { kind: 'userspace', why: `the way to the gateway carries ${path.mtu} octets, too few for IPv6 in the kernel’s ESP` };
  return { kind: 'kernel', why };
}

export interface DataPlanes {
  readonly kernel: OpenDataPlane;
  readonly userspace: OpenDataPlane;
  /** What the kernel can; found out once. Never rejects. */
  kernelSupport(): Promise<KernelPlaneSupport>;
  /** The same, once it was found out. */
  knownKernelSupport(): KernelPlaneSupport | undefined;
  /** Octets that the way to a gateway carries now; undefined where there is none. */
  pathMtu(gateway: IpAddress, port: number): number | undefined;
}

function suitesOf(proposals: readonly ChildProposalConfig[]): readonly EspSuite[] {
  return proposals.flatMap(({ encr, integ }) =>
    encr.flatMap(({ id, keyBits }) => (integ.length === 0 ? [0] : integ).map((one) => ({ encr: id, keyBits, integ: one }))),
  );
}

function leastInnerMtu(proposals: readonly ChildProposalConfig[], family: IpFamily, pathMtu: number): number {
  const transforms = suitesOf(proposals).flatMap((suite) => espTransform(suite) ?? []);
  return Math.min(...transforms.map((transform) => innerMtu(pathMtu, family, transform)));
}

function same(a: EspSuite, b: EspSuite): boolean {
  return a.encr === b.encr && a.keyBits === b.keyBits && a.integ === b.integ;
}
