import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Profile, TrafficFilter } from '@aovpn/profile';
import { compilePlan, decidePacket, printRuleset, resolveProfile, type Plan } from '../../src/index.ts';
import { address, at, facts, host, prefix, profile } from '../sample.ts';

function planOf(trafficFilters: readonly TrafficFilter[]): Plan {
  const written: Profile = profile({ trafficFilters });
  const { intent } = resolveProfile('Corp', written);
  return compilePlan({
    tunnels: [{ intent, facts: facts({ addresses: [prefix('10.9.0.2/32'), prefix('fd00::2/128')] }) }],
    host: host(),
  });
}

const rulesetOf = (plan: Plan): string => printRuleset(plan, { appCgroups: new Map() });
/** Lines that a packet may have to pass: rules, not elements. */
const ruleCount = (ruleset: string): number =>
  ruleset.split('\n').filter((line) => / (accept|goto|jump|drop|return)\b/.test(line)).length;

const many = (count: number, build: (i: number) => Partial<TrafficFilter>): readonly TrafficFilter[] =>
  Array.from({ length: count }, (_, i): TrafficFilter => ({ at: { line: i + 1, column: 1 }, ...build(i) }));

suite('very many filters', () => {
  const count = 50_000;
  const hosts = (i: number): string => `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`;

  test('50,000 of the same kind: a handful of rules, and only so many as for ten', () => {
    const build = (i: number): Partial<TrafficFilter> => ({
      protocol: at(6),
      remotePortRanges: at([{ from: (i % 1000) + 1, to: (i % 1000) + 1 }]),
      remoteAddressRanges: at([hosts(i * 2)]),
    });
    const plan = planOf(many(count, build));
    const ruleset = rulesetOf(plan);
    assert.equal(ruleCount(ruleset), ruleCount(rulesetOf(planOf(many(10, build)))));
    assert.equal(ruleset.split('\n').filter((line) => /^ {6}10\./.test(line)).length, count);
    const packet = {
      device: 'aov0',
      direction: 'out',
      state: 'original',
      protocol: 6,
      local: address('10.9.0.2'),
      localPort: 40_000,
    } as const;
    assert.equal(decidePacket(plan, { ...packet, remote: address(hosts(49_999 * 2)), remotePort: 1000 }).rule?.number, count);
    assert.equal(decidePacket(plan, { ...packet, remote: address(hosts(49_999 * 2)), remotePort: 999 }).verdict, 'refuse');
  });

  test('made to overlap: prefixes in each other with ports across', () => {
    const plan = planOf(
      many(20_000, (i) => ({
        protocol: at(i % 2 === 0 ? 6 : 17),
        remotePortRanges: at([{ from: i % 60_000, to: Math.min(65_535, (i % 60_000) + 5000) }]),
        remoteAddressRanges: at([`10.${i % 256}.0.0/${8 + (i % 25)}`]),
      })),
    );
    // What does not fit into sets without overlap gets rules of its own: never more than filters.
    assert.ok(ruleCount(rulesetOf(plan)) < 20_000);
  });

  test('50,000, all wrong: what is said has a bound', () => {
    const plan = planOf(
      many(count, (i) => ({
        app: at({ id: `C:\\Program Files\\app${i}.exe`, type: 'FilePath' as const }),
        claims: at('nonsense'),
      })),
    );
    assert.ok(plan.problems.length > 100 && plan.problems.length < 500);
    assert.equal(plan.problems.filter(({ code }) => code === 'AOV-POLICY-417').length, 1);
    assert.deepEqual(
      plan.filters[0]!.rules.filter(({ number }) => number > 0),
      [],
    );
    assert.equal(plan.filters[0]!.unusable.length, count);
  });

  test('each with an app of its own', () => {
    const plan = planOf(many(5000, (i) => ({ app: at({ id: `/opt/app${i}/bin/app`, type: 'FilePath' as const }) })));
    assert.equal(plan.apps.length, 5000);
    const ruleset = printRuleset(plan, {
      appCgroups: new Map(plan.apps.map(({ key }) => [key, [{ path: `aovpn/${key}`, level: 2 }]])),
    });
    assert.equal(ruleset.match(/vmap \{ "aovpn/g)?.length, 1, 'one look-up for all of them');
  });

  test('lists that multiply get sets of their own', () => {
    const list = (n: number, text: (i: number) => string) => at(Array.from({ length: n }, (_, i) => text(i)));
    const ports = at(Array.from({ length: 200 }, (_, i) => ({ from: i * 3 + 1, to: i * 3 + 1 })));
    const plan = planOf([
      {
        at: { line: 1, column: 1 },
        protocol: at(6),
        localPortRanges: ports,
        remotePortRanges: ports,
        localAddressRanges: list(200, (i) => `10.9.${i}.0/25`),
        remoteAddressRanges: list(200, (i) => `10.1.${i}.0/25`),
      },
    ]);
    const ruleset = rulesetOf(plan);
    assert.ok(ruleset.length < 100_000, `${ruleset.length} characters`);
    assert.match(ruleset, /ip saddr @\S+ ip daddr @\S+ meta l4proto @\S+ th sport @\S+ th dport @\S+ goto admit/);
  });
});
