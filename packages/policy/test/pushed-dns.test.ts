import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { formatAddress } from '@aovpn/bytes';
import { compilePlan } from '../src/index.ts';
import { address, at, host, live, profile } from './sample.ts';

const split = profile({ nativeProfile: { at: { line: 10, column: 3 }, routingPolicyType: at('SplitTunnel' as const, 12) } });
const rulesOf = (dnsDomains: readonly string[], dns: readonly string[] = ['10.0.0.53']): Record<string, string> => {
  const tunnels = [live('Corp', split, { dns: dns.map(address), dnsDomains })];
  const plan = compilePlan({ tunnels, idle: [], host: host() });
  return Object.fromEntries(plan.dns.rules.map(({ name, servers }) => [name, servers.map(formatAddress).join()]));
};

// RFC 8598
suite('domains that a gateway pushes', () => {
  test('names within a pushed domain go to the pushed servers, others do not', () => {
    assert.deepEqual(rulesOf(['corp.example', 'lab.example']), { '.corp.example': '10.0.0.53', '.lab.example': '10.0.0.53' });
  });

  test('domains without a server mean nothing', () => {
    assert.deepEqual(rulesOf(['corp.example'], []), {});
  });

  test('special-use names are not taken from a gateway', () => {
    const special = [
      'local',
      'printer.local',
      'localhost',
      'onion',
      'x.onion',
      'alt',
      'invalid',
      'resolver.arpa',
      'ipv4only.arpa',
    ];
    assert.deepEqual(rulesOf(['corp.example', ...special]), { '.corp.example': '10.0.0.53' });
    // Names that merely end alike are names like any other.
    assert.deepEqual(Object.keys(rulesOf(['mylocal', 'corp.arpa'])).toSorted(), ['.corp.arpa', '.mylocal']);
  });

  test('not more than a few', () => {
    assert.equal(Object.keys(rulesOf(Array.from({ length: 200 }, (_, i) => `d${i}.example`))).length, 64);
  });
});
