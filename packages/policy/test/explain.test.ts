import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { compilePlan, emptyPlan, explain, leakPromise, policyDivergences, resolveProfile } from '../src/index.ts';
import { address, at, host, live, nameRule, profile, route } from './sample.ts';

const corp = live(
  'Corp',
  profile({
    dnsSuffix: at(['corp.example'], 4),
    nativeProfile: {
      at: { line: 10, column: 1 },
      routingPolicyType: at('SplitTunnel', 12),
      disableClassBasedDefaultRoute: at(true, 13),
    },
    routes: [route('10.0.0.0/8', 20), route('10.99.0.0/16', 30, { exclude: true })],
    domainNameInformation: [
      nameRule('.corp.example', 40, ['10.0.0.53']),
      nameRule('vpn.corp.example', 50),
      nameRule('.far.example', 60, ['198.51.100.53']),
    ],
  }),
  { remoteSelectors: [{ address: address('10.0.0.0'), length: 8 }] },
);
const plan = compilePlan({ tunnels: [corp], host: host() });

suite('explain', () => {
  test('an address in a route', () => {
    assert.deepEqual(explain(plan, address('10.1.2.3')), {
      target: '10.1.2.3',
      addresses: [
        {
          address: '10.1.2.3',
          path: 'tunnel',
          connection: 'Corp',
          device: 'aov0',
          steps: [
            { text: 'rule 7220: our table is asked before the machine’s own' },
            { text: '10.0.0.0/8 metric 26 is the longest match: Route', profile: 'Corp', line: 20 },
            { text: 'sent into aov0 from 10.9.0.2' },
          ],
        },
      ],
      summary: '10.1.2.3 goes through aov0 (Corp)',
    });
  });

  test('an excluded address, given as text', () => {
    const [one] = explain(plan, '10.99.1.1').addresses;
    assert.equal(one?.path, 'physical');
    assert.deepEqual(one.steps[1], { text: '10.99.0.0/16 stays outside the tunnels: ExclusionRoute', profile: 'Corp', line: 30 });
  });

  test('a name with what it resolved to', () => {
    const { dns, addresses, summary } = explain(plan, 'Web.CORP.example.', [address('10.1.2.3'), address('93.184.216.34')]);
    assert.deepEqual(dns, {
      servers: ['10.0.0.53'],
      via: 'tunnel',
      connection: 'Corp',
      steps: [
        { text: 'rule .corp.example matches: DomainNameInformation', profile: 'Corp', line: 40 },
        { text: 'asked 10.0.0.53 through aov0' },
      ],
    });
    assert.deepEqual(
      addresses.map(({ path }) => path),
      ['tunnel', 'physical'],
    );
    assert.equal(
      summary,
      'web.corp.example: asked 10.0.0.53 through the tunnel (Corp); 10.1.2.3 goes through aov0 (Corp); 93.184.216.34 goes outside the tunnels',
    );
  });

  test('a short name goes through the search list', () => {
    const { dns } = explain(plan, 'web');
    assert.deepEqual(dns?.steps[0], {
      text: 'short name: the search list makes it web.corp.example first',
      profile: 'Corp',
      line: 4,
    });
    assert.equal(dns?.via, 'tunnel');
  });

  test('an exempted name, a name without rule, a server that the tunnel cannot carry', () => {
    assert.deepEqual(explain(plan, 'vpn.corp.example').dns?.servers, ['192.168.1.1']);
    assert.equal(explain(plan, 'vpn.corp.example').dns?.via, 'physical');
    assert.deepEqual(explain(plan, 'example.org').dns?.steps, [
      { text: 'no name rule matches: the machine’s own servers answer' },
    ]);
    assert.equal(explain(plan, 'x.far.example').dns?.via, 'physical');
  });

  test('no tunnel, and no name', () => {
    assert.equal(explain(emptyPlan, '192.0.2.1').addresses[0]?.path, 'physical');
    assert.equal(explain(plan, 'not a name').summary, 'not a name is neither an address nor a DNS name');
  });

  test('unreachable under force tunnel', () => {
    const force = compilePlan({
      tunnels: [live('F', profile({ nativeProfile: { at: { line: 10, column: 1 }, routingPolicyType: at('ForceTunnel', 12) } }))],
      host: host(),
    });
    const [one] = explain(force, '2001:db8::1').addresses;
    assert.equal(one?.path, 'unreachable');
    assert.equal(one.steps.at(-1)?.line, 12);
  });
});

