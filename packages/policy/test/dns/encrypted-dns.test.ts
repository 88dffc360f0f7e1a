import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { formatAddress, fromHex } from '@aovpn/bytes';
import {
  compilePlan,
  diffPlan,
  explain,
  printPlan,
  whyNotAsked,
  type EncryptedDnsFacts,
  type Plan,
  type TunnelFacts,
} from '../../src/index.ts';
import { filter, profileWith } from '../filter/profile-text.ts';
import { address, at, facts, host, live, nameRule, profile } from '../sample.ts';

const split = profile({ nativeProfile: { at: { line: 10, column: 3 }, routingPolicyType: at('SplitTunnel' as const, 12) } });
const force = profile({ nativeProfile: { at: { line: 10, column: 3 }, routingPolicyType: at('ForceTunnel' as const, 12) } });
const resolver = { name: 'dns.corp.example', addresses: [address('10.0.0.54')], protocols: ['dot'] };
const encryptedDns = (more: Partial<EncryptedDnsFacts> = {}): EncryptedDnsFacts => ({
  use: 'strict',
  resolvers: [resolver],
  ...more,
});
const planOf = (tunnel: Partial<TunnelFacts>, written = split): Plan =>
  compilePlan({ tunnels: [live('Corp', written, { dnsDomains: ['corp.example'], ...tunnel })], idle: [], host: host() });
const clearOnes = [address('10.0.0.53')];

