/**
 * Throughput and cost of the userspace data plane: two of ours back to back over a veth pair, one process each, with static keys, iperf3 inside.
 *
 *   node bench/esp-plane.ts [--rounds 5] [--seconds 3] [--encr 20] [--bits 128] [--integ 0] [--outer 4|6] [--inner 4|6]
 *                           [--udp OCTETS,MBITS] [--plain-link] [--json FILE]
 *
 * `--plain-link` turns every offload of the link off (needs ethtool). Needs root and iperf3. Prints medians; figures are for this machine, now.
 */
import { execFileSync, fork, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { parseAddress } from '@aovpn/bytes';
import { openUserspaceDataPlane } from '@aovpn/host';

interface Order {
  readonly do: 'connect' | 'start' | 'usage' | 'close';
  readonly remote?: string;
  readonly port?: number;
  readonly inner?: readonly string[];
  readonly spiIn?: number;
  readonly spiOut?: number;
  readonly suite?: { readonly encr: number; readonly keyBits: number; readonly integ: number };
}

interface Answer {
  readonly localPort?: number;
  /** Seconds of user and system time so far. */
  readonly cpu?: number;
  readonly octets?: number;
}

interface Round {
  readonly mbits: number;
  /** CPU seconds per gigabyte of inner packets, of the process that sends and of the one that receives. */
  readonly sender: number;
  readonly receiver: number;
  /** The same of the whole machine, iperf3 and kernel included. */
  readonly system: number;
  /** Lost datagrams, per cent; UDP only. */
  readonly lost?: number;
}

if (process.argv[2] === 'station') await beStation();
else await main();

/** One end: does what the parent says. */
async function beStation(): Promise<void> {
  const plane = await openUserspaceDataPlane({ device: 'tun0', mtu: 1400, mark: 0, keepaliveSeconds: 20 }, () => undefined);
  const keys = (spi: number) => ({
    spi,
    encryptionKey: new Uint8Array(keyOctets).fill(spi),
    integrityKey: new Uint8Array(integrityOctets).fill(spi),
  });
  let keyOctets = 0;
  let integrityOctets = 0;
  const perform = async (order: Order): Promise<Answer> => {
    switch (order.do) {
      case 'connect':
        return { localPort: (await plane.connect(parseAddress(order.remote!)!, order.port!)).localPort };
      case 'start': {
        const suite = order.suite!;
        await plane.openDevice();
        await plane.setInnerAddresses(order.inner!.map((text) => parseAddress(text)!));
        keyOctets = (suite.keyBits || 256) / 8 + (suite.integ === 0 ? 4 : 0);
        integrityOctets = { 0: 0, 2: 20, 12: 32, 13: 48, 14: 64 }[suite.integ] ?? 0;
        await plane.installChild({
          suite,
          inbound: keys(order.spiIn!),
          outbound: keys(order.spiOut!),
          esn: false,
          sendNow: true,
        });
        return {};
      }
      case 'usage': {
        const { user, system } = process.cpuUsage();
        const { bytesIn, bytesOut } = await plane.stats();
        return { cpu: (user + system) / 1e6, octets: bytesIn + bytesOut };
      }
      case 'close':
        await plane.close();
        return {};
    }
  };
  process.on('message', (order: Order) => {
    void perform(order).then((answer) => {
      process.send!(answer, undefined, undefined, () => {
        if (order.do === 'close') process.disconnect();
      });
    });
  });
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '3' },
      encr: { type: 'string', default: '20' },
      bits: { type: 'string', default: '128' },
      integ: { type: 'string', default: '0' },
      outer: { type: 'string', default: '4' },
      inner: { type: 'string', default: '4' },
      udp: { type: 'string' },
      'plain-link': { type: 'boolean', default: false },
      json: { type: 'string' },
    },
  });
  const id = process.pid.toString(36);
  const [left, right] = [`espb-${id}-a`, `espb-${id}-b`];
  const stations: ChildProcess[] = [];
  let server: ChildProcess | undefined;
  const cleanUp = (): void => {
    server?.kill();
    for (const station of stations) if (station.exitCode === null) station.kill('SIGKILL');
    for (const name of [left, right]) {
      try {
        ip('netns', 'del', name);
      } catch {
        // It was never made, or is gone already.
      }
    }
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      cleanUp();
      process.exit(1);
    });
  }
  try {
    makeLink(left, right, id, values['plain-link']);
    const [a, b] = [beginStation(left), beginStation(right)];
    stations.push(a, b);
    const suite = { encr: Number(values.encr), keyBits: Number(values.bits), integ: Number(values.integ) };
    const [outerA, outerB] = values.outer === '6' ? ['fd99::1', 'fd99::2'] : ['10.99.0.1', '10.99.0.2'];
    const first = await ask(a, { do: 'connect', remote: outerB, port: 9 });
    const second = await ask(b, { do: 'connect', remote: outerA, port: first.localPort! });
    await ask(a, { do: 'connect', remote: outerB, port: second.localPort! });
    await ask(a, { do: 'start', suite, inner: ['10.77.1.1', 'fd77:1::1'], spiIn: 0x1001, spiOut: 0x2002 });
    await ask(b, { do: 'start', suite, inner: ['10.77.2.2', 'fd77:2::2'], spiIn: 0x2002, spiOut: 0x1001 });
    addressDevice(left, '10.77.1.1', 'fd77:1::1');
    addressDevice(right, '10.77.2.2', 'fd77:2::2');

    server = spawn('ip', ['netns', 'exec', right, 'iperf3', '-s', '--forceflush'], { stdio: ['ignore', 'pipe', 'ignore'] });
    await once(server.stdout!, 'data');
    const target = values.inner === '6' ? 'fd77:2::2' : '10.77.2.2';
    const rounds: Round[] = [];
    for (let i = 0; i < Number(values.rounds); i++) {
      rounds.push(await measure(left, target, a, b, values.seconds, values.udp));
      const { mbits, sender, receiver, system, lost } = rounds.at(-1)!;
      const loss = lost === undefined ? '' : `, ${lost.toFixed(1)} % lost`;
      process.stdout.write(
        `${mbits.toFixed(0)} Mbit/s${loss}; CPU s/GB ${sender.toFixed(2)} / ${receiver.toFixed(2)}, system ${system.toFixed(2)}\n`,
      );
    }
    const median = (of: (round: Round) => number): number => rounds.map(of).sort((x, y) => x - y)[rounds.length >> 1]!;
    const result = {
      mbits: median((round) => round.mbits),
      sender: median((round) => round.sender),
      receiver: median((round) => round.receiver),
      system: median((round) => round.system),
      ...(values.udp ? { lost: median((round) => round.lost ?? 0) } : {}),
      rounds,
    };
    process.stdout.write(
      `median ${result.mbits.toFixed(0)} Mbit/s; CPU s/GB sender ${result.sender.toFixed(2)}, receiver ${result.receiver.toFixed(2)}, system ${result.system.toFixed(2)}\n`,
    );
    if (values.json) writeFileSync(values.json, `${JSON.stringify(result, undefined, 2)}\n`);
    await Promise.all(stations.map((station) => ask(station, { do: 'close' })));
    await Promise.all(stations.filter((station) => station.exitCode === null).map((station) => once(station, 'exit')));
  } finally {
    cleanUp();
  }
}

