import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  compilePlan,
  explain,
  lookUpRoute,
  planOfUser,
  printGuard,
  printPlan,
  type LiveTunnel,
  type Plan,
} from '../../src/index.ts';
import { address, at, facts, host, live, nameRule, prefix, profile, route } from '../sample.ts';

/** A tunnel that is one user's alone. */
function theirs(user: number, tunnel: LiveTunnel): LiveTunnel {
  return { ...tunnel, intent: { ...tunnel.intent, user } };
}
const native = (routingPolicyType: 'SplitTunnel' | 'ForceTunnel') =>
  ({
    nativeProfile: {
      at: { line: 2, column: 3 },
      routingPolicyType: at(routingPolicyType, 3),
      disableClassBasedDefaultRoute: at(true, 4),
    },
  }) as object;
const split = native('SplitTunnel');
const force = native('ForceTunnel');
const alice = 1001;
const bob = 1002;

const device = live(
  'Device',
  profile({ ...split, routes: [route('10.1.2.0/24', 10)], domainNameInformation: [nameRule('.ad.example', 14, ['10.1.2.3'])] }),
  { device: 'aov-device', addresses: [prefix('10.9.0.2/32')] },
);
const alices = theirs(
  alice,
  live(
    'alice/Corp',
    profile({
      ...split,
      routes: [route('10.0.0.0/8', 10)],
      domainNameInformation: [nameRule('.corp.example', 14, ['10.7.7.7'])],
    }),
    {
      device: 'aov-alice-corp',
      addresses: [prefix('10.9.0.3/32')],
    },
  ),
);
const bobs = theirs(
  bob,
  live('bob/Corp', profile({ ...force }), {
    device: 'aov-bob-corp',
    addresses: [prefix('10.9.0.3/32')],
    dns: [address('10.7.7.7')],
  }),
);

const plan = (...tunnels: readonly LiveTunnel[]): Plan => compilePlan({ tunnels, host: host() });
const wayOf = (of: Plan, to: string, uid: number): string => {
  const { path, route: taken } = lookUpRoute(of, address(to), 0, uid);
  return path === 'tunnel' ? taken!.device! : path;
};