// RFC 9464 §4, RFC 8310 §5
suite('encrypted resolvers that a gateway names', () => {
  test('they alone are asked for its domains, with or without clear ones beside them', () => {
    for (const dns of [[], clearOnes]) {
      const [rule, ...others] = planOf({ dns, encryptedDns: encryptedDns() }).dns.rules;
      assert.equal(others.length, 0);
      assert.equal(rule!.name, '.corp.example');
      assert.deepEqual(rule!.servers.map(formatAddress), ['10.0.0.54']);
      assert.deepEqual(rule!.encrypted, [
        { address: address('10.0.0.54'), port: 853, name: 'dns.corp.example', proof: { kind: 'authorities' } },
      ]);
      assert.equal(rule!.clear, undefined);
    }
  });

  test('of a force tunnel they are asked for every name', () => {
    const rule = planOf({ dns: clearOnes, encryptedDns: encryptedDns() }, force).dns.rules.find(({ name }) => name === '.');
    assert.deepEqual(rule!.servers.map(formatAddress), ['10.0.0.54']);
    assert.equal(rule!.encrypted?.length, 1);
  });

  test('the settings permit clear ones behind them, and only those of the gateway', () => {
    const [rule] = planOf({ dns: clearOnes, encryptedDns: encryptedDns({ use: 'fallback' }) }).dns.rules;
    assert.deepEqual(rule!.servers.map(formatAddress), ['10.0.0.54', '10.0.0.53']);
    assert.deepEqual(rule!.clear?.map(formatAddress), ['10.0.0.53']);
    const [without] = planOf({ encryptedDns: encryptedDns({ use: 'fallback' }) }).dns.rules;
    assert.equal(without!.clear, undefined);
  });

  test('digests go before authorities; ports and the order of the gateway are kept', () => {
    const digests = [{ hash: 'sha256' as const, octets: fromHex('ab'.repeat(32)) }];
    const resolvers = [{ ...resolver, port: 8853, digests, addresses: [address('10.0.0.55'), address('10.0.0.54')] }, resolver];
    const [rule] = planOf({ encryptedDns: encryptedDns({ resolvers, authorities: 'PEM' }) }).dns.rules;
    assert.deepEqual(
      rule!.encrypted?.map((server) => [formatAddress(server.address), server.port, server.proof]),
      [
        ['10.0.0.55', 8853, { kind: 'digests', digests }],
        ['10.0.0.54', 8853, { kind: 'digests', digests }],
        ['10.0.0.54', 853, { kind: 'authorities', pem: 'PEM' }],
      ],
    );
  });

  test('where none can be used the clear ones are asked, and each says why', () => {
    const cases = [
      [encryptedDns({ use: 'off' }), /off/],
      [encryptedDns({ resolvers: [{ ...resolver, protocols: ['h2', 'h3'] }] }), /speaks h2, h3/],
      [encryptedDns({ resolvers: [{ ...resolver, protocols: [] }] }), /which protocol/],
      [encryptedDns({ resolvers: [{ ...resolver, addresses: [address('fd00::54')] }] }), /family/],
    ] as const;
    for (const [given, why] of cases) {
      const tunnel = { dns: clearOnes, encryptedDns: given };
      const [rule] = planOf(tunnel).dns.rules;
      assert.deepEqual(rule!.servers.map(formatAddress), ['10.0.0.53']);
      assert.equal(rule!.encrypted, undefined);
      assert.match(whyNotAsked(given.resolvers[0]!, facts(tunnel)) ?? '', why);
      assert.deepEqual(planOf({ encryptedDns: given }).dns.rules, [], 'nor anybody where there are none');
    }
  });

  test('what the profile says of servers wins', () => {
    const written = { ...split, domainNameInformation: [nameRule('.corp.example', 20, ['10.0.0.99'])] };
    const [rule] = planOf({ dns: clearOnes, encryptedDns: encryptedDns() }, written).dns.rules;
    assert.deepEqual(rule!.servers.map(formatAddress), ['10.0.0.99']);
    assert.equal(rule!.encrypted, undefined);
  });

  test('not more than a few servers, each once', () => {
    const addresses = Array.from({ length: 60 }, (_, i) => address(`10.0.1.${Math.floor(i / 2)}`));
    const [rule] = planOf({ encryptedDns: encryptedDns({ resolvers: [{ ...resolver, addresses }] }) }).dns.rules;
    assert.equal(rule!.encrypted?.length, 16);
    assert.equal(new Set(rule!.servers.map(formatAddress)).size, 16);
  });

  test('they are routed into the tunnel, and printed', () => {
    const plan = planOf({ dns: clearOnes, encryptedDns: encryptedDns({ use: 'fallback' }) });
    const text = printPlan(plan);
    assert.match(text, /10\.0\.0\.54.* dev aov0/);
    assert.match(text, /name \.corp\.example 10\.0\.0\.54 \(TLS, dns\.corp\.example\) otherwise 10\.0\.0\.53 dev aov0/);
  });

  test('another proof or another name is a change of the plan', () => {
    const before = planOf({ encryptedDns: encryptedDns() });
    const change = (more: Partial<EncryptedDnsFacts>): number =>
      diffPlan(before, planOf({ encryptedDns: encryptedDns(more) })).filter(({ kind }) => kind === 'dns').length;
    assert.equal(change({}), 0);
    assert.equal(change({ authorities: 'PEM' }), 1);
    assert.equal(change({ resolvers: [{ ...resolver, name: 'other.example' }] }), 1);
    assert.equal(change({ resolvers: [{ ...resolver, digests: [{ hash: 'sha256', octets: fromHex('ab'.repeat(32)) }] }] }), 1);
  });

  test('explain says who is asked, how, and what must prove it', () => {
    const plan = planOf({ dns: clearOnes, encryptedDns: encryptedDns({ use: 'fallback', authorities: 'PEM' }) });
    const steps = explain(plan, 'web.corp.example').dns!.steps.map(({ text }) => text);
    assert.ok(steps.includes('asked 10.0.0.54 (TLS, dns.corp.example) through aov0'));
    assert.ok(steps.some((text) => /by TLS alone.*certificate for dns\.corp\.example from an authority of dns-ca/.test(text)));
    assert.ok(steps.some((text) => /in the clear \(encrypted-dns\): 10\.0\.0\.53/.test(text)));
  });

  test('apps with ForceTunnel, which ask by themselves and in the clear, are led to clear servers or to none', () => {
    const app = '<App><Id>/usr/bin/mail</Id></App>';
    const written = profileWith([filter(app, '<RoutingPolicyType>ForceTunnel</RoutingPolicyType>')]);
    const led = (dns: Plan['dns']['physical']): readonly string[] | undefined =>
      planOf({ dns, encryptedDns: encryptedDns() }, written).apps[0]?.force?.dns?.map(formatAddress);
    assert.deepEqual(led(clearOnes), ['10.0.0.53']);
    assert.ok((led([]) ?? []).length === 0);
    assert.deepEqual(
      planOf({ dns: clearOnes }, written).apps[0]?.force?.dns?.map(formatAddress),
      ['10.0.0.53'],
      'as without encrypted ones',
    );
  });

  test('RegisterDNS, which is plain DNS, goes to clear servers or says that there are none', () => {
    const written = { ...split, registerDns: at(true, 8) };
    const plan = (dns: Plan['dns']['physical']): Plan => planOf({ dns, encryptedDns: encryptedDns() }, written);
    assert.deepEqual(plan(clearOnes).dns.registrations[0]?.servers.map(formatAddress), ['10.0.0.53']);
    assert.deepEqual(plan([]).dns.registrations, []);
    assert.ok(plan([]).problems.some(({ path }) => path === 'VPNProfile/RegisterDNS'));
  });

  test('filters let the machine’s resolver there by TLS alone', () => {
    const filtered = profileWith([filter('<Protocol>6</Protocol>', '<RemotePortRanges>443</RemotePortRanges>')]);
    const plan = planOf({ dns: clearOnes, encryptedDns: encryptedDns() }, filtered);
    const implied = plan.filters.flatMap(({ rules }) => rules).filter(({ number }) => number === 0);
    assert.deepEqual(
      implied.map((rule) => [rule.protocol, rule.remotePorts, rule.remote?.map(({ from }) => formatAddress(from))]),
      [[6, [{ from: 853, to: 853 }], ['10.0.0.54']]],
    );
  });
});
