import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { marshal, unmarshal, type DbusValue } from '../../src/dbus/marshal.ts';
import { decodeMessage, encodeCall, messageLength } from '../../src/dbus/message.ts';
import { parseSignature } from '../../src/dbus/signature.ts';

const hex = (octets: Uint8Array): string => Buffer.from(octets).toString('hex');

suite('D-Bus marshalling', () => {
  // D-Bus specification, "Marshaling": "foo", "+" and "bar"; and an array with one 64-bit integer, 5, little-endian here.
  test('examples of the specification', () => {
    assert.equal(hex(marshal('sss', ['foo', '+', 'bar'])), '03000000666f6f00010000002b0000000300000062617200');
    assert.equal(hex(marshal('ax', [[5n]])), '08000000000000000500000000000000');
  });

  const cases: readonly (readonly [string, readonly DbusValue[]])[] = [
    ['', []],
    ['ybnqiuxtd', [255, true, -5, 65_535, -70_000, 4_000_000_000, -(2n ** 62n), 2n ** 63n, 1.5]],
    ['sog', ['wörd', '/a/b', 'a{sv}']],
    ['ay', [Uint8Array.of(1, 2, 3)]],
    [
      'a{ss}',
      [
        [
          ['a', 'b'],
          ['c', 'd'],
        ],
      ],
    ],
    [
      'a{sv}(oayays)b',
      [[['k', { signature: 'a{ss}', value: [['x', 'y']] }]], ['/s', new Uint8Array(0), Uint8Array.of(9), 't'], true],
    ],
    ['aoao', [['/a'], []]],
    ['v', [{ signature: 'v', value: { signature: 'u', value: 7 } }]],
    ['aa(yt)', [[[[1, 2n]], []]]],
  ];
  for (const [signature, values] of cases) {
    test(`"${signature}" comes back as it went`, () => {
      assert.deepEqual(unmarshal(signature, marshal(signature, values), true), values);
    });
  }

  for (const signature of [
    '(',
    'a',
    '()',
    'a{s}',
    'a{(s)s}',
    'z',
    'a'.repeat(33) + 's',
    '('.repeat(33) + 's' + ')'.repeat(33),
    ')',
  ]) {
    test(`"${signature.slice(0, 12)}" is no signature`, () => assert.throws(() => parseSignature(signature), RangeError));
  }

  test('octets of any kind end in values or a RangeError, never in anything else', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('a{sv}', 'aoao', '(oayays)', 'v', 'sv', 'a(yv)', 'aaaax'),
        fc.uint8Array({ maxLength: 200 }),
        fc.boolean(),
        (signature, octets, little) => {
          try {
            unmarshal(signature, octets, little);
          } catch (error) {
            assert.ok(error instanceof RangeError, String(error));
          }
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('headers of any kind as well', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 200 }), (octets) => {
        octets[0] = 0x6c;
        octets[3] = 1;
        try {
          if ((messageLength(octets) ?? Infinity) <= octets.length) decodeMessage(octets);
        } catch (error) {
          assert.ok(error instanceof RangeError, String(error));
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('a variant that holds variants is read to a depth, not to the end of the stack', () => {
    const octets = Buffer.from('017600'.repeat(20_000), 'hex');
    assert.throws(() => unmarshal('v', octets, true), RangeError);
  });

  test('a call knows its own length', () => {
    const call = encodeCall(7, {
      destination: 'a.b',
      path: '/a',
      interface: 'a.c',
      member: 'M',
      signature: 's',
      body: ['hello'],
    });
    assert.equal(messageLength(call), call.length);
    assert.equal(messageLength(call.subarray(0, 15)), undefined);
    const { type, signature, body } = decodeMessage(call);
    assert.deepEqual([type, signature, unmarshal('s', body, true)], [1, 's', ['hello']]);
  });
});
