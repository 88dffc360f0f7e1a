import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { createIkeCrypto } from '@aovpn/host';
import { equal, fromHex, toHex } from '@aovpn/bytes';
import { Encr, encrRows, Integ, Prf } from '@aovpn/ike';

const crypto = createIkeCrypto();
const text = (value: string): Uint8Array => new TextEncoder().encode(value);

suite('PRF and integrity', () => {
  // RFC 2202 §3 test 1; RFC 4231 §4.3 (test case 2, key "Jefe")
  const prfVectors = [
    [Prf.HMAC_SHA1, '0b'.repeat(20), 'Hi There', 'b617318655057264e28bc0b6fb378c8ef146be00'],
    [
      Prf.HMAC_SHA2_256,
      '4a656665',
      'what do ya want for nothing?',
      '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
    ],
    [
      Prf.HMAC_SHA2_384,
      '4a656665',
      'what do ya want for nothing?',
      'af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649',
    ],
    [
      Prf.HMAC_SHA2_512,
      '4a656665',
      'what do ya want for nothing?',
      '164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554' +
        '9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737',
    ],
  ] as const;
  for (const [prf, key, data, digest] of prfVectors) {
    test(`PRF ${prf} gives the RFC's value, also for data in parts`, () => {
      assert.equal(toHex(crypto.prf(prf, fromHex(key), text(data))), digest);
      assert.equal(toHex(crypto.prf(prf, fromHex(key), text(data.slice(0, 3)), new Uint8Array(0), text(data.slice(3)))), digest);
    });
  }

  // RFC 4868 §2.7.2 (AUTH256-1, AUTH384-1, AUTH512-1); RFC 2404 is RFC 2202's value cut to 96 bits
  const integVectors = [
    [Integ.HMAC_SHA1_96, 20, 'b617318655057264e28bc0b6'],
    [Integ.HMAC_SHA2_256_128, 32, '198a607eb44bfbc69903a0f1cf2bbdc5'],
    [Integ.HMAC_SHA2_384_192, 48, 'b6a8d5636f5c6a7224f9977dcf7ee6c7fb6d0c48cbdee973'],
    [Integ.HMAC_SHA2_512_256, 64, '637edc6e01dce7e6742a99451aae82df23da3e92439e590e43e761b33e910fb8'],
  ] as const;
  for (const [integ, keyLength, icv] of integVectors) {
    test(`integrity ${integ} gives the RFC's value`, () => {
      assert.equal(toHex(crypto.integrity(integ, new Uint8Array(keyLength).fill(0x0b), text('Hi There'))), icv);
      assert.throws(() => crypto.integrity(integ, new Uint8Array(keyLength - 1), text('Hi There')), RangeError);
    });
  }
});

