import { parseAddress, type IpAddress } from '@aovpn/bytes';
import { printLockdown, printLockdownRemoval, type LockdownPlan } from '@aovpn/policy';
import { filterWorld, type FilterWorld } from './filter-world.ts';
import type { Measurement, Row, Side } from './row.ts';

/** As many places of gateways and name servers as a plan ever has; the device of the world stands for the tunnel. */
const plan: LockdownPlan = {
  because: [{ profile: 'bench', at: { line: 5, column: 1 }, why: 'LockDown' }],
  devices: ['aov0'],
  gateways: addresses('203.0.113', 16).map((address) => ({ address, port: 4500 })),
  resolvers: addresses('198.51.100', 4),
  mark: 1,
};

/** From the printed ruleset to the kernel's answer, the start of nft included. */
export const lockdownLoad: Row = {
  id: 'B12-lockdown-load',
  what: 'LockDown: time to change it, one transaction',
  unit: 'ms',
  better: 'less',
  aim: { of: 'value', limit: 200 },
  rounds: 15,
  prepare: () =>
    measured((world) => [
      { name: 'put in force', kind: 'reference', measure: () => world.load(printLockdown(plan, 'replace', 0)) },
      { name: 'changed', kind: 'ours', measure: () => world.load(printLockdown(plan, 'refresh', 0)) },
    ]),
};

/** One TCP stream through the tunnel's device while LockDown is in force, against the same without it. */
export const lockdownThroughput: Row = {
  id: 'B12-lockdown-throughput',
  what: 'LockDown: throughput of one TCP stream through the tunnel, against none',
  unit: 'Mbit/s',
  better: 'more',
  aim: { of: 'ratio', limit: 0.9 },
  rounds: 9,
  prepare: () =>
    measured((world) => {
      const sideOf = (name: string, kind: Side['kind'], text: string): Side => ({
        name,
        kind,
        measure: async () => {
          await world.load(text);
          return world.throughput();
        },
      });
      return [
        sideOf('no LockDown', 'peer', printLockdownRemoval()),
        sideOf('LockDown', 'ours', printLockdown(plan, 'replace', 0)),
      ];
    }),
};

function addresses(network: string, count: number): IpAddress[] {
  return Array.from({ length: count }, (_, i) => parseAddress(`${network}.${i + 1}`)!);
}

async function measured(sidesOf: (world: FilterWorld) => readonly Side[]): Promise<Measurement> {
  const world = await filterWorld();
  return { sides: sidesOf(world), [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() };
}
