import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { addressFromBytes, formatPrefix, parsePrefix, prefixContains, type IpAddress, type IpPrefix } from '@aovpn/bytes';
import fc from 'fast-check';
import {
  compileNameMatcher,
  compilePlan,
  diffPlan,
  emptyPlan,
  explain,
  isWithin,
  lookUpRoute,
  printChanges,
  printPlan,
  routeKey,
  ruleKey,
  type LiveTunnel,
  type Plan,
  type PlanChange,
} from '../src/index.ts';
import { address, at, host, live, nameRule, profile, route } from './sample.ts';

// Few bits vary, so that prefixes nest and collide often.
const v4 = fc
  .tuple(fc.constantFrom(10, 192, 203), fc.integer({ min: 0, max: 3 }), fc.constantFrom(0, 113), fc.constantFrom(1, 7, 53))
  .map((octets) => addressFromBytes(Uint8Array.from(octets)));
const v6 = fc
  .tuple(fc.constantFrom(0x20, 0xfd), fc.integer({ min: 0, max: 3 }))
  .map(([first, last]) => addressFromBytes(Uint8Array.from([first, 1, ...Array.from({ length: 13 }, () => 0), last])));
const anyAddress = fc.oneof(v4, v6);
const anyPrefix = fc
  .tuple(anyAddress, fc.constantFrom(0, 7, 8, 16, 24, 32))
  .map(([one, length]): IpPrefix => ({ address: one, length: one.family === 6 && length === 32 ? 128 : length }));

const anyProfile = fc
  .record({
    force: fc.boolean(),
    bypass: fc.boolean(),
    device: fc.boolean(),
    classBased: fc.boolean(),
    plumb: fc.boolean(),
    metric: fc.constantFrom(undefined, 1, 25, 50),
    routes: fc.array(fc.tuple(anyPrefix, fc.boolean(), fc.constantFrom(1, 2, 5000)), { maxLength: 5 }),
    rules: fc.array(fc.tuple(fc.constantFrom('.', '.a', '.b.a', 'x.b.a', 'y'), fc.array(v4, { maxLength: 2 })), { maxLength: 4 }),
  })
  .map((wish) =>
    profile({
      deviceTunnel: at(wish.device, 2),
      byPassForLocal: at(wish.bypass, 3),
      ...(wish.metric === undefined ? {} : { ipv4InterfaceMetric: at(wish.metric, 4), ipv6InterfaceMetric: at(wish.metric, 5) }),
      nativeProfile: {
        at: { line: 6, column: 1 },
        routingPolicyType: at(wish.force ? 'ForceTunnel' : 'SplitTunnel', 7),
        disableClassBasedDefaultRoute: at(!wish.classBased, 8),
        plumbIkev2TsAsRoutes: at(wish.plumb, 9),
      },
      routes: wish.routes.map(([prefix, exclude, metric], i) => route(formatPrefix(prefix), 10 + i, { exclude, metric })),
      domainNameInformation: wish.rules.map(([name, servers], i) =>
        nameRule(
          name,
          40 + i,
          servers.map((server) => server.bytes.join('.')),
        ),
      ),
    }),
  );

const anyTunnel = (name: string, device: string): fc.Arbitrary<LiveTunnel> =>
  fc
    .record({
      written: anyProfile,
      inner: fc.constantFrom(['10.1.0.7/32'], ['10.2.0.7/24', 'fd01::3/64'], ['fd01::2/128']),
      gateway: anyAddress,
      dns: fc.array(v4, { maxLength: 1 }),
      selectors: fc.array(anyPrefix, { maxLength: 2 }),
    })
    .map(({ written, inner, gateway, dns, selectors }) =>
      live(name, written, {
        device,
        addresses: inner.map((text) => parsePrefix(text)!),
        gateway,
        dns,
        remoteSelectors: selectors,
      }),
    );
const anyPlan: fc.Arbitrary<Plan> = fc
  .tuple(
    fc.subarray(['A', 'B', 'C']),
    anyTunnel('A', 'aov0'),
    anyTunnel('B', 'aov1'),
    anyTunnel('C', 'aov2'),
    fc.array(anyPrefix, { maxLength: 2 }),
  )
  .map(([names, a, b, c, localSubnets]) =>
    compilePlan({
      tunnels: [a, b, c].filter(({ intent }) => names.includes(intent.name)),
      host: host({
        localSubnets: localSubnets.map(({ address: one, length }) => parsePrefix(formatPrefix({ address: one, length }))!),
      }),
    }),
  );

