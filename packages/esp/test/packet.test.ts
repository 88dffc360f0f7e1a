import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { concat, fromHex, toHex } from '@aovpn/bytes';
import * as fc from 'fast-check';
import { espSuites, espTransform, openEsp, sealEsp, sealedLength, shortestSealed } from '../src/index.ts';
import { nodeCrypto } from './node-crypto.ts';

const hex = (text: string): Uint8Array => fromHex(text.replaceAll(/\s/g, ''));

interface Vector {
  readonly from: string;
  readonly suite: { readonly encr: number; readonly keyBits: number; readonly integ: number };
  readonly key: string;
  readonly spi: number;
  readonly sequence: number;
  readonly nextHeader: number;
  readonly iv: string;
  readonly payload: string;
  readonly packet: string;
}

const vectors: readonly Vector[] = [
  {
    from: 'draft-mcgrew-gcm-test-01, AES-128-GCM',
    suite: { encr: 20, keyBits: 128, integ: 0 },
    key: 'feffe9928665731c6d6a8f9467308308 cafebabe',
    spi: 0xa5f8,
    sequence: 10,
    nextHeader: 1,
    iv: 'facedbaddecaf888',
    payload: `4500003e698f000080114dccc0a80102c0a801010a980035002a2343b2d001000001000000000000037369700963796265726369747902646b0000010001`,
    packet: `0000a5f80000000afacedbaddecaf888deb22cd9b07c72c16e3a65beeb8df304a5a5897d33ae530f1ba76d5d114d2a5c3de81827c10e9a4f51330d0eec41
      6642cfbb85a5b47e48a4ec3b9ba95d918bd183b70d3aa8bc6ee4c309e9d85a41ad4a`,
  },
  {
    from: 'draft-mcgrew-gcm-test-01, AES-256-GCM, with padding',
    suite: { encr: 20, keyBits: 256, integ: 0 },
    key: 'abbccddef00112233445566778899aababbccddef00112233445566778899aab 11223344',
    spi: 0x4a2cbfe3,
    sequence: 2,
    nextHeader: 1,
    iv: '0102030405060708',
    payload: '4500003069a6400080062690c0a801029389155e0a9e008b2dc57ee0000000007002400020bf0000020405b401010402',
    packet: `4a2cbfe3000000020102030405060708ff425c9b724599df7a3bcd510194e00d6a78107f1b0b1cbf06efae9d65a5d763748a637985771d347f0545659f14
      e99def842d8eb335f4eecfdbf831824b4c4915956c96`,
  },
  {
    from: 'RFC 7634 appendix A',
    suite: { encr: 28, keyBits: 256, integ: 0 },
    key: '808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f a0a1a2a3',
    spi: 0x01020304,
    sequence: 5,
    nextHeader: 4,
    iv: '1011121314151617',
    payload: `45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec100007362708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f2021
      22232425262728292a2b2c2d2e2f3031323334353637`,
    packet: `01020304000000051011121314151617240394 28b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c614ee8099d52844eb61aa95dfab4c
      02f72aa71e7c4c4f64c9befe2facc638e8f3cbec163fac469b502773f6fb94e664da9165b82829f641e076aaa8266b7fb0f7b11b369907e1ad43`,
  },
];

/** Key octets that differ in every place. */
function keysOf(suite: Vector['suite']): { spi: number; encryptionKey: Uint8Array; integrityKey: Uint8Array } {
  const transform = espTransform(suite)!;
  return {
    spi: 0xc0ffee01,
    encryptionKey: Uint8Array.from({ length: transform.keyLength + transform.saltLength }, (_, i) => i * 7 + 1),
    integrityKey: Uint8Array.from({ length: transform.integrityKeyLength }, (_, i) => i * 5 + 2),
  };
}

