import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { formatAddress } from '@aovpn/bytes';
import type { Profile } from '@aovpn/profile';
import { automaticMetric, compilePlan, explain, printPlan, type Plan } from '../../src/index.ts';
import { address, at, host, live, nameRule, prefix, profile, route } from '../sample.ts';

const split = {
  at: { line: 10, column: 1 },
  routingPolicyType: at('SplitTunnel' as const, 12),
  disableClassBasedDefaultRoute: at(true, 13),
};
const force = { at: { line: 10, column: 1 }, routingPolicyType: at('ForceTunnel' as const, 12) };
const eth0 = { v4: { device: 'eth0', value: 25 }, v6: { device: 'eth0', value: 25 } };
const inside = { dns: [address('10.0.0.53')], remoteSelectors: [prefix('0.0.0.0/0')] };

function names(plan: Plan): readonly string[] {
  return plan.dns.rules.map(
    ({ name, servers, profile: of, otherwise }) =>
      `${name} ${servers.map(formatAddress).join(' ')} ${of}${otherwise ? ` otherwise ${otherwise}` : ''}`,
  );
}

suite('rules of several tunnels', () => {
  const written = (line: number, more: Partial<Profile> = {}): Profile =>
    profile({ nativeProfile: split, domainNameInformation: [nameRule('.corp.example', line, ['10.0.0.53'])], ...more });
  const first = (a: Profile, b: Profile): readonly (readonly [string, string])[] => {
    const plan = compilePlan({
      tunnels: [live('B', b, { ...inside, device: 'aov1' }), live('A', a, { ...inside, device: 'aov0' })],
      host: host(),
    });
    const rule = plan.dns.rules.find(({ name }) => name === '.corp.example')!;
    return [[rule.profile, rule.instead[0]!.reason]];
  };

  test('the winner and why, by metric, by kind, by name', () => {
    assert.deepEqual(first(written(20), written(30, { ipv4InterfaceMetric: at(3, 8) })), [
      ['B', 'its interface metric is 3, the other one’s 25'],
    ]);
    assert.deepEqual(first(written(20, { ipv6InterfaceMetric: at(30, 8) }), written(30)), [
      ['B', 'its interface metric is 25, the other one’s 30'],
    ]);
    assert.deepEqual(first(written(20, { deviceTunnel: at(true, 3) }), written(30)), [
      ['B', 'equal interface metrics, and a user tunnel goes before a device tunnel'],
    ]);
    assert.deepEqual(first(written(20), written(30)), [
      ['A', 'equal interface metrics, and "A" comes before "B" in the alphabet'],
    ]);
  });

  test('explain and the printed plan say it too, with the line of the loser; wider rules that are not asked are named', () => {
    const plan = compilePlan({
      tunnels: [
        live('A', written(20), { ...inside, device: 'aov0' }),
        live(
          'B',
          written(30, {
            domainNameInformation: [nameRule('.corp.example', 30, ['10.1.0.53']), nameRule('.example', 40, ['10.1.0.53'])],
          }),
          {
            ...inside,
            device: 'aov1',
          },
        ),
      ],
      host: host(),
    });
    const reason = 'equal interface metrics, and "A" comes before "B" in the alphabet';
    assert.ok(printPlan(plan).includes(`# not .corp.example of profile "B" line 30: DomainNameInformation: ${reason}\n`));
    const steps = explain(plan, 'web.corp.example').dns!.steps;
    assert.deepEqual(steps[1], { text: `preferred over .corp.example of B: ${reason}`, profile: 'B', line: 30 });
    assert.deepEqual(steps[2], { text: 'more specific than .example of B, which is not asked', profile: 'B', line: 40 });
  });

  test('a rule written twice: the first counts, and the second is shown', () => {
    const twice = [nameRule('.corp.example', 20, ['10.0.0.53']), nameRule('.Corp.example.', 30, ['10.0.0.54'])];
    const plan = compilePlan({ tunnels: [live('A', written(1, { domainNameInformation: twice }), inside)], host: host() });
    const [rule] = plan.dns.rules;
    assert.deepEqual(rule!.servers.map(formatAddress), ['10.0.0.53']);
    assert.deepEqual([rule!.instead[0]!.because.at!.line, rule!.instead[0]!.reason], [30, 'it stands first in the profile']);
  });

  test('a persistent rule of a tunnel that is down loses against one that is up, whatever the metrics', () => {
    const down = live(
      'A',
      written(20, {
        ipv4InterfaceMetric: at(1, 8),
        domainNameInformation: [nameRule('.corp.example', 20, ['10.9.9.9'], { persistent: true })],
      }),
    );
    const plan = compilePlan({ tunnels: [live('B', written(30), inside)], idle: [down.intent], host: host() });
    const [rule] = plan.dns.rules;
    assert.deepEqual([rule!.profile, rule!.instead[0]!.reason], ['B', 'its tunnel is up, the other one’s is not']);
  });

  test('the order of the input does not matter', () => {
    const tunnels = ['C', 'A', 'B'].map((name, i) => live(name, written(20 + i), { ...inside, device: `aov${i}` }));
    assert.deepEqual(
      compilePlan({ tunnels, host: host() }).dns,
      compilePlan({ tunnels: tunnels.toReversed(), host: host() }).dns,
    );
  });
});