/** The kernel as a reader of the printed commands would understand it; knows nothing of Plan. */
function kernel(text: string, destination: IpAddress, mark: number): string {
  const words = text.split('\n').map((line) => line.replace(/ *#.*/, '').split(' '));
  const mine = (line: string[], object: string): boolean =>
    line[0] === 'ip' && line[1] === `-${destination.family}` && line[2] === object;
  const after = (line: string[], word: string): string | undefined =>
    line.includes(word) ? line[line.indexOf(word) + 1] : undefined;
  const rules = words
    .filter((line) => mine(line, 'rule'))
    .sort((a, b) => Number(after(a, 'priority')) - Number(after(b, 'priority')));
  for (let i = 0; i < rules.length; i++) {
    const rule = rules[i]!;
    const wanted = after(rule, 'fwmark');
    if (wanted !== undefined && Number(wanted) !== mark) continue;
    const target = after(rule, 'goto');
    if (target !== undefined) {
      i = rules.findIndex((other) => after(other, 'priority') === target) - 1;
      continue;
    }
    if (after(rule, 'lookup') === undefined) continue;
    const routes = words
      .filter((line) => mine(line, 'route'))
      .map((line) => {
        const kind = line[4] === 'throw' || line[4] === 'unreachable' ? line[4] : 'dev';
        const written = kind === 'dev' ? line[4]! : line[5]!;
        const prefix = parsePrefix(written === 'default' ? (destination.family === 4 ? '0.0.0.0/0' : '::/0') : written)!;
        return { prefix, verdict: kind === 'dev' ? after(line, 'dev')! : kind, metric: Number(after(line, 'metric')) };
      })
      .filter(({ prefix }) => prefixContains(prefix, destination))
      .sort((a, b) => b.prefix.length - a.prefix.length || a.metric - b.metric);
    const best = routes[0];
    if (best && best.verdict !== 'throw') return best.verdict;
  }
  return 'main';
}

function verdict(plan: Plan, destination: IpAddress, mark: number): string {
  const { path, route: deciding } = lookUpRoute(plan, destination, mark);
  return path === 'tunnel' ? deciding!.device! : path === 'machine' ? 'main' : 'unreachable';
}

function applyChange(plan: Plan, change: PlanChange): Plan {
  const put = <T>(items: readonly T[], key: (item: T) => string, item: T, op: string): T[] => {
    const exists = items.some((one) => key(one) === key(item));
    assert.equal(exists, op !== 'add', `${op} of ${key(item)}`);
    const rest = items.filter((one) => key(one) !== key(item));
    return op === 'remove' ? rest : [...rest, item];
  };
  switch (change.kind) {
    case 'route':
      return { ...plan, routes: put(plan.routes, routeKey, change.route, change.op) };
    case 'rule':
      return { ...plan, rules: put(plan.rules, ruleKey, change.rule, change.op) };
    case 'dns':
      return { ...plan, dns: change.dns };
    case 'guard':
      return plan;
    case 'tunnel':
      return {
        ...plan,
        tunnels: put(
          plan.tunnels,
          ({ device }) => device,
          { ...change.tunnel, addresses: plan.tunnels.find(({ device }) => device === change.tunnel.device)?.addresses ?? [] },
          change.op,
        ),
      };
    case 'address': {
      const tunnels = plan.tunnels.map((tunnel) =>
        tunnel.device === change.device
          ? { ...tunnel, addresses: put(tunnel.addresses, formatPrefix, change.address, change.op) }
          : tunnel,
      );
      return { ...plan, tunnels };
    }
  }
}

suite('plans, any of them', () => {
  test('the routing model and explain agree with the kernel’s reading of the printed plan', () => {
    fc.assert(
      fc.property(anyPlan, anyAddress, fc.constantFrom(0, 0x616f, 1), (plan, destination, mark) => {
        const text = printPlan(plan);
        assert.equal(verdict(plan, destination, mark), kernel(text, destination, mark));
        const explained = explain(plan, destination).addresses[0]!;
        const expected = kernel(text, destination, 0);
        assert.equal(
          explained.path === 'tunnel' ? explained.device : explained.path === 'physical' ? 'main' : 'unreachable',
          expected,
        );
        assert.ok(explained.steps.length > 0);
      }),
      { numRuns: 500 },
    );
  });

  test('nothing marked with our mark ever enters a tunnel; where there are no marks, nothing for a gateway does', () => {
    fc.assert(
      fc.property(
        fc.array(anyTunnel('A', 'aov0'), { minLength: 1, maxLength: 1 }),
        anyTunnel('B', 'aov1'),
        anyAddress,
        (some, other, destination) => {
          const tunnels = [...some, other];
          const plan = compilePlan({ tunnels, host: host() });
          assert.equal(verdict(plan, destination, 0x616f), 'main');
          const unmarked = compilePlan({ tunnels, host: host({ mark: 0 }) });
          for (const { facts } of tunnels) assert.equal(verdict(unmarked, facts.gateway, 0), 'main');
        },
      ),
      { numRuns: 200 },
    );
  });

  test('under force tunnel only what the plan names stays outside', () => {
    fc.assert(
      fc.property(anyPlan, anyAddress, (plan, destination) => {
        const { family } = destination;
        if (
          !plan.routes.some(
            ({ kind, prefix }) => kind === 'unreachable' && prefix.length === 0 && prefix.address.family === family,
          )
        )
          return;
        const { path, route: deciding } = lookUpRoute(plan, destination);
        if (path === 'machine') assert.equal(deciding?.kind, 'throw');
      }),
      { numRuns: 300 },
    );
  });

  test('routes have distinct keys, and every one of them names its profile and line', () => {
    fc.assert(
      fc.property(anyPlan, (plan) => {
        assert.equal(new Set(plan.routes.map(routeKey)).size, plan.routes.length);
        for (const { because } of plan.routes) assert.ok(because.at && because.profile !== '');
      }),
      { numRuns: 300 },
    );
  });

  test('the order of tunnels in the input does not matter', () => {
    fc.assert(
      fc.property(anyTunnel('A', 'aov0'), anyTunnel('B', 'aov1'), (a, b) => {
        assert.equal(
          printPlan(compilePlan({ tunnels: [a, b], host: host() })),
          printPlan(compilePlan({ tunnels: [b, a], host: host() })),
        );
      }),
      { numRuns: 100 },
    );
  });

  test('the difference applied is the target; every moment between looks like one of both ends; no change twice', () => {
    fc.assert(
      fc.property(
        anyPlan,
        anyPlan,
        fc.array(fc.tuple(anyAddress, fc.constantFrom(0, 0x616f)), { minLength: 4, maxLength: 4 }),
        (from, to, probes) => {
          const changes = diffPlan(from, to);
          let now = from;
          for (const change of changes) {
            now = applyChange(now, change);
            for (const [probe, mark] of probes) {
              const seen = verdict(now, probe, mark);
              assert.ok(
                seen === verdict(from, probe, mark) || seen === verdict(to, probe, mark),
                `${printChanges(changes)}at ${printChanges([change])}${seen}`,
              );
            }
          }
          assert.equal(printChanges(diffPlan(now, to)), '');
          assert.equal(printChanges(diffPlan(to, now)), '');
          const firstRemoval = changes.findIndex(({ op }) => op === 'remove');
          if (firstRemoval >= 0) assert.ok(changes.slice(firstRemoval).every(({ op }) => op === 'remove'));
        },
      ),
      { numRuns: 300 },
    );
  });

  test('from nothing and back to nothing', () => {
    fc.assert(
      fc.property(anyPlan, (plan) => {
        const up = diffPlan(emptyPlan, plan).reduce(applyChange, emptyPlan);
        const down = diffPlan(up, emptyPlan).reduce(applyChange, up);
        assert.deepEqual([down.routes, down.rules, down.tunnels, down.dns.rules], [[], [], [], []]);
      }),
      { numRuns: 100 },
    );
  });

  test('the name matcher agrees with going through all rules', () => {
    const label = fc.constantFrom('a', 'b', 'corp', 'x');
    const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'));
    const ruleName = fc.oneof(
      name,
      name.map((one) => `.${one}`),
      fc.constant('.'),
    );
    fc.assert(
      fc.property(fc.uniqueArray(ruleName, { maxLength: 8 }), name, (names, asked) => {
        const rules = names.map((one) => ({ name: one }));
        const suffixes = rules
          .filter((rule) => rule.name.startsWith('.') && rule.name !== '.' && isWithin(asked, rule.name.slice(1)))
          .sort((a, b) => b.name.length - a.name.length);
        const expected = rules.find((rule) => rule.name === asked) ?? suffixes[0] ?? rules.find((rule) => rule.name === '.');
        assert.equal(compileNameMatcher(rules)(asked), expected);
      }),
    );
  });

  test('a marked-free machine still keeps the gateway outside', () => {
    const plan = compilePlan({
      tunnels: [live('A', profile({ nativeProfile: { at: { line: 1, column: 1 }, routingPolicyType: at('ForceTunnel') } }))],
      host: host({ mark: 0 }),
    });
    assert.equal(verdict(plan, address('203.0.113.7'), 0), 'main');
    assert.equal(verdict(plan, address('203.0.113.8'), 0), 'aov0');
  });
});
