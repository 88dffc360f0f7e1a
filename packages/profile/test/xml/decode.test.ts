import { encodeUtf16le, encodeUtf8 } from '@aovpn/bytes';
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { decodeFile } from '../../src/xml/decode.ts';

suite('octets to text', () => {
  test('the first ill-formed character is found', () => {
    const latin1 = Uint8Array.of(0x3c, 0x61, 0x3e, 0xe9);
    assert.deepEqual(decodeFile(latin1), { kind: 'invalid', text: '<a>\ufffd', encoding: 'UTF-8', offset: 3 });
    const lone = encodeUtf16le('<a>\ud800</a>');
    assert.deepEqual(decodeFile(lone), { kind: 'invalid', text: '<a>\ud800</a>', encoding: 'UTF-16LE', offset: 3 });
  });

  test('overlong forms are no UTF-8', () => {
    assert.equal(decodeFile(Uint8Array.of(0x3c, 0xc0, 0xbc)).kind, 'invalid');
  });

  test('encodings that are not read are named', () => {
    assert.deepEqual(decodeFile(Uint8Array.of(0, 0, 0xfe, 0xff)), { kind: 'unsupported', encoding: 'UTF-32BE' });
    assert.deepEqual(decodeFile(Uint8Array.of(0, 0, 0, 0x3c)), { kind: 'unsupported', encoding: 'UTF-32BE' });
    assert.deepEqual(decodeFile(Uint8Array.of(0x4c, 0x6f, 0xa7, 0x94)), { kind: 'unsupported', encoding: 'EBCDIC' });
  });

  test('UTF-16 is recognised without a mark, blank lines first or not', () => {
    for (const text of ['<a/>', '\r\n<a/>']) {
      assert.deepEqual(decodeFile(encodeUtf16le(text)), { kind: 'text', text, encoding: 'UTF-16LE' });
    }
  });

  test('one octet and none', () => {
    assert.deepEqual(decodeFile(Uint8Array.of(0x61)), { kind: 'text', text: 'a', encoding: 'UTF-8' });
    assert.deepEqual(decodeFile(new Uint8Array(0)), { kind: 'text', text: '', encoding: 'UTF-8' });
    assert.deepEqual(decodeFile(encodeUtf8('\ufeff')), { kind: 'text', text: '', encoding: 'UTF-8' });
  });
});
