import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseAddress, parsePrefix } from '@aovpn/bytes';
import type { TunnelPlan } from '../../src/plan.ts';
import { printGuard } from '../../src/route/print-guard.ts';

const tunnel: TunnelPlan = {
  device: 'aov-corp',
  profile: 'corp',
  kind: 'user',
  mtu: 1380,
  addresses: [parsePrefix('10.30.0.10/32')!],
  metric: { v4: 25, v6: 25 },
  because: { profile: 'corp', why: 'test' },
};
const prefixes = (...texts: readonly string[]) => texts.map((text) => parsePrefix(text)!);
const past = (text: string): readonly string[] =>
  (/chain past \{\n(.*?)\n {2}\}/s.exec(text)?.[1] ?? '').split('\n').map((line) => line.trim());

suite('what leaves beside a force tunnel', () => {
  test('a split tunnel refuses nothing', () => {
    assert.doesNotMatch(printGuard([tunnel]), /chain past/);
  });

  test('a force tunnel refuses everything but what the plan leaves outside and what a link needs', () => {
    const rules = past(
      printGuard([
        { ...tunnel, past: { direct: prefixes('198.51.100.0/24', '198.51.100.128/25', '198.51.100.0/24', 'fe80::/10') } },
      ]),
    );
    assert.equal(rules[2], 'oifname { "lo", "aov-corp" } accept');
    assert.ok(rules.includes('ip daddr { 198.51.100.0/24 } accept'), 'no members that overlap, which nft refuses');
    assert.ok(rules.includes('ip6 daddr { fe80::/10 } accept'));
    assert.ok(rules.at(-1)!.includes('reject'), rules.at(-1));
    assert.ok(!rules.some((rule) => rule.includes('dport 53')));
  });

  test('the machine’s own resolver may ask the network’s servers, and nobody else may', () => {
    const servers = [parseAddress('192.0.2.53')!];
    const rules = past(printGuard([{ ...tunnel, past: { direct: [], resolver: { users: [{ from: 997, to: 997 }], servers } } }]));
    assert.deepEqual(
      rules.filter((rule) => rule.includes('dport 53')),
      ['meta skuid { 997 } ip daddr { 192.0.2.53 } meta l4proto { tcp, udp } th dport 53 accept'],
    );
  });
});
