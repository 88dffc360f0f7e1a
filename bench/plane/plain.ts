import { network } from '../../lab/network.ts';
import type { Plane } from './plane.ts';

/** The path itself, without any VPN: what nobody can pass. */
export const plain: Plane = {
  name: 'no encryption',
  kind: 'reference',
  start: () => Promise.resolve(network.gateway.v4),
};
