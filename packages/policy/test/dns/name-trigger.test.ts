import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { formatAddress } from '@aovpn/bytes';
import type { Profile } from '@aovpn/profile';
import {
  compilePlan,
  diffPlan,
  explain,
  printPlan,
  resolveProfile,
  type Intent,
  type Plan,
  type TriggerReadiness,
} from '../../src/index.ts';
import { address, at, host, live, nameRule, profile } from '../sample.ts';

const split = { at: { line: 10, column: 1 }, routingPolicyType: at('SplitTunnel' as const, 12) };
const triggers = { autoTrigger: true };
const written = (...rules: readonly ReturnType<typeof nameRule>[]): Profile =>
  profile({ nativeProfile: split, domainNameInformation: rules });
const intent = (name: string, ...rules: readonly ReturnType<typeof nameRule>[]): Intent =>
  resolveProfile(name, written(...rules)).intent;
const plan = (idle: readonly Intent[], readiness: Record<string, TriggerReadiness> = {}): Plan =>
  compilePlan({ tunnels: [], idle, readiness: new Map(Object.entries(readiness)), host: host() });
const rules = ({ dns }: Plan): readonly string[] =>
  dns.rules.map(({ name, servers, trigger }) => [name, ...servers.map(formatAddress), trigger?.kind ?? 'plain'].join(' '));

suite('AutoTrigger while the tunnel is down', () => {
  const corp = intent(
    'Corp',
    nameRule('.corp.example', 20, ['10.0.0.53', '10.0.0.53'], triggers),
    nameRule('hr.lab.example', 30, ['10.0.0.54'], triggers),
    nameRule('intranet', 40, ['10.0.0.53'], triggers),
    nameRule('www.corp.example', 50, [], triggers),
    nameRule('.plain.example', 60, ['10.0.0.53']),
  );
  const asked = (name: string, of = plan([corp])): string => {
    const { dns, summary } = explain(of, name);
    return dns?.refused === undefined ? (dns?.waits ? `waits for ${dns.connection}` : dns!.via) : summary;
  };

  test('suffix, apex, FQDN and short name wait; what only looks alike, exemptions and rules without AutoTrigger do not', () => {
    assert.deepEqual(rules(plan([corp])), [
      '.corp.example 10.0.0.53 wait',
      'hr.lab.example 10.0.0.54 wait',
      'www.corp.example plain',
      'intranet 10.0.0.53 wait',
    ]);
    for (const name of ['corp.example', 'a.b.corp.example', 'A.Corp.Example.', 'hr.lab.example', 'intranet'])
      assert.equal(asked(name), 'waits for Corp', name);
    for (const name of ['www.corp.example', 'notcorp.example', 'lab.example', 'x.hr.lab.example', 'a.plain.example', 'other'])
      assert.equal(asked(name), 'physical', name);
  });

  test('`.` is everything but what is exempted', () => {
    const all = intent('Corp', nameRule('.', 20, ['10.0.0.53'], triggers), nameRule('.free.example', 30, []));
    assert.equal(asked('www.example', plan([all])), 'waits for Corp');
    assert.equal(asked('a.free.example', plan([all])), 'physical');
    assert.deepEqual(rules(plan([all], { Corp: { kind: 'off', why: '' } })), [], 'an exemption from nothing');
  });

  test('explain gives the line, what happens, and when the tunnel is asked', () => {
    const { dns, summary } = explain(plan([corp]), 'files.corp.example');
    assert.deepEqual(
      dns?.steps.map(({ text, line }) => `${line ?? '-'} ${text}`),
      [
        '20 rule .corp.example matches: DomainNameInformation, AutoTrigger',
        '20 the question brings the tunnel up and waits for it',
        '- then 10.0.0.53 is asked through it; without a tunnel in time there is no answer (SERVFAIL)',
      ],
    );
    assert.equal(summary, 'files.corp.example: asked 10.0.0.53 through the tunnel (Corp), which the question brings up');
    assert.match(
      printPlan(plan([corp])),
      /name \.corp\.example 10\.0\.0\.53 once it has brought the tunnel up +# profile "Corp" line 20/,
    );
  });

  test('in trouble names are refused, and nobody outside is asked; `.` alone is out of force', () => {
    const one = intent(
      'Corp',
      nameRule('.', 10, ['10.0.0.53'], triggers),
      nameRule('.corp.example', 20, ['10.0.0.53'], triggers),
    );
    const stuck = plan([one], { Corp: { kind: 'trouble', why: 'The gateway does not answer' } });
    assert.deepEqual(rules(stuck), ['.corp.example 10.0.0.53 refuse']);
    assert.equal(asked('a.corp.example', stuck), 'a.corp.example: not answered (SERVFAIL), The gateway does not answer');
    const other = explain(stuck, 'www.example');
    assert.equal(other.dns?.via, 'physical');
    assert.equal(other.dns?.steps[0]?.text, 'AutoTrigger of . is out of force: The gateway does not answer');
    assert.equal(
      diffPlan(plan([one]), stuck).some(({ kind }) => kind === 'dns'),
      true,
      'the resolver is told',
    );
  });

  test('put down or on a trusted network it is as if the rule were not there, but for Persistent', () => {
    const one = intent(
      'Corp',
      nameRule('.corp.example', 20, ['10.0.0.53'], triggers),
      nameRule('.both.example', 30, ['10.0.0.53'], { autoTrigger: true, persistent: true }),
    );
    assert.deepEqual(rules(plan([one])), ['.both.example 10.0.0.53 wait', '.corp.example 10.0.0.53 wait']);
    const off = plan([one], { Corp: { kind: 'off', why: 'root said down' } });
    assert.deepEqual(rules(off), ['.both.example 10.0.0.53 plain']);
    assert.match(explain(off, 'a.corp.example').dns!.steps[0]!.text, /out of force: root said down/);
    assert.match(printPlan(off), /# AutoTrigger of \.corp\.example is out of force: root said down/);
  });

  test('where nothing shall wait the question is refused and still brings it up', () => {
    assert.equal(rules(plan([corp], { Corp: { kind: 'ready', waits: false } }))[0], '.corp.example 10.0.0.53 refuse');
  });

  test('a connection that is always on needs no trigger', () => {
    const always = resolveProfile('Corp', {
      ...written(nameRule('.corp.example', 20, ['10.0.0.53'], triggers)),
      alwaysOn: at(true, 2),
    });
    assert.deepEqual(rules(plan([always.intent])), []);
  });

  test('a tunnel that is up answers its names first; a more specific name of another profile brings that one up', () => {
    const up = live('Base', written(nameRule('.corp.example', 20, ['10.0.0.53'], triggers)), { dns: [address('10.0.0.53')] });
    const idle = [
      intent(
        'Corp',
        nameRule('.corp.example', 20, ['10.9.9.9'], triggers),
        nameRule('hr.corp.example', 30, ['10.9.9.9'], triggers),
      ),
    ];
    const both = compilePlan({ tunnels: [up], idle, host: host() });
    assert.deepEqual(rules(both), ['.corp.example 10.0.0.53 up', 'hr.corp.example 10.9.9.9 wait']);
    assert.equal(asked('a.corp.example', both), 'tunnel');
    assert.equal(asked('hr.corp.example', both), 'waits for Corp');
  });
});
