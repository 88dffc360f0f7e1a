import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import {
  compilePlan,
  explain,
  explainFlow,
  parseFlow,
  printLockdown,
  printPlan,
  resolveProfile,
  type PlanInput,
} from '../../src/index.ts';
import { address, at, host, live, nameRule, prefix, profile } from '../sample.ts';

const now = Date.UTC(2026, 0, 1, 12);
const written = profile({
  lockDown: at(true, 5),
  byPassForLocal: at(true, 6),
  nativeProfile: { at: { line: 10, column: 3 } },
  domainNameInformation: [nameRule('.corp.example', 20, ['10.0.0.53'], { persistent: true }), nameRule('www.corp.example', 30)],
});
const { intent } = resolveProfile('Corp', written);
const other = resolveProfile('Other', profile({ nativeProfile: { at: { line: 3, column: 3 } } })).intent;
const endpoints: PlanInput['endpoints'] = new Map([
  ['Corp', [{ address: address('203.0.113.7'), port: 4500 }]],
  ['Other', [{ address: address('203.0.113.8'), port: 4500 }]],
]);
const machine = host({ physicalDns: [address('192.168.1.1'), address('fe80::1')] });

const stories: Record<string, PlanInput> = {
  'before-the-network': { tunnels: [], idle: [intent], host: { ...machine, physicalDns: [] } },
  connecting: { tunnels: [], idle: [intent, other], endpoints, host: machine },
  up: {
    tunnels: [live('Corp', written, { addresses: [prefix('10.9.0.2/32'), prefix('fd00:9::2/128')] })],
    idle: [other],
    endpoints,
    host: machine,
  },
  'up-in-the-kernel': {
    tunnels: [live('Corp', written, { addresses: [prefix('10.9.0.2/32')], kernelEsp: true })],
    endpoints,
    host: machine,
  },
  portal: {
    tunnels: [],
    idle: [intent],
    endpoints: new Map([['Corp', [{ address: address('2001:db8::7'), port: 4600 }]]]),
    host: machine,
    portal: {
      cgroup: { path: 'aovpn/portal', level: 2 },
      until: now + 90_500,
      ports: [80, 443],
      because: { profile: '', why: 'a person signs in to this network' },
    },
  },
};

suite('LockDown as text', () => {
  for (const [name, input] of Object.entries(stories)) {
    test(name, () => {
      const plan = compilePlan(input);
      assert.ok(plan.lockdown);
      const text = `${printPlan(plan)}\n${printLockdown(plan.lockdown, 'refresh', now)}`;
      const file = new URL(`golden/${name}.txt`, import.meta.url);
      if (process.env['UPDATE_GOLDENS'] === '1') writeFileSync(file, text);
      assert.ok(existsSync(file), `no golden ${name}.txt: run with UPDATE_GOLDENS=1 and review it`);
      assert.equal(text, readFileSync(file, 'utf8'));
    });
  }
});

suite('LockDown', () => {
  test('is in force in every state of its tunnel, and only for its own', () => {
    assert.equal(compilePlan({ tunnels: [], idle: [other], host: machine }).lockdown, undefined);
    const { lockdown } = compilePlan(stories['connecting']!);
    assert.deepEqual(lockdown?.because, [{ profile: 'Corp', at: { line: 5, column: 1 }, why: 'LockDown' }]);
    assert.deepEqual(lockdown?.gateways, [{ address: address('203.0.113.7'), port: 4500 }]);
    assert.deepEqual(lockdown?.devices, []);
    assert.deepEqual(compilePlan(stories['up']!).lockdown?.devices, ['aov0']);
  });

  test('ends when root has released it, but not for another profile that has it', () => {
    const second = resolveProfile(
      'Second',
      profile({ lockDown: at(true, 9), nativeProfile: { at: { line: 3, column: 3 } } }),
    ).intent;
    const input: PlanInput = { tunnels: [], idle: [intent, second], endpoints, host: machine, unlocked: new Set(['Corp']) };
    const { lockdown } = compilePlan(input);
    assert.deepEqual(
      lockdown?.because.map(({ profile: name }) => name),
      ['Second'],
    );
    assert.deepEqual(lockdown?.gateways, [], 'the gateway of a released profile is nothing special');
    assert.equal(compilePlan({ ...input, unlocked: new Set(['Corp', 'Second']) }).lockdown, undefined);
  });

  test('keeps the way past the tunnel from our own resolver: what programs ask is no name of a gateway', () => {
    assert.equal(compilePlan(stories['up']!).dns.mark, 0);
    assert.equal(compilePlan({ ...stories['up']!, unlocked: new Set(['Corp']) }).dns.mark, machine.mark);
  });

  test('is what explains that a destination cannot be reached, down to the line', () => {
    const down = compilePlan(stories['connecting']!);
    const refused = explain(down, address('198.51.100.9'));
    assert.equal(refused.addresses[0]!.path, 'unreachable');
    assert.deepEqual(refused.addresses[0]!.steps.at(-1), {
      text: 'LockDown holds 198.51.100.9 back: only the tunnel leads there',
      profile: 'Corp',
      line: 5,
    });
    const flow = explainFlow(down, parseFlow('tcp 198.51.100.9:443')!);
    assert.equal(flow.verdict, 'refuse');
    assert.equal(flow.addresses[0]!.steps.at(-1)!.line, 5);
    assert.equal(explain(down, address('127.0.0.1')).addresses[0]!.path, 'physical', 'loopback is no way out');
    assert.equal(explain(compilePlan(stories['up']!), address('198.51.100.9')).addresses[0]!.path, 'tunnel');
    assert.match(explain(down, 'www.example.org').dns!.steps.at(-1)!.text, /LockDown/);
  });

  test('a hole whose time is over is not printed', () => {
    const { lockdown } = compilePlan(stories['portal']!);
    assert.match(printLockdown(lockdown!, 'refresh', now), /"aovpn\/portal" timeout 91s/);
    assert.doesNotMatch(printLockdown(lockdown!, 'refresh', now + 90_500), /"aovpn\/portal"/);
  });
});
