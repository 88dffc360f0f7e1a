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

interface Report {
  readonly end: {
    readonly sum_received?: { readonly bits_per_second: number; readonly bytes: number };
    readonly sum?: { readonly packets: number; readonly lost_packets: number; readonly seconds: number };
  };
  readonly error?: string;
}

/** Starts an iperf3 server; it ends with the world. */
export async function startIperfServer(host: Host): Promise<void> {
  const server = host.spawn(['iperf3', '--server', '--forceflush'], { name: 'iperf3' });
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