suite('ciphers', () => {
  // McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 4, 10 and 16: the same input under three key lengths
  const gcmPlaintext =
    'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39';
  const gcmVectors = [
    ['feffe9928665731c6d6a8f9467308308', '42831ec2', '5bc94fbc3221a5db94fae95ae7121a47'],
    ['feffe9928665731c6d6a8f9467308308feffe9928665731c', '3980ca0b', '2519498e80f1478f37ba55bd6d27618c'],
    ['feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308', '522dc1f0', '76fc6ece0f4e1768cddf8853bb2d551b'],
  ] as const;
  for (const [key, start, tag] of gcmVectors) {
    test(`AES-GCM with a key of ${key.length * 4} bits`, () => {
      const keyAndSalt = fromHex(`${key}cafebabe`);
      const iv = fromHex('facedbaddecaf888');
      const aad = fromHex('feedfacedeadbeeffeedfacedeadbeefabaddad2');
      const sealed = crypto.encrypt(Encr.AES_GCM_16, keyAndSalt, iv, fromHex(gcmPlaintext), aad);
      assert.equal(toHex(sealed.subarray(0, 4)), start);
      assert.equal(toHex(sealed.subarray(-16)), tag);
      assert.equal(toHex(crypto.decrypt(Encr.AES_GCM_16, keyAndSalt, iv, sealed, aad)!), gcmPlaintext);
    });
  }

  // RFC 8439 §2.8.2
  test('ChaCha20-Poly1305', () => {
    const key = fromHex('808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f07000000');
    const iv = fromHex('4041424344454647');
    const aad = fromHex('50515253c0c1c2c3c4c5c6c7');
    const plaintext = text(
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
    );
    const sealed = crypto.encrypt(Encr.CHACHA20_POLY1305, key, iv, plaintext, aad);
    assert.equal(toHex(sealed.subarray(0, 16)), 'd31a8d34648e60db7b86afbc53ef7ec2');
    assert.equal(toHex(sealed.subarray(-16)), '1ae10b594f09e26a7e902ecbd0600691');
    assert.ok(equal(crypto.decrypt(Encr.CHACHA20_POLY1305, key, iv, sealed, aad)!, plaintext));
  });

  // RFC 3602 §4 case 1
  test('AES-CBC', () => {
    const key = fromHex('06a9214036b8a15b512e03d534120006');
    const iv = fromHex('3dafba429d9eb430b422da802c9fac41');
    const sealed = crypto.encrypt(Encr.AES_CBC, key, iv, text('Single block msg'), new Uint8Array(0));
    assert.equal(toHex(sealed), 'e353779c1079aeb82708942dbe77181a');
    assert.ok(equal(crypto.decrypt(Encr.AES_CBC, key, iv, sealed, new Uint8Array(0))!, text('Single block msg')));
  });

  // NIST SP 800-67 appendix B.1, whose three blocks in ECB are here the first block of three CBC runs under a zero IV
  test('3DES', () => {
    const key = fromHex('0123456789abcdef23456789abcdef01456789abcdef0123');
    const blocks = [
      ['5468652071756663', 'a826fd8ce53b855f'],
      ['6b2062726f776e20', 'cce21c8112256fe6'],
      ['666f78206a756d70', '68d5c05dd9b6b900'],
    ] as const;
    for (const [plain, sealed] of blocks) {
      assert.equal(toHex(crypto.encrypt(Encr.DES3, key, new Uint8Array(8), fromHex(plain), new Uint8Array(0))), sealed);
      assert.equal(toHex(crypto.decrypt(Encr.DES3, key, new Uint8Array(8), fromHex(sealed), new Uint8Array(0))!), plain);
    }
  });

  for (const row of encrRows) {
    for (const bits of row.keyBits) {
      test(`${row.name}-${bits}: what was changed, cut or is empty does not decrypt; wrong lengths of ours throw`, () => {
        const key = crypto.random(bits / 8 + row.saltLength);
        const iv = crypto.random(row.ivLength);
        const aad = text('header');
        const sealed = crypto.encrypt(row.id, key, iv, new Uint8Array(48).fill(7), aad);
        assert.equal(sealed.length, 48 + row.icvLength);
        if (row.aead) {
          for (let i = 0; i < sealed.length; i++) {
            const changed = Uint8Array.from(sealed);
            changed[i]! ^= 1;
            assert.equal(crypto.decrypt(row.id, key, iv, changed, aad), undefined);
          }
          assert.equal(crypto.decrypt(row.id, key, iv, sealed, text('Header')), undefined);
        }
        for (let length = 0; length < sealed.length; length++) {
          const outcome = crypto.decrypt(row.id, key, iv, sealed.subarray(0, length), aad);
          const isWhole = !row.aead && length > 0 && length % row.blockLength === 0;
          assert.equal(outcome?.length, isWhole ? length : undefined);
        }
        assert.throws(() => crypto.encrypt(row.id, key.subarray(1), iv, new Uint8Array(48), aad), RangeError);
        assert.throws(() => crypto.encrypt(row.id, key, iv.subarray(1), new Uint8Array(48), aad), RangeError);
        if (!row.aead) assert.throws(() => crypto.encrypt(row.id, key, iv, new Uint8Array(47), aad), RangeError);
      });
    }
  }
});

test('hashes, and octets that are nobody else’s', () => {
  assert.equal(toHex(crypto.hash('sha1', text('a'), text('bc'))), 'a9993e364706816aba3e25717850c26c9cd0d89d');
  assert.equal(toHex(crypto.hash('sha256', text('abc'))).slice(0, 16), 'ba7816bf8f01cfea');
  assert.equal(toHex(crypto.hash('sha384', text('abc'))).slice(0, 16), 'cb00753f45a35e8b');
  assert.equal(toHex(crypto.hash('sha512', text('abc'))).slice(0, 16), 'ddaf35a193617aba');
  for (const octets of [crypto.random(16), crypto.hash('sha1'), crypto.prf(Prf.HMAC_SHA1, text('key'), text('data'))]) {
    assert.equal(Object.getPrototypeOf(octets), Uint8Array.prototype);
    assert.equal(octets.buffer.byteLength, octets.length);
  }
  assert.ok(!equal(crypto.random(16), crypto.random(16)));
  assert.throws(() => crypto.prf(99, text('key')), RangeError);
  assert.throws(() => crypto.integrity(0, text('key')), RangeError);
  assert.throws(() => crypto.encrypt(99, text('key'), text('iv'), text(''), text('')), RangeError);
});
