import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import process from 'node:process';
import { parseAddress, parsePrefix } from '@aovpn/bytes';
import { compilePlan, resolveProfile, type Plan } from '@aovpn/policy';
import type { Profile, TrafficFilter } from '@aovpn/profile';

/** Two network namespaces joined by a wire that one of them takes for its tunnel. */
export interface FilterWorld extends AsyncDisposable {
  /** Puts a ruleset in force. @returns milliseconds */
  load(ruleset: string): Promise<number>;
  /** One TCP stream through the filtered device. @returns Mbit/s */
  throughput(): Promise<number>;
}

const device = 'aov0';
const far = '10.77.0.2';
const iperfPort = 5201;

let worlds = 0;

export async function filterWorld(): Promise<FilterWorld> {
  const id = `${process.pid}-${worlds++}`;
  const [near, other] = [`aovb-${id}-a`, `aovb-${id}-b`];
  let server: ChildProcess | undefined;
  const remove = (): void => {
    process.off('exit', remove);
    server?.kill('SIGKILL');
    for (const name of [near, other]) {
      try {
        ip('netns', 'del', name);
      } catch {
        // It was never made.
      }
    }
  };
  process.on('exit', remove);
  try {
    for (const name of [near, other]) ip('netns', 'add', name);
    ip('link', 'add', device, 'netns', near, 'type', 'veth', 'peer', 'name', 'wire', 'netns', other);
    for (const [name, link, address] of [
      [near, device, '10.77.0.1/24'],
      [other, 'wire', `${far}/24`],
    ] as const) {
      ip('-n', name, 'addr', 'add', address, 'dev', link);
      ip('-n', name, 'link', 'set', link, 'up');
    }
    server = spawn('ip', ['netns', 'exec', other, 'iperf3', '--server', '--forceflush'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(server.stdout!, 'data');
  } catch (error) {
    remove();
    throw error;
  }
  const inNear = (...command: readonly string[]): string[] => [`--net=/run/netns/${near}`, ...command];

  return {
    load: (ruleset) => {
      const started = performance.now();
      execFileSync('nsenter', inNear('nft', '-f', '-'), { input: ruleset, stdio: ['pipe', 'ignore', 'pipe'] });
      return Promise.resolve(performance.now() - started);
    },
    throughput: async () => {
      const client = spawn('nsenter', inNear('iperf3', '--client', far, '--time', '2', '--json'), {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const chunks: Buffer[] = [];
      client.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
      await once(client, 'close');
      const report = JSON.parse(Buffer.concat(chunks).toString()) as {
        readonly error?: string;
        readonly end: { readonly sum_received?: { readonly bits_per_second: number } };
      };
      if (!report.end.sum_received) throw new Error(`iperf3: ${report.error ?? 'no figure'}`);
      return report.end.sum_received.bits_per_second / 1e6;
    },
    [Symbol.asyncDispose]: () => {
      remove();
      return Promise.resolve();
    },
  };
}

/** The plan of a profile with so many filters, each another address and port; the last one lets the measured stream through. */
export function filterPlanOf(count: number): Plan {
  const located = <T>(value: T, line: number) => ({ value, at: { line, column: 1 } });
  const trafficFilters = Array.from({ length: count }, (_, i): TrafficFilter => {
    const last = i === count - 1;
    const port = last ? iperfPort : 1 + (i % 60_000);
    return {
      at: { line: 10 * i + 10, column: 1 },
      protocol: located(6, 10 * i + 11),
      remotePortRanges: located([{ from: port, to: port }], 10 * i + 12),
      remoteAddressRanges: located([last ? far : `10.${100 + (i >> 14)}.${(i >> 6) & 255}.${(i & 63) << 2}/30`], 10 * i + 13),
    };
  });
  const profile: Profile = { appTriggers: [], domainNameInformation: [], trafficFilters, routes: [], unknown: [] };
  const plan = compilePlan({
    tunnels: [
      {
        intent: resolveProfile('bench', profile).intent,
        facts: {
          profile: 'bench',
          device,
          mtu: 1400,
          addresses: [parsePrefix('10.77.0.1/32')!],
          dns: [],
          dnsDomains: [],
          subnets: [],
          remoteSelectors: [],
          gateway: parseAddress('203.0.113.2')!,
        },
      },
    ],
    host: { resolver: 'stub', physicalDns: [], mark: 1 },
  });
  if (plan.filters[0]?.rules.length !== count) throw new Error('the plan has not all filters');
  return plan;
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
