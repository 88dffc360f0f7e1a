import type { OpenDataPlane } from '@aovpn/esp';
import { UserspaceDataPlane } from './userspace-data-plane.ts';

/** Opens a data plane that needs nothing of the kernel but TUN and UDP. Its workers start meanwhile; nothing waits for them. */
export const openUserspaceDataPlane: OpenDataPlane = (options, onEvent) =>
  Promise.resolve(new UserspaceDataPlane(options, onEvent, { device: true, socket: true }));
