import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  addressFromBytes,
  compareAddresses,
  formatAddress,
  formatPrefix,
  formatRange,
  hasHostBits,
  intersectRanges,
  networkOf,
  parseAddress,
  parsePrefix,
  prefixContains,
  rangeContains,
  rangeFromPrefix,
  rangeToPrefixes,
  sameAddress,
  samePrefix,
  type IpAddress,
} from '../src/index.ts';

const v4 = fc.uint8Array({ minLength: 4, maxLength: 4 }).map(addressFromBytes);
const v6 = fc
  .array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 255 })), { minLength: 16, maxLength: 16 })
  .map((octets) => addressFromBytes(Uint8Array.from(octets)));
const address = fc.oneof(v4, v6);
const at = (text: string): IpAddress => parseAddress(text) ?? assert.fail(`${text} is an address`);
const prefix = (text: string) => parsePrefix(text) ?? assert.fail(`${text} is a prefix`);

test('addresses go to text and back', () => {
  fc.assert(
    fc.property(address, (a) => {
      const text = formatAddress(a);
      assert.equal(isIP(text), a.family);
      assert.ok(sameAddress(at(text), a));
    }),
  );
});

test('canonical IPv6 text is that of RFC 5952', () => {
  for (const [written, canonical] of [
    ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['::', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['::ffff:192.0.2.1', '::ffff:c000:201'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
  ]) {
    assert.equal(formatAddress(at(written!)), canonical);
  }
});

test('what the platform refuses, we refuse', () => {
  const texts = fc.oneof(fc.string(), fc.stringMatching(/^[0-9a-f:.]{0,24}$/), fc.stringMatching(/^\d{1,3}(\.\d{1,4}){3}$/));
  fc.assert(
    fc.property(texts, (text) => assert.equal(parseAddress(text)?.family ?? 0, text.includes('%') ? 0 : isIP(text))),
    { numRuns: 2000 },
  );
  for (const wrong of [
    '1.2.3',
    '01.2.3.4',
    '1.2.3.256',
    ':::',
    '1::2::3',
    '12345::',
    '1:2:3:4:5:6:7:8:9',
    '::1%eth0',
    '1.2.3.4::',
    '',
  ]) {
    assert.equal(parseAddress(wrong), undefined, wrong);
  }
});

test('prefixes: length limits, networks, host bits, containment', () => {
  assert.equal(parsePrefix('10.0.0.0/33'), undefined);
  assert.equal(parsePrefix('10.0.0.0/8/8'), undefined);
  assert.equal(parsePrefix('10.0.0.0/'), undefined);
  assert.equal(formatPrefix(prefix('10.1.2.3')), '10.1.2.3/32');
  assert.equal(formatPrefix(networkOf(prefix('10.1.2.3/12'))), '10.0.0.0/12');
  assert.equal(hasHostBits(prefix('10.1.2.3/12')), true);
  assert.equal(hasHostBits(prefix('2001:db8::/33')), false);
  assert.ok(samePrefix(prefix('10.1.2.3/8'), prefix('10.9.9.9/8')));
  assert.ok(prefixContains(prefix('0.0.0.0/0'), at('255.255.255.255')));
  assert.ok(!prefixContains(prefix('0.0.0.0/0'), at('::')));
  assert.ok(prefixContains(prefix('10.0.0.0/8'), prefix('10.4.0.0/16')));
  assert.ok(!prefixContains(prefix('10.4.0.0/16'), prefix('10.0.0.0/8')));
});

test('a range is exactly the union of its prefixes', () => {
  fc.assert(
    fc.property(fc.tuple(v4, v4), fc.array(v4), ([a, b], probes) => {
      const range = compareAddresses(a, b) <= 0 ? { from: a, to: b } : { from: b, to: a };
      const prefixes = rangeToPrefixes(range);
      for (const probe of [...probes, range.from, range.to]) {
        assert.equal(prefixes.filter((one) => prefixContains(one, probe)).length, rangeContains(range, probe) ? 1 : 0);
      }
    }),
  );
  const all = prefix('::/0');
  assert.deepEqual(rangeToPrefixes(rangeFromPrefix(all)).map(formatPrefix), ['::/0']);
  assert.equal(formatRange(rangeFromPrefix(prefix('192.0.2.0/30'))), '192.0.2.0-192.0.2.3');
  assert.equal(formatRange(rangeFromPrefix(prefix('192.0.2.1/32'))), '192.0.2.1');
});

test('an intersection contains exactly what both contain', () => {
  const range = fc.tuple(v4, v4).map(([a, b]) => (compareAddresses(a, b) <= 0 ? { from: a, to: b } : { from: b, to: a }));
  fc.assert(
    fc.property(range, range, v4, (a, b, probe) => {
      const common = intersectRanges(a, b);
      const inCommon = common !== undefined && rangeContains(common, probe);
      assert.equal(inCommon, rangeContains(a, probe) && rangeContains(b, probe));
    }),
  );
  assert.equal(intersectRanges(rangeFromPrefix(prefix('0.0.0.0/0')), rangeFromPrefix(prefix('::/0'))), undefined);
});
