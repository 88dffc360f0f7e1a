import assert from 'node:assert/strict';
import { constants, createHash, createPublicKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { suite, test } from 'node:test';
import { createEapCrypto, createIkeCrypto } from '@aovpn/host';
import { concat, fromHex, toHex } from '@aovpn/bytes';
import { ecdsaSignatureToDer, type SignatureScheme } from '@aovpn/ike';

const crypto = createIkeCrypto();
const verify: typeof crypto.verify = (...args) => crypto.verify(...args);
const data = new TextEncoder().encode('RealMessage | Nonce | prf(SK_p, ID)');

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const rsaE3 = generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 3 });
const p256 = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
const p384 = generateKeyPairSync('ec', { namedCurve: 'secp384r1' });
const p521 = generateKeyPairSync('ec', { namedCurve: 'secp521r1' });
const ed25519 = generateKeyPairSync('ed25519');

const spkiOf = (key: KeyObject): Uint8Array => new Uint8Array(key.export({ type: 'spki', format: 'der' }));

interface Case {
  readonly scheme: SignatureScheme;
  readonly pair: { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
  readonly signature: Uint8Array;
}

const hashes = ['sha256', 'sha384', 'sha512'] as const;
const pss = (hash: string, saltLength: number, key = rsa.privateKey): Uint8Array =>
  sign(hash, data, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength });
const cases: readonly Case[] = [
  ...(['sha1', ...hashes] as const).map((hash): Case => ({
    scheme: `rsa-pkcs1-${hash}`,
    pair: rsa,
    signature: sign(hash, data, rsa.privateKey),
  })),
  ...hashes.map((hash, i): Case => ({ scheme: `rsa-pss-${hash}`, pair: rsa, signature: pss(hash, 32 + 16 * i) })),
  { scheme: 'ecdsa-sha256', pair: p256, signature: sign('sha256', data, p256.privateKey) },
  { scheme: 'ecdsa-sha384', pair: p384, signature: sign('sha384', data, p384.privateKey) },
  { scheme: 'ecdsa-sha512', pair: p521, signature: sign('sha512', data, p521.privateKey) },
  { scheme: 'ed25519', pair: ed25519, signature: sign(null, data, ed25519.privateKey) },
];

for (const { scheme, pair, signature } of cases) {
  test(`${scheme}: the right signature holds, and no other`, () => {
    const spki = spkiOf(pair.publicKey);
    assert.equal(verify(spki, scheme, data, signature), true);
    assert.equal(verify(spki, scheme, concat(data, Uint8Array.of(0)), signature), false, 'other data');
    for (const at of [0, signature.length >> 1, signature.length - 1]) {
      const changed = Uint8Array.from(signature);
      changed[at]! ^= 1;
      assert.equal(verify(spki, scheme, data, changed), false, 'changed signature');
    }
    for (const length of [0, 1, signature.length - 1]) {
      assert.equal(verify(spki, scheme, data, signature.subarray(0, length)), false, 'cut signature');
    }
    assert.equal(verify(spki, scheme, data, concat(signature, Uint8Array.of(0))), false, 'octet behind the signature');
    assert.equal(verify(spki, scheme, data, concat(Uint8Array.of(0), signature)), false, 'octet before the signature');
    assert.equal(verify(concat(spki, Uint8Array.of(0)), scheme, data, signature), false, 'octet behind the key');
    for (let length = 0; length < spki.length; length += 7) {
      assert.equal(verify(spki.subarray(0, length), scheme, data, signature), false, 'cut key');
    }
    for (const other of cases) {
      if (other.scheme === scheme) continue;
      assert.equal(verify(spki, other.scheme, data, signature), false, `as ${other.scheme}`);
      assert.equal(verify(spkiOf(other.pair.publicKey), scheme, data, signature), other.pair === pair, 'with the other key');
    }
  });
}

suite('RSA keys that are refused', () => {
  const withExponent = (e: string): Uint8Array => {
    const { n } = rsa.publicKey.export({ format: 'jwk' });
    return spkiOf(createPublicKey({ format: 'jwk', key: { kty: 'RSA', n: n!, e: Buffer.from(e, 'hex').toString('base64url') } }));
  };

  test('exponents 1, 2, 4, 65536 and beyond 2³³ (CVE-2026-14957, CVE-2017-11185)', () => {
    assert.equal(verify(withExponent('010001'), 'rsa-pkcs1-sha256', data, cases[1]!.signature), true, 'positive control');
    for (const exponent of ['01', '02', '04', '010000', '0200000001', '01000000000000000001']) {
      assert.equal(verify(withExponent(exponent), 'rsa-pkcs1-sha256', data, cases[1]!.signature), false, exponent);
    }
    // With e = 1 the padded block is its own signature.
    const digestInfo = concat(fromHex('3031300d060960864801650304020105000420'), createHash('sha256').update(data).digest());
    const block = concat(
      Uint8Array.of(0, 1),
      new Uint8Array(256 - 3 - digestInfo.length).fill(0xff),
      Uint8Array.of(0),
      digestInfo,
    );
    assert.equal(verify(withExponent('01'), 'rsa-pkcs1-sha256', data, block), false);
  });

  test('exponent 0 and a modulus of 0', () => {
    const rsaSpki = (n: string, e: string): Uint8Array => {
      const der = (tag: string, content: string): string => {
        const length = content.length / 2;
        return (
          tag +
          (length < 128 ? '' : length < 256 ? '81' : '82') +
          length.toString(16).padStart(length < 256 ? 2 : 4, '0') +
          content
        );
      };
      const key = der('30', der('02', n) + der('02', e));
      return fromHex(der('30', `300d06092a864886f70d0101010500${der('03', `00${key}`)}`));
    };
    const { n } = rsa.publicKey.export({ format: 'jwk' });
    const modulus = `00${Buffer.from(n!, 'base64url').toString('hex')}`;
    assert.equal(verify(rsaSpki(modulus, '010001'), 'rsa-pkcs1-sha256', data, cases[1]!.signature), true, 'positive control');
    for (const [mod, exponent] of [
      [modulus, '00'],
      [modulus, 'ff'],
      ['00', '010001'],
      ['00', '00'],
    ] as const) {
      assert.equal(verify(rsaSpki(mod, exponent), 'rsa-pkcs1-sha256', data, cases[1]!.signature), false);
    }
  });

  test('1024 bits', () => {
    const weak = generateKeyPairSync('rsa', { modulusLength: 1024 });
    assert.equal(verify(spkiOf(weak.publicKey), 'rsa-pkcs1-sha256', data, sign('sha256', data, weak.privateKey)), false);
  });
});