suite('tunnels of one user', () => {
  test('carry that user’s traffic, and nobody else’s; the more specific route of a common tunnel counts for all', () => {
    const both = plan(device, alices, bobs);
    for (const [to, ways] of Object.entries({
      '10.5.5.5': { [alice]: 'aov-alice-corp', [bob]: 'aov-bob-corp', 1003: 'machine', 0: 'machine' },
      '10.1.2.9': { [alice]: 'aov-device', [bob]: 'aov-device', 1003: 'aov-device', 0: 'aov-device' },
      '198.51.100.7': { [alice]: 'machine', [bob]: 'aov-bob-corp', 1003: 'machine', 0: 'machine' },
      '192.168.1.7': { [alice]: 'machine', [bob]: 'aov-bob-corp', 1003: 'machine', 0: 'machine' },
      // Bob's tunnel has no IPv6.
      '2001:db8::7': { [alice]: 'machine', [bob]: 'unreachable', 1003: 'machine', 0: 'machine' },
    }))
      for (const [uid, way] of Object.entries(ways)) assert.equal(wayOf(both, to, Number(uid)), way, `${uid} to ${to}`);
  });

  test('names are that user’s; everybody’s are the user’s as well, unless the user has others', () => {
    const own = theirs(
      alice,
      live('alice/Corp', profile({ ...split, domainNameInformation: [nameRule('.ad.example', 14, ['10.7.7.7'])] }), {
        device: 'aov-alice-corp',
      }),
    );
    const { dns } = plan(device, own, bobs);
    assert.deepEqual(
      dns.rules.map(({ name, profile: of }) => [name, of]),
      [['.ad.example', 'Device']],
    );
    const [hers, his] = [alice, bob].map((user) => dns.users!.find((names) => names.user === user)!);
    assert.deepEqual(
      hers!.rules.map(({ name, profile: of }) => [name, of]),
      [['.ad.example', 'alice/Corp']],
    );
    assert.deepEqual(
      his!.rules.map(({ name, profile: of }) => [name, of]),
      [
        ['.', 'bob/Corp'],
        ['.ad.example', 'Device'],
      ],
    );
    assert.notEqual(hers!.port, his!.port);
  });

  test('nothing of them is everybody’s: no proxy, no registration, no search list, no persistent name', () => {
    const greedy = profile({
      ...split,
      registerDns: at(true, 3),
      dnsSuffix: at('evil.example', 4),
      domainNameInformation: [nameRule('.bank.example', 14, ['10.7.7.7'], { persistent: true })],
    } as never);
    const tunnel = theirs(alice, live('alice/Corp', greedy, { device: 'aov-alice-corp', dns: [address('10.7.7.7')] }));
    const up = plan(tunnel);
    assert.deepEqual(up.dns.rules, []);
    assert.deepEqual(up.dns.search, []);
    assert.deepEqual(up.dns.registrations, []);
    assert.equal(up.proxy, undefined);
    const down = compilePlan({ tunnels: [], idle: [tunnel.intent], host: host() });
    assert.deepEqual(down.dns.rules, []);
  });

  test('others are refused at the device, by whatever way they got there; and only the user’s questions are led', () => {
    const text = printGuard(plan(device, alices).tunnels);
    assert.match(text, /oifname "aov-alice-corp" goto to_scope_0/);
    const chain = /chain to_scope_0 \{\n(.*?)\n {2}\}/s
      .exec(text)![1]!
      .trim()
      .split('\n')
      .map((line) => line.trim());
    assert.match(chain[0]!, /^meta skuid 1001 ct mark set .* accept$/);
    assert.ok(chain.at(-1)!.includes('reject'), text);
    assert.doesNotMatch(text, /oifname "aov-device" goto/);
    assert.match(text, /iifname \{ "aov-alice-corp" \} counter drop/);
    assert.match(
      text,
      /meta skuid 1001 meta l4proto \{ tcp, udp \} th dport 53 ip daddr \{ 127\.0\.0\.0\/8, 192\.168\.1\.1 \} dnat ip to 127\.0\.0\.96:9[67]\d/,
    );
    assert.doesNotMatch(printGuard(plan(device).tunnels), /scope/);
  });

  test('the user’s resolvers by TLS are asked by our stub, at their port alone', () => {
    const resolver = { name: 'dns.corp.example', addresses: [address('10.7.7.8')], protocols: ['dot'] };
    const own = theirs(
      alice,
      live('alice/Corp', profile({ ...split }), {
        device: 'aov-alice-corp',
        addresses: [prefix('10.9.0.3/32')],
        dnsDomains: ['corp.example', 'lab.example'],
        encryptedDns: { use: 'strict', resolvers: [resolver] },
      }),
    );
    const compiled = plan(own);
    assert.deepEqual(
      compiled.dns.users?.[0]?.rules.map(({ name, encrypted }) => [name, encrypted?.length]),
      [
        ['.corp.example', 1],
        ['.lab.example', 1],
      ],
    );
    const lines = printGuard(compiled.tunnels)
      .split('\n')
      .filter((line) => line.includes('10.7.7.8'));
    assert.equal(lines.length, 1);
    assert.match(lines[0]!, /meta skuid 0 meta mark & 0x\w+ == 0x\w+ ip daddr 10\.7\.7\.8 tcp dport 853 ct mark set .* accept/);
    assert.doesNotMatch(printGuard(plan(alices).tunnels), /dport 853/);
  });

  test('a force tunnel of one user holds that user, and nobody else', () => {
    const text = printGuard(plan(bobs).tunnels);
    assert.match(text, /chain past_users \{[^}]*meta skuid 1002 jump past_1002/);
    assert.doesNotMatch(text, /chain past \{/);
  });

  test('with more users than there are ways the rest get in nowhere, and nobody else does', () => {
    const many = Array.from({ length: 16 }, (_, i) =>
      theirs(2000 + i, live(`u${i}/Corp`, profile({ ...split, routes: [route('10.0.0.0/8', 10)] }), { device: `aov-u${i}` })),
    );
    const all = plan(...many);
    const served = many.filter((_, i) => wayOf(all, '10.5.5.5', 2000 + i) === `aov-u${i}`).length;
    assert.equal(served, 14);
    for (const [i, { scope }] of all.tunnels.entries()) assert.equal(scope?.user, 2000 + Number(all.tunnels[i]!.device.slice(5)));
  });

  test('is explained as it is to each user', () => {
    const both = plan(device, alices);
    const toAlice = explain(planOfUser(both, alice), 'x.corp.example', [address('10.5.5.5')]);
    assert.equal(toAlice.dns?.connection, 'alice/Corp');
    assert.equal(toAlice.addresses[0]!.connection, 'alice/Corp');
    const toBob = explain(planOfUser(both, bob), 'x.corp.example', [address('10.5.5.5')]);
    assert.equal(toBob.dns?.via, 'physical');
    assert.equal(toBob.addresses[0]!.path, 'physical');
  });

  test('reads like everything else', () => {
    const text = printPlan(plan(device, alices));
    assert.match(text, /ip -4 rule add priority 7216 uidrange 1001-1001 lookup 73\d\d/);
    assert.match(text, /guard aov-alice-corp for user 1001 alone/);
    assert.match(
      text,
      /# names of user 1001, through our own stub resolver\nname \.corp\.example 10\.7\.7\.7 dev aov-alice-corp/,
    );
    assert.equal(facts().profile, 'Corp');
  });
});
