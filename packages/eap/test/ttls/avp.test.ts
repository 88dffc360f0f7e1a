import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import * as fc from 'fast-check';
import { encodeUtf8, fromHex, toHex } from '@aovpn/bytes';
import { avpType, isAvp, readAvps, writeAvps, type Avp } from '../../src/ttls/avp.ts';

function read(hex: string): readonly Avp[] | string {
  return readAvps(fromHex(hex));
}

function only(hex: string): Avp {
  const avps = read(hex);
  if (typeof avps === 'string') assert.fail(avps);
  assert.equal(avps.length, 1);
  return avps[0]!;
}

suite('AVPs (RFC 5281 §10.1)', () => {
  test('code, flags, length, data, padding', () => {
    // User-Name "bob": mandatory, 11 octets, one of padding.
    assert.equal(toHex(writeAvps([avpType.userName, encodeUtf8('bob')])), '00000001 4000000b 626f6200'.replaceAll(' ', ''));
    const avp = only('00000001 4000000b 626f6200');
    assert.deepEqual({ ...avp, data: toHex(avp.data) }, { code: 1, vendor: 0, mandatory: true, data: '626f62' });
  });

  test('a vendor, which makes the header longer', () => {
    assert.equal(
      toHex(writeAvps([avpType.msChapChallenge, Uint8Array.of(1, 2)])),
      '0000000b c000000e 00000137 01020000'.replaceAll(' ', ''),
    );
    const avp = only('0000001a 8000000d 00000137 ff000000');
    assert.deepEqual({ ...avp, data: toHex(avp.data) }, { code: 26, vendor: 311, mandatory: false, data: 'ff' });
    assert.ok(isAvp(avp, avpType.msChap2Success));
  });

  test('the same code of another vendor is another AVP', () => {
    assert.ok(!isAvp(only('00000001 c000000d 00000137 ff000000'), avpType.userName));
    assert.ok(!isAvp(only('0000001a 40000009 ff000000'), avpType.msChap2Success));
  });

  test('nothing is no AVP, an empty one is one', () => {
    assert.deepEqual(read(''), []);
    assert.equal(only('0000004f 40000008').data.length, 0);
  });

  const wrong: readonly (readonly [string, string])[] = [
    ['one octet', '00'],
    ['a header cut short', '00000001 400000'],
    ['length 0 (CVE-2026-25075)', '00000001 40000000 626f6200'],
    ['length 1 (CVE-2026-25075)', '00000001 40000001 626f6200'],
    ['length 7, one below the header (CVE-2026-25075)', '00000001 40000007 626f6200'],
    ['length 8 with a vendor (CVE-2026-25075)', '0000001a c0000008 00000137 01020304'],
    ['length 11 with a vendor, one below the header (CVE-2026-25075)', '0000001a c000000b 00000137 01020304'],
    ['a vendor cut short', '0000001a c000000c 0001'],
    ['one octet more than there is', '00000001 4000000d 626f6200'],
    ['the longest length', '00000001 40ffffff 626f6200'],
    ['no padding before the next one', '00000001 4000000b 626f62 00000001 40000008'],
    ['half of the padding', '00000001 4000000a 626f 00'],
    ['half a header after a good one', '00000001 4000000b 626f6200 00000001'],
  ];
  for (const [name, hex] of wrong) {
    test(`unreadable: ${name}`, () => assert.equal(typeof read(hex), 'string'));
  }

  test('the last one without padding, as hostapd sends it', () => {
    assert.equal(toHex(only('00000001 4000000b 626f62').data), '626f62');
    const avps = read('00000001 4000000b 626f6200 00000012 40000009 41');
    assert.deepEqual(Array.isArray(avps) && avps.map(({ data }: Avp) => toHex(data)), ['626f62', '41']);
  });

  test('more of them than any server sends', () => {
    assert.equal((read('0000004f40000008'.repeat(256)) as readonly Avp[]).length, 256);
    assert.match(read('0000004f40000008'.repeat(257)) as string, /more than 256/);
  });

  test('what is written reads the same; octets at random never throw', () => {
    const type = fc.constantFrom(...Object.values(avpType));
    fc.assert(
      fc.property(fc.array(fc.tuple(type, fc.uint8Array({ maxLength: 300 })), { maxLength: 8 }), (written) => {
        const avps = readAvps(writeAvps(...written));
        assert.ok(typeof avps !== 'string');
        assert.deepEqual(
          avps.map(({ code, vendor, mandatory, data }) => [code, vendor, mandatory, toHex(data)]),
          written.map(([{ code, vendor }, data]) => [code, vendor, true, toHex(data)]),
        );
      }),
    );
    fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (octets) => void readAvps(octets)));
  });
});