/** One run of iperf3 from a to b. */
async function measure(
  namespace: string,
  target: string,
  a: ChildProcess,
  b: ChildProcess,
  seconds: string,
  udp: string | undefined,
): Promise<Round> {
  const [size, rate] = udp?.split(',') ?? [];
  const how = size === undefined ? [] : ['-u', '-l', size, '-b', `${rate ?? '200'}M`];
  const before = [await ask(a, { do: 'usage' }), await ask(b, { do: 'usage' })] as const;
  const busyBefore = busySeconds();
  const child = spawn('ip', ['netns', 'exec', namespace, 'iperf3', '-J', '-c', target, '-t', seconds, ...how], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.on('data', (octets: Buffer) => (text += octets.toString()));
  await once(child, 'close');
  const busy = busySeconds() - busyBefore;
  const after = [await ask(a, { do: 'usage' }), await ask(b, { do: 'usage' })] as const;
  const report = JSON.parse(text) as {
    end: { sum_received?: { bits_per_second: number }; sum?: { bits_per_second: number; lost_percent: number } };
  };
  const perGigabyte = (seconds: number, octets: number): number => seconds / (octets / 1e9);
  const [octetsA, octetsB] = [after[0].octets! - before[0].octets!, after[1].octets! - before[1].octets!];
  const lost = report.end.sum?.lost_percent;
  return {
    mbits:
      (size === undefined ? report.end.sum_received!.bits_per_second : report.end.sum!.bits_per_second * (1 - lost! / 100)) / 1e6,
    sender: perGigabyte(after[0].cpu! - before[0].cpu!, octetsA),
    receiver: perGigabyte(after[1].cpu! - before[1].cpu!, octetsB),
    system: perGigabyte(busy, octetsB),
    ...(size === undefined ? {} : { lost: lost! }),
  };
}

function makeLink(left: string, right: string, id: string, plain: boolean): void {
  const wires = [`ebl${id}`, `ebr${id}`] as const;
  for (const name of [left, right]) {
    ip('netns', 'add', name);
    ip('-n', name, 'link', 'set', 'lo', 'up');
  }
  ip('link', 'add', wires[0], 'netns', left, 'type', 'veth', 'peer', 'name', wires[1], 'netns', right);
  for (const [name, wire, last] of [
    [left, wires[0], '1'],
    [right, wires[1], '2'],
  ] as const) {
    ip('-n', name, 'addr', 'add', `10.99.0.${last}/24`, 'dev', wire);
    ip('-n', name, 'addr', 'add', `fd99::${last}/64`, 'dev', wire, 'nodad');
    ip('-n', name, 'link', 'set', wire, 'up');
    const off = ['tso', 'gso', 'gro', 'tx-udp-segmentation'].flatMap((feature) => [feature, 'off']);
    if (plain) execFileSync('ip', ['netns', 'exec', name, 'ethtool', '-K', wire, ...off], { stdio: 'ignore' });
  }
}

function addressDevice(namespace: string, v4: string, v6: string): void {
  ip('-n', namespace, 'addr', 'add', `${v4}/32`, 'dev', 'tun0');
  ip('-n', namespace, 'addr', 'add', `${v6}/128`, 'dev', 'tun0', 'nodad');
  ip('-n', namespace, 'link', 'set', 'tun0', 'up');
  ip('-n', namespace, 'route', 'add', '10.77.0.0/16', 'dev', 'tun0');
  ip('-n', namespace, 'route', 'add', 'fd77::/16', 'dev', 'tun0');
}

/** A child of this file inside a namespace. */
function beginStation(namespace: string): ChildProcess {
  const node = [process.execPath, fileURLToPath(import.meta.url), 'station'];
  // `ip netns exec` replaces itself by the program, so the channel of fork() reaches it.
  return fork('netns', ['exec', namespace, ...node], {
    execPath: '/usr/sbin/ip',
    execArgv: [],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
}

async function ask(station: ChildProcess, order: Order): Promise<Answer> {
  const answered = once(station, 'message', { signal: AbortSignal.timeout(20_000) }) as Promise<[Answer]>;
  station.send(order);
  return (await answered)[0];
}

/** Seconds that all processors were busy since the machine started. */
function busySeconds(): number {
  const [user, nice, system, , , irq, softirq, steal] = readFileSync('/proc/stat', 'utf8')
    .split('\n')[0]!
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return (user! + nice! + system! + irq! + softirq! + steal!) / 100;
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
