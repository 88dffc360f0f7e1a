// What a hostile local network can make of itself, and what an administrator can exclude by mistake.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { formatPrefix, parsePrefix } from '@aovpn/bytes';
import { compilePlan, lookUpRoute, printGuard, resolveProfile, type Plan } from '../../src/index.ts';
import { address, at, facts, host, live, nameRule, prefix, profile, route } from '../sample.ts';

const native = { at: { line: 10, column: 3 } };
const force = { ...native, routingPolicyType: at('ForceTunnel' as const, 12) };
const split = { ...native, routingPolicyType: at('SplitTunnel' as const, 12), disableClassBasedDefaultRoute: at(true, 14) };

function planOn(
  localSubnets: readonly string[],
  written: Parameters<typeof profile>[0],
  more: Parameters<typeof facts>[0] = {},
): Plan {
  const tunnels = [live('Corp', profile(written), { addresses: [prefix('10.9.0.2/32'), prefix('fd00:9::2/128')], ...more })];
  return compilePlan({ tunnels, host: host({ localSubnets: localSubnets.map((text) => parsePrefix(text)!) }) });
}

function directOnes(plan: Plan): readonly string[] {
  return plan.routes
    .filter(({ kind, because }) => kind === 'throw' && /directly attached/.test(because.why))
    .map((one) => formatPrefix(one.prefix));
}

const codes = (plan: Plan): readonly string[] =>
  plan.problems.map(({ code, message }) => `${code} ${message.split(': ').slice(1).join(': ')}`);

suite('directly attached networks', () => {
  const withBypass = { byPassForLocal: at(true, 5), nativeProfile: force };
  test('force tunnel: none stays direct, and nobody is told', () => {
    const plan = planOn(['192.168.1.0/24', '93.184.216.0/24', 'fd12::/64'], { nativeProfile: force });
    assert.deepEqual(directOnes(plan), []);
    assert.deepEqual(codes(plan), []);
  });

  test('ByPassForLocal: private ones of a sensible size stay direct', () => {
    const plan = planOn(['192.168.1.0/24', '172.20.0.0/16', 'fd12::/64'], withBypass);
    assert.deepEqual(directOnes(plan), ['172.20.0.0/16', '192.168.1.0/24', 'fd12::/64']);
    assert.deepEqual(codes(plan), []);
  });

  test('ByPassForLocal: not those that could be somebody else’s', () => {
    const hostile = [
      '93.184.216.0/24',
      '10.0.0.0/8',
      '0.0.0.0/1',
      '2001:db8::/64',
      'fd00::/8',
      '10.20.0.0/24',
      '10.77.0.0/24',
      '10.9.0.0/24',
    ];
    const plan = planOn(hostile, {
      ...withBypass,
      routes: [route('10.20.0.0/16', 20)],
      domainNameInformation: [nameRule('.corp.example', 40, ['10.77.0.53'])],
    });
    assert.deepEqual(directOnes(plan), []);
    assert.deepEqual(codes(plan), [
      'AOV-POLICY-423 93.184.216.0/24: its addresses are not private',
      'AOV-POLICY-423 10.0.0.0/8: it is larger than a /16',
      'AOV-POLICY-423 0.0.0.0/1: its addresses are not private',
      'AOV-POLICY-423 2001:db8::/64: its addresses are not private',
      'AOV-POLICY-423 fd00::/8: it is larger than a /64',
      'AOV-POLICY-423 10.20.0.0/24: it overlaps 10.20.0.0/16, which is inside',
      'AOV-POLICY-423 10.77.0.0/24: it overlaps 10.77.0.53/32, which is inside',
      'AOV-POLICY-423 10.9.0.0/24: it overlaps 10.9.0.2/32, which is inside',
    ]);
    for (const text of ['93.184.216.34', '10.20.0.80', '10.77.0.53', '8.8.8.8'])
      assert.equal(lookUpRoute(plan, address(text)).path, 'tunnel', text);
  });

  test('split tunnel: a Route of the profile wins against a network inside it, with a diagnostic', () => {
    const plan = planOn(['10.20.0.0/24', '192.168.1.0/24'], { nativeProfile: split, routes: [route('10.0.0.0/8', 20)] });
    assert.deepEqual(directOnes(plan), []);
    assert.deepEqual(codes(plan), ['AOV-POLICY-422 10.20.0.0/24 lies in 10.0.0.0/8']);
    assert.equal(lookUpRoute(plan, address('10.20.0.80')).path, 'tunnel');
    assert.equal(lookUpRoute(plan, address('192.168.1.5')).path, 'machine');
  });

  test('split tunnel with ByPassForLocal: a more specific private network stays direct, one as large as the Route does not', () => {
    const plan = planOn(['192.168.1.0/24', '10.0.0.0/8', '198.51.100.0/25'], {
      byPassForLocal: at(true, 5),
      nativeProfile: split,
      routes: [route('192.168.0.0/16', 20), route('10.0.0.0/8', 25), route('198.51.100.0/24', 30)],
    });
    assert.deepEqual(directOnes(plan), ['192.168.1.0/24']);
    assert.deepEqual(codes(plan), [
      'AOV-POLICY-422 10.0.0.0/8 lies in 10.0.0.0/8',
      'AOV-POLICY-423 198.51.100.0/25: its addresses are not private',
    ]);
  });

  test('a network that an ExclusionRoute leaves outside is no problem', () => {
    const routes = [route('10.0.0.0/8', 20), route('10.20.0.0/16', 25, { exclude: true })];
    const plan = planOn(['10.20.0.0/24'], { nativeProfile: split, routes });
    assert.deepEqual(codes(plan), []);
    assert.equal(lookUpRoute(plan, address('10.20.0.80')).path, 'machine');
  });

  test('a router may advertise as many prefixes as it likes', () => {
    const many = Array.from({ length: 5000 }, (_, i) => `fd12:0:${(i >> 8).toString(16)}:${(i & 255).toString(16)}::/64`);
    assert.equal(directOnes(planOn(many, withBypass)).length, 64);
  });
});

