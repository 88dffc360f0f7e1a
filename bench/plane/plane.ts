import type { World } from '../../lab/world.ts';

/** A userspace VPN between the client and the gateway of a world, AES-128-GCM where it has a choice, 1400 octets of inner MTU. */
export interface Plane {
  readonly name: string;
  readonly kind: 'ours' | 'peer' | 'reference';
  readonly missing?: string;
  /** Brings it up; it lives as long as the world. @returns the gateway's address inside. */
  start(world: World): Promise<string>;
}

export const innerMtu = 1400;
