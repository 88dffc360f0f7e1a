import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeUtf16le, decodeUtf8, encodeUtf16le, encodeUtf8 } from '../src/index.ts';

test('UTF-8 agrees with the platform for any text, lone surrogates included', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      assert.deepEqual(encodeUtf8(text), new Uint8Array(new TextEncoder().encode(text)));
      assert.equal(
        decodeUtf8(encodeUtf8(text)),
        new TextDecoder('utf-8', { ignoreBOM: true }).decode(new TextEncoder().encode(text)),
      );
    }),
  );
  assert.deepEqual([...encodeUtf8('\ud800')], [0xef, 0xbf, 0xbd]);
});

test('ill-formed UTF-8 never throws and never yields a surrogate or an overlong character', () => {
  fc.assert(fc.property(fc.uint8Array(), (bytes) => assert.ok(!/[\ud800-\udfff]/u.test(decodeUtf8(bytes)))));
  assert.equal(decodeUtf8(Uint8Array.of(0xc0, 0xaf)), '\ufffd\ufffd');
  assert.equal(decodeUtf8(Uint8Array.of(0xe0, 0x80, 0xaf)).includes('/'), false);
  assert.equal(decodeUtf8(Uint8Array.of(0xed, 0xa0, 0x80)).includes('\ud800'), false);
  assert.equal(decodeUtf8(Uint8Array.of(0x41, 0xf0, 0x9f)), 'A\ufffd\ufffd');
});

test('UTF-16LE goes there and back and drops an odd octet', () => {
  fc.assert(fc.property(fc.string(), (text) => assert.equal(decodeUtf16le(encodeUtf16le(text)), text)));
  assert.equal(decodeUtf16le(Uint8Array.of(0x41, 0, 0x42)), 'A');
});
