import type { Host } from '../../lab/host.ts';

export interface TcpReport {
  readonly mbits: number;
  readonly octets: number;
}

export interface UdpReport {
  /** Datagrams that arrived, per second. */
  readonly perSecond: number;
  /** Per cent. */
  readonly lost: number;
}

interface Datagrams {
  readonly packets: number;
  readonly lost_packets: number;
}

interface Report {
  readonly end: {
    readonly sum_received?: { readonly bits_per_second: number; readonly bytes: number };
    readonly sum?: Datagrams & { readonly seconds: number };
  };
  readonly error?: string;
}

/** Where a second server listens, for the other direction: a server serves one client at a time. */
const [first, second] = ['5201', '5202'];

/** Starts an iperf3 server; it ends with the world. */
export async function startIperfServer(host: Host, ...how: readonly string[]): Promise<void> {
  const server = host.spawn(['iperf3', '--server', '--forceflush', ...how], { name: ['iperf3', ...how].join('-') });
  await server.saysWithin(/listening/, 5000);
}

/** One TCP stream. @param how `-t SECONDS`, `-n OCTETS`, `-R` … */
export async function tcp(host: Host, target: string, ...how: readonly string[]): Promise<TcpReport> {
  const { bits_per_second, bytes } = (await run(host, target, how)).end.sum_received!;
  return { mbits: bits_per_second / 1e6, octets: bytes };
}

/** Datagrams of one size. @param rate Mbit/s; 0: as many as the sender can. */
export async function udp(host: Host, target: string, size: number, rate: number, seconds: number): Promise<UdpReport> {
  const how = ['-u', '-l', String(size), '-b', rate === 0 ? '0' : `${rate}M`, '-t', String(seconds)];
  const { packets, lost_packets, seconds: took } = (await run(host, target, how)).end.sum!;
  return { perSecond: (packets - lost_packets) / took, lost: (100 * lost_packets) / packets };
}

/** Starts servers for {@link udpBothWays}. @param address the one that is asked, from which datagrams are to come back */
export async function startIperfServers(host: Host, address: string): Promise<void> {
  for (const port of [first, second]) await startIperfServer(host, '--port', port, '--bind', address);
}

/** Datagrams of one size in both directions at once. @param rate Mbit/s in each */
export async function udpBothWays(
  host: Host,
  target: string,
  size: number,
  rate: number,
  seconds: number,
): Promise<{ readonly packets: number; readonly lost: number }> {
  const how = ['-u', '-l', String(size), '-b', `${rate}M`, '-t', String(seconds)];
  const both = await Promise.all([run(host, target, how), run(host, target, ['--port', second, '--reverse', ...how])]);
  const sums = both.map(({ end }) => end.sum!);
  const add = (what: keyof Datagrams): number => sums.reduce((all, sum) => all + sum[what], 0);
  return { packets: add('packets'), lost: add('lost_packets') };
}

async function run(host: Host, target: string, how: readonly string[]): Promise<Report> {
  // A server is busy for a moment after its last client.
  for (let turn = 0; ; turn++) {
    const said = await host.run(['iperf3', '--json', '--client', target, '--connect-timeout', '3000', ...how], {
      timeoutMs: 60_000,
    });
    if (said.timedOut) throw new Error(`iperf3 to ${target} did not end`);
    const report = JSON.parse(said.stdout) as Report;
    if (report.error === undefined) return report;
    if (turn === 10) throw new Error(`iperf3 to ${target}: ${report.error}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
