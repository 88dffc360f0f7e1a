import { mkdirSync } from 'node:fs';
import type { Host } from '../host.ts';
import type { Running } from '../running.ts';

export const systemBus = '/run/dbus/system_bus_socket';

/** Debian's dbus-daemon as the system bus of one host, on which everybody may own every name, and nothing is started by name. */
export async function startBus(host: Host): Promise<Running> {
  mkdirSync(host.file('/run/dbus'), { recursive: true });
  const allowed = ['send_type', 'receive_type'].flatMap((way) =>
    ['method_call', 'signal', 'method_return', 'error'].map((type) => `<allow ${way}="${type}"/>`),
  );
  host.write(
    '/run/dbus/bus.conf',
    `<busconfig><type>system</type><listen>unix:path=${systemBus}</listen><policy context="default"><allow user="*"/><allow own="*"/>${allowed.join('')}</policy></busconfig>`,
  );
  const bus = host.spawn(['dbus-daemon', '--nofork', '--print-address=1', '--config-file=/run/dbus/bus.conf'], {
    name: 'dbus-daemon',
  });
  await bus.saysWithin(/unix:path/);
  return bus;
}