suite('forgeries', () => {
  // CVE-2018-16151, CVE-2018-16152, CVE-2018-17540, CVE-2026-50721: with e = 3 a cube root passes a check that stops at the digest.
  test('e = 3: a cube root with its rubbish behind the digest', () => {
    assert.equal(
      verify(spkiOf(rsaE3.publicKey), 'rsa-pkcs1-sha256', data, sign('sha256', data, rsaE3.privateKey)),
      true,
      'e = 3 itself is fine',
    );
    const digestInfo = concat(fromHex('3031300d060960864801650304020105000420'), createHash('sha256').update(data).digest());
    const prefix = concat(Uint8Array.of(0, 1), new Uint8Array(8).fill(0xff), Uint8Array.of(0), digestInfo);
    const root = cubeRootUp(BigInt(`0x${toHex(concat(prefix, new Uint8Array(256 - prefix.length)))}`));
    const cube = fromHex((root ** 3n).toString(16).padStart(512, '0'));
    assert.deepEqual(cube.subarray(0, prefix.length), prefix, 'positive control: a lenient check would accept this');
    const forged = fromHex(root.toString(16).padStart(512, '0'));
    assert.equal(verify(spkiOf(rsaE3.publicKey), 'rsa-pkcs1-sha256', data, forged), false);
  });

  // CVE-2021-41990: salts of any length but the hash's, the largest possible one too; CVE-2018-6459 has no parameters to leave out here.
  test('PSS: salts of other lengths', () => {
    for (const salt of [0, 20, 31, 33, 222])
      assert.equal(verify(spkiOf(rsa.publicKey), 'rsa-pss-sha256', data, pss('sha256', salt)), false, `${salt}`);
  });

  test('PSS keys: usable for their own hash only, and not for PKCS #1 v1.5', () => {
    // Node takes the salt's length as a number; its types say text.
    const options = {
      modulusLength: 2048,
      hashAlgorithm: 'sha256',
      mgf1HashAlgorithm: 'sha256',
      saltLength: 32 as unknown as string,
    };
    const key = generateKeyPairSync('rsa-pss', options);
    const signature = pss('sha256', 32, key.privateKey);
    const spki = spkiOf(key.publicKey);
    assert.equal(verify(spki, 'rsa-pss-sha256', data, signature), true);
    for (const scheme of ['rsa-pss-sha384', 'rsa-pkcs1-sha256'] as const)
      assert.equal(verify(spki, scheme, data, signature), false);
  });

  test('ECDSA: other encodings of the same signature, zeros, and other curves', () => {
    const spki = spkiOf(p256.publicKey);
    const raw = sign('sha256', data, { key: p256.privateKey, dsaEncoding: 'ieee-p1363' });
    const der = ecdsaSignatureToDer(raw);
    assert.equal(verify(spki, 'ecdsa-sha256', data, der), true);
    const body = der.subarray(2);
    const rLength = body[1]!;
    const [r, rest] = [body.subarray(2, 2 + rLength), body.subarray(2 + rLength)];
    const padded = concat(Uint8Array.of(2, rLength + 1, 0), r, rest);
    const loose = [
      raw,
      concat(Uint8Array.of(0x30, 0x81, body.length), body),
      concat(Uint8Array.of(0x30, 0x80), body, Uint8Array.of(0, 0)),
      concat(Uint8Array.of(0x30, padded.length), padded),
      concat(Uint8Array.of(0x30, body.length + 2), body, Uint8Array.of(5, 0)),
      concat(Uint8Array.of(0x31, body.length), body),
    ];
    for (const signature of loose) assert.equal(verify(spki, 'ecdsa-sha256', data, signature), false);
    for (const value of ['00'.repeat(64), '00'.repeat(32) + toHex(raw.subarray(32)), 'ff'.repeat(64)]) {
      assert.equal(verify(spki, 'ecdsa-sha256', data, ecdsaSignatureToDer(fromHex(value))), false);
    }
    const k1 = generateKeyPairSync('ec', { namedCurve: 'secp256k1' });
    assert.equal(verify(spkiOf(k1.publicKey), 'ecdsa-sha256', data, sign('sha256', data, k1.privateKey)), false);
  });
});

test('EAP: SHA-1 over parts, and randomness of the length wanted', () => {
  const eap = createEapCrypto();
  assert.equal(toHex(eap.sha1(Uint8Array.of(0x61), Uint8Array.of(0x62, 0x63))), 'a9993e364706816aba3e25717850c26c9cd0d89d');
  assert.equal(eap.random(24).length, 24);
});

function cubeRootUp(value: bigint): bigint {
  let low = 0n;
  let high = 1n << 700n;
  while (low < high) {
    const middle = (low + high) >> 1n;
    if (middle ** 3n < value) low = middle + 1n;
    else high = middle;
  }
  return low;
}