suite('ESP packet', () => {
  for (const vector of vectors) {
    test(`known answer: ${vector.from}`, () => {
      const transform = espTransform(vector.suite)!;
      const sa = { spi: vector.spi, encryptionKey: hex(vector.key), integrityKey: new Uint8Array() };
      const packet = sealEsp(transform, sa, vector.sequence, vector.nextHeader, hex(vector.payload), hex(vector.iv), nodeCrypto);
      assert.equal(toHex(packet), toHex(hex(vector.packet)));
      const opened = openEsp(transform, sa, packet, nodeCrypto);
      assert.deepEqual(opened, {
        ok: true,
        sequence: vector.sequence,
        nextHeader: vector.nextHeader,
        payload: hex(vector.payload),
      });
    });
  }

  for (const suite of espSuites) {
    const transform = espTransform(suite)!;

    test(`${transform.name}: what is sealed opens again, and has the length foretold`, () => {
      const sa = keysOf(suite);
      fc.assert(
        fc.property(
          fc.uint8Array({ maxLength: 200 }),
          fc.integer({ min: 1, max: 0xffffffff }),
          fc.constantFrom(4, 41),
          (payload, sequence, nextHeader) => {
            const iv = new Uint8Array(transform.ivLength).fill(sequence & 0xff);
            const packet = sealEsp(transform, sa, sequence, nextHeader, payload, iv, nodeCrypto);
            assert.equal(packet.length, sealedLength(transform, payload.length));
            assert.ok(packet.length >= shortestSealed(transform));
            assert.deepEqual(openEsp(transform, sa, packet, nodeCrypto), { ok: true, sequence, nextHeader, payload });
          },
        ),
        { numRuns: 40 },
      );
    });

    test(`${transform.name}: any changed octet and any cut is refused`, () => {
      const sa = keysOf(suite);
      const iv = new Uint8Array(transform.ivLength).fill(9);
      const packet = sealEsp(transform, sa, 7, 4, new Uint8Array(45).fill(0x45), iv, nodeCrypto);
      for (let i = 4; i < packet.length; i++) {
        const forged = packet.slice();
        forged[i]! ^= 0x40;
        assert.deepEqual(openEsp(transform, sa, forged, nodeCrypto), { ok: false, why: 'authentication' }, `octet ${i}`);
      }
      for (let length = 0; length < packet.length; length++) {
        assert.equal(openEsp(transform, sa, packet.subarray(0, length), nodeCrypto).ok, false, `length ${length}`);
      }
      assert.equal(openEsp(transform, sa, concat(packet, new Uint8Array(1)), nodeCrypto).ok, false);
    });
  }

  test('padding that is not 1, 2, 3 is refused even when authentic', () => {
    const suite = { encr: 20, keyBits: 128, integ: 0 };
    const transform = espTransform(suite)!;
    const sa = keysOf(suite);
    const nonce = concat(sa.encryptionKey.subarray(16), new Uint8Array(8));
    const header = hex('c0ffee0100000001');
    for (const trailer of ['0103 0204', '0000 0001 0304', 'ff04', '0102 0304 0504']) {
      const plaintext = concat(new Uint8Array(2), hex(trailer));
      if (plaintext.length % 4 !== 0) continue;
      const sealed = nodeCrypto.sealAead(transform.cipher, sa.encryptionKey.subarray(0, 16), nonce, header, plaintext);
      const packet = concat(header, new Uint8Array(8), sealed);
      assert.deepEqual(openEsp(transform, sa, packet, nodeCrypto), { ok: false, why: 'malformed' }, trailer);
    }
  });
});

suite('ESP suites', () => {
  test('a cipher without integrity, an AEAD with it, and unknown numbers are no suite', () => {
    assert.equal(espTransform({ encr: 12, keyBits: 128, integ: 0 }), undefined);
    assert.equal(espTransform({ encr: 20, keyBits: 128, integ: 12 }), undefined);
    assert.equal(espTransform({ encr: 20, keyBits: 100, integ: 0 }), undefined);
    assert.equal(espTransform({ encr: 12, keyBits: 0, integ: 12 }), undefined);
    assert.equal(espTransform({ encr: 11, keyBits: 0, integ: 12 }), undefined);
  });

  test('fixed-length ciphers need no key length', () => {
    assert.equal(espTransform({ encr: 28, keyBits: 0, integ: 0 })?.keyLength, 32);
    assert.equal(espTransform({ encr: 3, keyBits: 0, integ: 2 })?.keyLength, 24);
  });

  for (const espSuite of espSuites) {
    const transform = espTransform(espSuite)!;
    test(`extended sequence numbers: the upper half of ${transform.name} does not travel and is authenticated`, () => {
      const sa = keysOf(espSuite);
      const payload = fromHex('4500001400000000ff00000001020304050607080a');
      const iv = new Uint8Array(transform.ivLength).fill(9);
      const sequence = 7 * 2 ** 32 + 3;
      const packet = sealEsp(transform, sa, sequence, 4, payload, iv, nodeCrypto, true);
      const short = sealEsp(transform, sa, 3, 4, payload, iv, nodeCrypto);
      assert.equal(packet.length, short.length);
      assert.equal(toHex(packet.subarray(0, -transform.icvLength)), toHex(short.subarray(0, -transform.icvLength)));
      const opened = openEsp(transform, sa, packet, nodeCrypto, (low) => 7 * 2 ** 32 + low);
      assert.ok(opened.ok && opened.sequence === sequence && toHex(opened.payload) === toHex(payload));
      for (const infer of [undefined, (low: number) => low, (low: number) => 6 * 2 ** 32 + low])
        assert.deepEqual(openEsp(transform, sa, packet, nodeCrypto, infer), { ok: false, why: 'authentication' });
    });
  }
});