suite('resolve', () => {
  test('name rules with unusable servers never become exemptions', () => {
    const { intent, notes } = resolveProfile(
      'P',
      profile({
        domainNameInformation: [nameRule('.corp.example', 3, ['nonsense']), nameRule('grüße.example', 9, ['10.0.0.1'])],
      }),
    );
    assert.deepEqual(intent.nameRules, []);
    assert.equal(notes.filter(({ id }) => id === 'unusable-name-rule').length, 2);
  });

  test('names in the letters of a language are what DNS has, and the profile’s words stand beside them', () => {
    const written = profile({
      domainNameInformation: [nameRule('.bücher.example', 3, ['10.0.0.53'])],
      dnsSuffix: at(['büro.example'], 4),
      trustedNetworkDetection: at(['Büro.example'], 5),
      nativeProfile: { at: { line: 6, column: 1 }, servers: at([{ host: 'vpn.bücher.example' }], 7) },
      internationalNames: [
        { written: '.bücher.example', ascii: '.xn--bcher-kva.example' },
        { written: 'büro.example', ascii: 'xn--bro-hoa.example' },
        { written: 'Büro.example', ascii: 'xn--bro-hoa.example' },
        { written: 'vpn.bücher.example', ascii: 'vpn.xn--bcher-kva.example' },
      ],
    });
    const { intent, notes } = resolveProfile('P', written);
    const [rule] = intent.nameRules;
    assert.deepEqual([rule?.name, rule?.because.why], ['.xn--bcher-kva.example', 'DomainNameInformation .bücher.example']);
    const [suffix] = intent.suffixes;
    assert.deepEqual([suffix?.value, suffix?.because.why], ['xn--bro-hoa.example', 'DnsSuffix büro.example']);
    assert.deepEqual(
      intent.trustedNetworks.map(({ value }) => value),
      ['xn--bro-hoa.example'],
    );
    assert.deepEqual(
      notes.filter(({ id }) => id === 'unusable-name-rule'),
      [],
    );
    assert.deepEqual(leakPromise(written, intent).gatewayNames, ['vpn.xn--bcher-kva.example']);
  });

  test('elements without effect are named', () => {
    const { notes } = resolveProfile(
      'P',
      profile({ trafficFilters: [{ at: { line: 8, column: 1 } }], lockDown: at(true, 2), edpModeId: at('corp.example', 5) }),
    );
    assert.deepEqual(
      notes.filter(({ id }) => id === 'edp-mode-id').map(({ at: place }) => place?.line),
      [5],
    );
  });

  test('LockDown is force tunnel and always on, whatever else is written', () => {
    const { intent } = resolveProfile(
      'P',
      profile({ lockDown: at(true, 2), nativeProfile: { at: { line: 3, column: 1 }, routingPolicyType: at('SplitTunnel', 4) } }),
    );
    assert.equal(intent.routing.value, 'ForceTunnel');
    assert.equal(intent.alwaysOn.value, true);
    assert.equal(intent.tunnel, 'device');
  });

  test('AlwaysOnActive 0 takes AlwaysOn back; NetworkOutageTime 0 has no end', () => {
    const { intent } = resolveProfile(
      'P',
      profile({ alwaysOn: at(true, 2), alwaysOnActive: at(false, 3), networkOutageTime: at(0, 4) }),
    );
    assert.equal(intent.alwaysOn.value, false);
    assert.equal(intent.networkOutageSeconds.value, undefined);
  });

  test('trusted networks as written, and implied', () => {
    const written = resolveProfile(
      'P',
      profile({
        trustedNetworkDetection: at(['Corp.Example'], 2),
        domainNameInformation: [nameRule('.x.example', 3, ['10.0.0.1'])],
      }),
    );
    assert.deepEqual(
      written.intent.trustedNetworks.map(({ value, implicit }) => [value, implicit]),
      [['corp.example', false]],
    );
    const implied = resolveProfile(
      'P',
      profile({
        domainNameInformation: [
          nameRule('.x.example', 3, ['10.0.0.1']),
          nameRule('.y.example', 6),
          nameRule('.', 9, ['10.0.0.1']),
        ],
      }),
    );
    assert.deepEqual(
      implied.intent.trustedNetworks.map(({ value, implicit }) => [value, implicit]),
      [['x.example', true]],
    );
  });

  test('divergences have distinct ids', () => {
    assert.equal(new Set(policyDivergences.map(({ id }) => id)).size, policyDivergences.length);
  });
});
