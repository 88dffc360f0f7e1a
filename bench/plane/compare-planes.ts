import type { Host } from '../../lab/host.ts';
import { World } from '../../lab/world.ts';
import type { Measurement } from '../row.ts';
import { startIperfServer } from './iperf.ts';
import { libipsec } from './libipsec.ts';
import { openvpn } from './openvpn.ts';
import { ours } from './ours.ts';
import { plain } from './plain.ts';
import { wireguardGo } from './wireguard-go.ts';

const planes = [ours, libipsec, openvpn, wireguardGo, plain];

/** All planes side by side in one world, on the same path; each is idle while another is measured. */
export async function comparePlanes(
  measure: (client: Host, target: string) => Promise<number>,
  options: { readonly offloads?: boolean } = {},
): Promise<Measurement> {
  const world = await World.create({ bare: true, ...options });
  try {
    await startIperfServer(world.gatewayHost);
    const sides: Measurement['sides'][number][] = [];
    for (const plane of planes) {
      const { name, kind } = plane;
      let { missing } = plane;
      let target = '';
      if (missing === undefined) {
        try {
          target = await plane.start(world);
        } catch (error) {
          if (kind === 'ours') throw error;
          missing = `does not start: ${error instanceof Error ? error.message : String(error)}`;
        }
      }
      sides.push({ name, kind, ...(missing === undefined ? {} : { missing }), measure: () => measure(world.client, target) });
    }
    return { sides, [Symbol.asyncDispose]: () => world.close() };
  } catch (error) {
    await world.close();
    throw error;
  }
}