suite('networks that end in this machine', () => {
  const on = (written: Parameters<typeof profile>[0]): Plan =>
    compilePlan({
      tunnels: [live('Corp', profile(written))],
      host: host({ localSubnets: [], ownSubnets: [prefix('172.17.0.0/16')] }),
    });

  test('stay direct under force tunnel, also without ByPassForLocal', () => {
    const plan = on({ nativeProfile: force });
    assert.equal(lookUpRoute(plan, address('172.17.0.2')).path, 'machine');
    assert.equal(lookUpRoute(plan, address('172.18.0.2')).path, 'tunnel');
    assert.deepEqual(codes(plan), []);
  });

  test('stay direct inside a wider Route, and go into the tunnel where a Route is as specific', () => {
    assert.equal(
      lookUpRoute(on({ nativeProfile: split, routes: [route('172.16.0.0/12', 20)] }), address('172.17.0.2')).path,
      'machine',
    );
    const plan = on({ nativeProfile: split, routes: [route('172.17.0.0/16', 20)] });
    assert.equal(lookUpRoute(plan, address('172.17.0.2')).path, 'tunnel');
    assert.deepEqual(codes(plan), ['AOV-POLICY-422 172.17.0.0/16 lies in 172.17.0.0/16']);
  });
});

suite('the gateway’s address', () => {
  test('is no way out for others: only what carries our mark goes there', () => {
    const plan = planOn([], { nativeProfile: force });
    assert.equal(lookUpRoute(plan, address('203.0.113.7')).path, 'tunnel');
    assert.equal(lookUpRoute(plan, address('203.0.113.7'), host().mark).path, 'machine');
  });
});

suite('exclusions of a force tunnel', () => {
  const resolve = (...routes: ReturnType<typeof route>[]) =>
    resolveProfile('Corp', profile({ nativeProfile: force, routes })).intent;
  const exclude = (text: string, line: number) => route(text, line, { exclude: true });

  test('that are everything do not count, and that is an error', () => {
    for (const everything of [
      [exclude('0.0.0.0/0', 20)],
      [exclude('0.0.0.0/1', 20), exclude('128.0.0.0/1', 25), exclude('192.0.2.0/24', 30)],
      [exclude('::/0', 20)],
      [exclude('8000::/1', 20), exclude('::/2', 25), exclude('4000::/2', 30)],
    ]) {
      const intent = resolve(...everything);
      assert.deepEqual(intent.exclusions, []);
      assert.deepEqual(
        intent.filterProblems.map(({ code, severity, at: { line } }) => [code, severity, line]),
        [['AOV-POLICY-421', 'error', 20]],
      );
    }
  });

  test('of one family leave those of the other, and all but one address is not everything', () => {
    const intent = resolve(exclude('0.0.0.0/0', 20), exclude('2001:db8::/32', 25));
    assert.deepEqual(
      intent.exclusions.map(({ prefix: one }) => formatPrefix(one)),
      ['2001:db8::/32'],
    );
    const most = resolve(exclude('128.0.0.0/1', 20), exclude('0.0.0.0/2', 25));
    assert.equal(most.exclusions.length, 2);
    assert.deepEqual(most.filterProblems, []);
  });

  test('of a split tunnel may be everything: then it carries nothing more than its routes', () => {
    const routes = [exclude('0.0.0.0/0', 20), route('10.0.0.0/8', 25)];
    const { intent } = resolveProfile('Corp', profile({ nativeProfile: split, routes }));
    assert.deepEqual(intent.filterProblems, []);
    const plan = compilePlan({ tunnels: [{ intent, facts: facts() }], host: host() });
    assert.equal(lookUpRoute(plan, address('10.1.1.1')).path, 'tunnel');
    assert.equal(lookUpRoute(plan, address('8.8.8.8')).path, 'machine');
  });
});

suite('guards', () => {
  test('name each address and gateway once', () => {
    const text = printGuard(planOn([], { nativeProfile: force }).tunnels);
    assert.match(text, /set own4 \{\n    type ipv4_addr\n    elements = \{ 10\.9\.0\.2 \}/);
    assert.match(text, /ip6 saddr @own6 counter reject/);
    assert.match(text, /arp daddr ip @own4 counter drop/);
    assert.match(text, /set via4 \{\n    type ipv4_addr\n    elements = \{ 203\.0\.113\.7 \}/);
    assert.match(text, /ip saddr @via4 meta mark set 0x0000616f/);
  });
});
