import type { Plan } from '@aovpn/policy';
import { printRuleset } from '@aovpn/policy';
import { filterPlanOf, filterWorld, type FilterWorld } from './filter-world.ts';
import type { Measurement, Row, Side } from './row.ts';

const many = 10_000;
const sizes = [1, 1_000, many, 50_000] as const;

const textOf = (plan: Plan): string => printRuleset(plan, { appCgroups: new Map() });

/** From the printed ruleset to the kernel's answer, the start of nft included. */
export const filterLoad: Row = {
  id: 'B12',
  what: `filters: time to put ${many.toLocaleString('en')} in force, one transaction`,
  unit: 'ms',
  better: 'less',
  aim: { of: 'value', limit: 200 },
  rounds: 7,
  prepare: () =>
    measured((world) =>
      sizes.map((size): Side => {
        const text = textOf(filterPlanOf(size));
        return {
          name: `${size.toLocaleString('en')} filters`,
          kind: size === many ? 'ours' : 'reference',
          measure: () => world.load(text),
        };
      }),
    ),
};

/** One TCP stream through the filtered device, against the same with one filter. */
export const filterThroughput: Row = {
  id: 'B12-throughput',
  what: `filters: throughput of one TCP stream at ${many.toLocaleString('en')}, against one filter`,
  unit: 'Mbit/s',
  better: 'more',
  aim: { of: 'ratio', limit: 0.9 },
  rounds: 7,
  prepare: () =>
    measured((world) =>
      sizes.map((size): Side => {
        const text = textOf(filterPlanOf(size));
        return {
          name: `${size.toLocaleString('en')} filter${size === 1 ? '' : 's'}`,
          kind: size === many ? 'ours' : size === 1 ? 'peer' : 'reference',
          measure: async () => {
            await world.load(text);
            return world.throughput();
          },
        };
      }),
    ),
};

async function measured(sidesOf: (world: FilterWorld) => readonly Side[]): Promise<Measurement> {
  const world = await filterWorld();
  return { sides: sidesOf(world), [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() };
}
