import assert from 'node:assert/strict';
import { test } from 'node:test';
import { suggestName } from '../../src/read/suggest.ts';

test('the nearest name is suggested, when one is near enough', () => {
  const names = ['DnsServers', 'DomainName', 'Metric', 'Id'];
  assert.equal(suggestName('DNSServers', names), 'DnsServers');
  assert.equal(suggestName('DnsServer', names), 'DnsServers');
  assert.equal(suggestName('Metrik', names), 'Metric');
  assert.equal(suggestName('Ip', names), 'Id');
  assert.equal(suggestName('Colour', names), undefined);
  assert.equal(suggestName('Xy', names), undefined);
  assert.equal(suggestName('a'.repeat(100_000), names), undefined);
});
