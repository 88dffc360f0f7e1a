import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { addressFromBytes, parseAddress, parsePrefix, prefixContains, samePrefix, type IpPrefix } from '@aovpn/bytes';
import { PrefixTable } from '../src/prefix-table.ts';

/** Few different bits, so that prefixes contain each other often. */
const prefixes = fc.oneof(prefixOf(4), prefixOf(16));

suite('prefix table', () => {
  test('finds by the longest prefix around an address, as going through all of them does', () => {
    fc.assert(
      fc.property(fc.array(prefixes), prefixes, (all, { address }) => {
        const table = tableOf(all);
        const around = all.filter((prefix) => prefixContains(prefix, address));
        const longest = Math.max(...around.map(({ length }) => length));
        assert.deepEqual(
          table.around(address),
          around.filter(({ length }) => length === longest),
        );
      }),
    );
  });

  test('finds exactly one prefix, whatever its host bits', () => {
    fc.assert(
      fc.property(fc.array(prefixes), prefixes, (all, wanted) => {
        assert.deepEqual(
          tableOf(all).at(wanted),
          all.filter((prefix) => samePrefix(prefix, wanted)),
        );
      }),
    );
  });

  test('keeps the families apart', () => {
    const table = tableOf([parsePrefix('0.0.0.0/0')!]);
    assert.equal(table.around(parseAddress('10.0.0.1')!).length, 1);
    assert.equal(table.around(parseAddress('fd00::1')!).length, 0);
  });
});

function tableOf(all: readonly IpPrefix[]): PrefixTable<IpPrefix> {
  const table = new PrefixTable<IpPrefix>();
  for (const prefix of all) table.add(prefix, prefix);
  return table;
}

function prefixOf(octets: 4 | 16): fc.Arbitrary<IpPrefix> {
  const bytes = fc.array(fc.constantFrom(0, 1, 128), { minLength: octets, maxLength: octets });
  return fc
    .tuple(bytes, fc.integer({ min: 0, max: octets * 8 }))
    .map(([value, length]) => ({ address: addressFromBytes(Uint8Array.from(value)), length }));
}