suite('names without a rule', () => {
  const withMetric = (metric: number | undefined, more: Partial<Profile> = {}): Profile =>
    profile({
      nativeProfile: split,
      domainNameInformation: [nameRule('.corp.example', 20, ['10.0.0.53'])],
      ...(metric === undefined ? {} : { ipv4InterfaceMetric: at(metric, 8) }),
      ...more,
    });
  const plan = (written: Profile, facts = inside, machine = host({ physicalMetric: eth0 })): Plan =>
    compilePlan({ tunnels: [live('Corp', written, facts)], host: machine });

  test('a metric below that of the physical link: the tunnel’s servers first, then the machine’s own', () => {
    const compiled = plan(withMetric(3));
    assert.deepEqual(names(compiled), ['.corp.example 10.0.0.53 Corp', '. 10.0.0.53 Corp otherwise physical']);
    assert.deepEqual(
      explain(compiled, 'www.example.org').dns!.steps.map(({ text }) => text),
      [
        'rule . matches: IPv4InterfaceMetric 3 is lower than the 25 of eth0: names without a rule are asked through the tunnel first',
        'asked 10.0.0.53 through aov0',
        'when they give no answer: 192.168.1.1 outside the tunnels',
      ],
    );
    assert.match(printPlan(compiled), /name \. 10\.0\.0\.53 otherwise 192\.168\.1\.1 dev aov0 /);
  });

  test('a metric that is not below: they stay where they are, and the plan says why', () => {
    const compiled = plan(withMetric(25));
    assert.deepEqual(names(compiled), ['.corp.example 10.0.0.53 Corp']);
    const why =
      'IPv4InterfaceMetric 25 is not lower than the 25 of eth0: names without a rule stay with the machine’s own servers';
    assert.deepEqual(explain(compiled, 'www.example.org').dns!.steps, [
      { text: `no name rule matches: ${why}`, profile: 'Corp', line: 8 },
    ]);
    assert.match(printPlan(compiled), /other names 192\.168\.1\.1 +# profile "Corp" line 8: IPv4InterfaceMetric 25/);
    // Also where nothing else says which names are inside.
    assert.deepEqual(names(plan(withMetric(30, { domainNameInformation: [] }))), []);
    assert.deepEqual(names(plan(withMetric(undefined, { domainNameInformation: [] }))), ['. 10.0.0.53 Corp']);
  });

  test('no metric in the profile, no servers from the gateway, nothing known of the link: nobody has said anything', () => {
    const before = ['.corp.example 10.0.0.53 Corp'];
    assert.deepEqual(names(plan(withMetric(undefined))), before);
    assert.deepEqual(names(plan(withMetric(3), { ...inside, dns: [] })), before);
    assert.deepEqual(names(plan(withMetric(3), inside, host())), before);
  });

  test('the metric of the family of the servers counts', () => {
    const v6 = { dns: [address('fd00::53')], remoteSelectors: [prefix('::/0')], addresses: [prefix('fd00::2/64')] };
    assert.equal(names(plan(withMetric(3), v6)).length, 1);
    assert.equal(names(plan(withMetric(undefined, { ipv6InterfaceMetric: at(3, 9) }), v6)).length, 2);
  });

  test('never takes names out of a force tunnel, however low the metric', () => {
    const compiled = compilePlan({
      tunnels: [
        live('Split', withMetric(1), { ...inside, device: 'aov0' }),
        live('Force', profile({ nativeProfile: force }), { ...inside, dns: [address('10.7.0.53')], device: 'aov1' }),
      ],
      host: host({ physicalMetric: eth0 }),
    });
    const all = compiled.dns.rules.find(({ name }) => name === '.')!;
    assert.deepEqual([all.profile, all.otherwise], ['Force', undefined]);
    assert.equal(all.instead[0]!.reason, 'the other one rests on an interface metric alone');
  });

  test('links have the metrics that Windows gives them', () => {
    assert.deepEqual(
      [undefined, 10_000, 1000, 100, 10].map((speed) => automaticMetric('wired', speed)),
      [25, 15, 25, 35, 55],
    );
    assert.deepEqual(
      [undefined, 866, 300, 54].map((speed) => automaticMetric('wireless', speed)),
      [45, 30, 35, 50],
    );
  });
});

suite('short names', () => {
  test('every domain of the search list in turn, with the rule that would answer', () => {
    const plan = compilePlan({
      tunnels: [
        live(
          'Corp',
          profile({
            nativeProfile: split,
            dnsSuffix: at(['corp.example', 'lab.example'], 4),
            domainNameInformation: [nameRule('.corp.example', 20, ['10.0.0.53']), nameRule('web', 30, ['10.0.0.54'])],
          }),
          { ...inside, dns: [] },
        ),
      ],
      host: host({ physicalSearch: ['home.example'] }),
    });
    const { servers, steps } = explain(plan, 'web').dns!;
    assert.deepEqual(servers, ['10.0.0.53']);
    assert.deepEqual(
      steps.slice(0, 2).map(({ text }) => text),
      [
        'short name: the search list makes it web.corp.example first',
        'if there is no such name, it is asked for as web.lab.example (no rule), web.home.example (no rule), web (web)',
      ],
    );
  });
});

suite('name servers that stay outside', () => {
  test('in an excluded network, or beyond the negotiated selectors: said once for each, with the line', () => {
    const written = profile({
      nativeProfile: split,
      routes: [route('10.0.0.0/8', 20), route('10.99.0.0/16', 30, { exclude: true })],
      domainNameInformation: [
        nameRule('.corp.example', 40, ['10.99.0.53', '10.0.0.53']),
        nameRule('.lab.example', 50, ['10.99.0.53']),
        nameRule('.far.example', 60, ['198.51.100.53']),
      ],
    });
    const { problems } = compilePlan({
      tunnels: [live('Corp', written, { remoteSelectors: [prefix('10.0.0.0/8')] })],
      host: host(),
    });
    assert.deepEqual(
      problems.map(({ code, at: place, message }) => [code, place.line, message.split(': ').at(-1)]),
      [
        ['AOV-POLICY-440', 30, '10.99.0.53 of .corp.example is in 10.99.0.0/16'],
        ['AOV-POLICY-441', 60, '198.51.100.53 of .far.example'],
      ],
    );
  });
});

suite('RegisterDNS', () => {
  const wanting = (line: number, more: Partial<Profile> = {}): Profile =>
    profile({ nativeProfile: split, registerDns: at(true, line), dnsSuffix: at(['corp.example'], 4), ...more });

  test('addresses, servers of the domain’s rule and of the gateway, the connection’s domain', () => {
    const plan = compilePlan({
      tunnels: [live('Corp', wanting(7, { domainNameInformation: [nameRule('.corp.example', 20, ['10.0.0.54'])] }), inside)],
      host: host(),
    });
    const [one] = plan.dns.registrations;
    assert.deepEqual(
      [one!.profile, one!.device, one!.addresses.map(formatAddress), one!.servers.map(formatAddress), one!.domain],
      ['Corp', 'aov0', ['10.9.0.2'], ['10.0.0.54', '10.0.0.53'], 'corp.example'],
    );
    assert.match(
      printPlan(plan),
      /register 10\.9\.0\.2 in corp\.example at 10\.0\.0\.54 10\.0\.0\.53 dev aov0 +# profile "Corp" line 7/,
    );
  });

  test('one tunnel only, the device tunnel before a better placed user tunnel; the other is told', () => {
    const plan = compilePlan({
      tunnels: [
        live('User', wanting(7, { ipv4InterfaceMetric: at(1, 8) }), { ...inside, device: 'aov0' }),
        live('Device', wanting(9, { deviceTunnel: at(true, 3) }), { ...inside, device: 'aov1' }),
      ],
      host: host(),
    });
    assert.deepEqual(
      plan.dns.registrations.map(({ profile: of }) => of),
      ['Device'],
    );
    assert.deepEqual(
      plan.problems.map(({ code, profile: of, at: place }) => [code, of, place.line]),
      [['AOV-POLICY-442', 'User', 7]],
    );
  });

  test('no server anywhere: nothing is registered, and that is said', () => {
    const plan = compilePlan({ tunnels: [live('Corp', wanting(7), { ...inside, dns: [] })], host: host() });
    assert.deepEqual(plan.dns.registrations, []);
    assert.deepEqual(
      plan.problems.map(({ code }) => code),
      ['AOV-POLICY-443'],
    );
  });
});
