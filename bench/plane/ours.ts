import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import type { Host } from '../../lab/host.ts';
import { network } from '../../lab/network.ts';
import type { Plane } from './plane.ts';

/** Our userspace data plane at both ends, with static keys: two stations of `esp-plane.ts`. */
export const ours: Plane = {
  name: `ours (Node ${process.versions.node})`,
  kind: 'ours',
  async start({ client, gatewayHost }) {
    const [near, far] = ['10.77.1.1', '10.77.2.2'];
    const [a, b] = [beginStation(client), beginStation(gatewayHost)];
    const first = await ask(a, { do: 'connect', remote: network.gateway.v4, port: 9 });
    const second = await ask(b, { do: 'connect', remote: network.client.home.v4, port: first.localPort! });
    await ask(a, { do: 'connect', remote: network.gateway.v4, port: second.localPort! });
    const suite = { encr: 20, keyBits: 128, integ: 0 };
    await ask(a, { do: 'start', suite, inner: [near], spiIn: 0x1001, spiOut: 0x2002 });
    await ask(b, { do: 'start', suite, inner: [far], spiIn: 0x2002, spiOut: 0x1001 });
    for (const [host, address, other] of [
      [client, near, far],
      [gatewayHost, far, near],
    ] as const) {
      await host.ip(`addr add ${address}/32 dev tun0`, 'link set tun0 up', `route add ${other}/32 dev tun0`);
    }
    return far;
  },
};

/** `esp-plane.ts station` on a host; it ends with the world. `nsenter` hands the channel of fork() on. */
function beginStation(host: Host): ChildProcess {
  const program = fileURLToPath(new URL('../esp-plane.ts', import.meta.url));
  const [nsenter, ...argv] = host.enter([process.execPath, program, 'station']);
  const [module, ...args] = argv;
  const station = fork(module!, args, { execPath: nsenter!, execArgv: [], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  station.on('error', () => undefined);
  station.unref();
  station.channel?.unref();
  return station;
}

async function ask(station: ChildProcess, order: object): Promise<{ readonly localPort?: number }> {
  const answered = once(station, 'message', { signal: AbortSignal.timeout(20_000) });
  station.channel?.ref();
  station.send(order);
  const [answer] = (await answered) as [{ readonly localPort?: number }];
  station.channel?.unref();
  return answer;
}
