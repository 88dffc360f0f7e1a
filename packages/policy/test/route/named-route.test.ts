import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { compilePlan, explain, lookUpRoute, printPlan, type NamedAddresses, type Plan } from '../../src/index.ts';
import { address, at, host, live, nameRule, profile, route } from '../sample.ts';

const native = { at: { line: 10, column: 3 } };
const force = { ...native, routingPolicyType: at('ForceTunnel' as const, 12) };
const split = { ...native, routingPolicyType: at('SplitTunnel' as const, 12), disableClassBasedDefaultRoute: at(true, 14) };

function named(name: string, exclude: boolean, fromInside: boolean, ...texts: readonly string[]): NamedAddresses {
  return { name, exclude, fromInside, addresses: texts.map(address) };
}

function planOf(written: Parameters<typeof profile>[0], ...names: readonly NamedAddresses[]): Plan {
  return compilePlan({ tunnels: [live('Corp', profile(written), { names })], host: host() });
}

const pathOf = (plan: Plan, text: string): string => lookUpRoute(plan, address(text)).path;

suite('routes of names', () => {
  test('an included name goes into a split tunnel, and the plan and explain say so', () => {
    const plan = planOf({ nativeProfile: split }, named('app.example', false, false, '198.51.100.7'));
    assert.equal(pathOf(plan, '198.51.100.7'), 'tunnel');
    assert.equal(pathOf(plan, '198.51.100.8'), 'machine');
    assert.match(printPlan(plan), /198\.51\.100\.7\/32 dev aov0 .*# profile "Corp": include-names app\.example/);
    assert.ok(explain(plan, '198.51.100.7').addresses[0]!.steps.some(({ text }) => text.endsWith('include-names app.example')));
  });

  test('an excluded name stays outside of a force tunnel and of a Route', () => {
    assert.equal(
      pathOf(planOf({ nativeProfile: force }, named('media.example', true, false, '198.51.100.7')), '198.51.100.7'),
      'machine',
    );
    const wide = planOf(
      { nativeProfile: split, routes: [route('198.51.0.0/16', 20)] },
      named('media.example', true, false, '198.51.100.7'),
    );
    assert.equal(pathOf(wide, '198.51.100.7'), 'machine');
    assert.equal(pathOf(wide, '198.51.100.8'), 'tunnel');
  });

  test('an included name wins against an ExclusionRoute around it, and against the same name excluded', () => {
    const plan = planOf(
      { nativeProfile: force, routes: [route('198.51.100.0/24', 20, { exclude: true })] },
      named('app.example', false, true, '198.51.100.7'),
      named('app.example', true, true, '198.51.100.7'),
    );
    assert.equal(pathOf(plan, '198.51.100.7'), 'tunnel');
    assert.equal(pathOf(plan, '198.51.100.8'), 'machine');
  });

  test('a family that the tunnel does not carry is unreachable, not open', () => {
    const plan = planOf({ nativeProfile: split }, named('app.example', false, true, '2001:db8:99::7'));
    assert.equal(pathOf(plan, '2001:db8:99::7'), 'unreachable');
  });

  test('somebody outside cannot open what is inside by an answer', () => {
    const plan = planOf(
      {
        nativeProfile: force,
        routes: [route('10.0.0.0/8', 20)],
        domainNameInformation: [nameRule('.corp.example', 40, ['198.51.100.53'])],
      },
      named(
        'media.example',
        true,
        false,
        '10.20.0.80',
        '127.0.0.1',
        '0.0.0.0',
        '224.0.0.1',
        '169.254.169.254',
        '198.51.100.53',
        '10.9.0.2',
        'fd00::1',
        '203.0.113.80',
      ),
    );
    for (const text of ['10.20.0.80', '198.51.100.53', '203.0.113.81']) assert.equal(pathOf(plan, text), 'tunnel', text);
    assert.equal(pathOf(plan, '203.0.113.80'), 'machine');
    assert.equal(plan.routes.filter(({ because }) => because.why.startsWith('exclude-names')).length, 1);
    assert.equal(plan.problems.filter(({ code }) => code === 'AOV-POLICY-425').length, 8);
    assert.match(
      printPlan(plan),
      /warning AOV-POLICY-425 profile "Corp" exclude-names media\.example: .*10\.20\.0\.80: somebody outside said so, and it is private/,
    );
  });

  test('what the company itself says may be private', () => {
    const plan = planOf({ nativeProfile: force }, named('printer.corp.example', true, true, '10.20.0.80'));
    assert.equal(pathOf(plan, '10.20.0.80'), 'machine');
  });

  test('a name that does not resolve is a diagnostic and loses nothing', () => {
    const plan = planOf(
      { nativeProfile: force },
      { ...named('media.example', true, false, '198.51.100.7'), problem: 'no DNS server answers' },
    );
    assert.equal(pathOf(plan, '198.51.100.7'), 'machine');
    assert.deepEqual(
      plan.problems.map(({ code, path, message }) => [code, path, message.split(': ').at(-1)]),
      [['AOV-POLICY-424', 'exclude-names media.example', 'no DNS server answers']],
    );
  });
});
