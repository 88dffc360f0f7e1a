import type { LiveTunnel } from '../compile-plan.ts';
import type { Because, HostFacts } from '../facts.ts';
import { gatewayServers } from './gateway-servers.ts';

/** What the profile's metric says about names that no rule covers. */
export interface OtherNames {
  readonly askTunnel: boolean;
  readonly because: Because;
}

/**
 * Whether the name servers of a split tunnel go before the machine's own for names without a rule: Windows asks those of the interface with
 * the lower metric. Only a metric that the profile writes counts; with automatic ones nobody has said anything.
 * @returns undefined: the profile says nothing, or the gateway gave no servers, or nothing is known of the machine's own network
 */
export function decideOtherNames({ intent, facts }: LiveTunnel, host: HostFacts): OtherNames | undefined {
  const [server] = gatewayServers(facts).servers;
  if (!server) return undefined;
  const family = server.family === 4 ? 'v4' : 'v6';
  const { value, because } = intent.interfaceMetric[family];
  const physical = host.physicalMetric?.[family];
  if (because.at === undefined || !physical) return undefined;
  const askTunnel = value < physical.value;
  const than = `the ${physical.value} of ${physical.device}`;
  const why = askTunnel
    ? `${because.why} is lower than ${than}: names without a rule are asked through the tunnel first`
    : `${because.why} is not lower than ${than}: names without a rule stay with the machine’s own servers`;
  return { askTunnel, because: { ...because, why } };
}

/** Lower bounds of the link speed in Mbit/s, and the metric. */
const wired = [
  [100_000, 5],
  [40_000, 10],
  [10_000, 15],
  [2000, 20],
  [200, 25],
  [80, 35],
  [20, 45],
  [4, 55],
  [0.5, 65],
  [0, 75],
] as const;
const wireless = [
  [2000, 25],
  [500, 30],
  [200, 35],
  [150, 40],
  [80, 45],
  [50, 50],
  [20, 55],
  [10, 60],
  [4, 65],
  [2, 70],
  [0, 75],
] as const;

/**
 * The metric that Windows gives a link by itself (Microsoft, "Automatic Metric feature for IPv4 routes", table of Windows 10), so that a
 * profile's metric is compared with the same numbers here as there.
 * @param megabits undefined when the kernel does not know
 */
export function automaticMetric(kind: 'wired' | 'wireless', megabits: number | undefined): number {
  if (megabits === undefined) return kind === 'wired' ? 25 : 45;
  const table = kind === 'wired' ? wired : wireless;
  return table.find(([from]) => megabits >= from)![1];
}
