import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { suite, test } from 'node:test';
import { concat, fromHex, toHex } from '@aovpn/bytes';
import {
  AuthMethod,
  chooseScheme,
  decodeSignatureAuth,
  ecdsaSignatureToDer,
  encodeSignatureAuth,
  spkiKindOf,
  type SignatureScheme,
} from '@aovpn/ike';
import { crypto } from '../message/sample.ts';

const signature = fromHex('5a'.repeat(64));

/** RFC 7427 appendix A, RFC 8420 appendix A: AlgorithmIdentifiers as the RFCs print them. */
const identifiers: readonly (readonly [scheme: SignatureScheme, der: string])[] = [
  ['rsa-pkcs1-sha256', '300d06092a864886f70d01010b0500'],
  ['rsa-pkcs1-sha384', '300d06092a864886f70d01010c0500'],
  ['rsa-pkcs1-sha512', '300d06092a864886f70d01010d0500'],
  ['ecdsa-sha256', '300a06082a8648ce3d040302'],
  ['ecdsa-sha384', '300a06082a8648ce3d040303'],
  ['ecdsa-sha512', '300a06082a8648ce3d040304'],
  [
    'rsa-pss-sha256',
    '304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086480165030402010500a203020120',
  ],
  [
    'rsa-pss-sha384',
    '304106092a864886f70d01010a3034a00f300d06096086480165030402020500a11c301a06092a864886f70d010108300d06096086480165030402020500a203020130',
  ],
  [
    'rsa-pss-sha512',
    '304106092a864886f70d01010a3034a00f300d06096086480165030402030500a11c301a06092a864886f70d010108300d06096086480165030402030500a203020140',
  ],
  ['ed25519', '300506032b6570'],
];
const authData = (identifier: string, behind: Uint8Array = signature): Uint8Array =>
  concat(Uint8Array.of(identifier.length / 2), fromHex(identifier), behind);
const problem = (outcome: object): string =>
  'problem' in outcome ? String(outcome.problem) : assert.fail(JSON.stringify(outcome));

suite('Digital Signature (RFC 7427)', () => {
  for (const [scheme, identifier] of identifiers) {
    test(`${scheme}: golden and back`, () => {
      const encoded = encodeSignatureAuth(scheme, signature, true);
      assert.deepEqual([encoded.method, toHex(encoded.data)], [AuthMethod.DIGITAL_SIGNATURE, toHex(authData(identifier))]);
      assert.deepEqual(decodeSignatureAuth(encoded.method, encoded.data), { scheme, signature });
    });

    test(`${scheme}: cut anywhere, or changed in any octet of the identifier`, () => {
      const data = authData(identifier);
      for (let length = 0; length <= 1 + identifier.length / 2; length++)
        problem(decodeSignatureAuth(14, data.subarray(0, length)));
      for (let i = 0; i <= identifier.length / 2; i++) {
        const changed = Uint8Array.from(data);
        changed[i]! ^= 0x20;
        problem(decodeSignatureAuth(14, changed));
      }
    });
  }

  test('PSS without NULL behind the hash is the same thing (RFC 4055 §2.1)', () => {
    const short =
      '303d06092a864886f70d01010a3030a00d300b0609608648016503040201a11a301806092a864886f70d010108300b0609608648016503040201a203020120';
    assert.deepEqual(decodeSignatureAuth(14, authData(short)), { scheme: 'rsa-pss-sha256', signature });
  });

  const wrong = [
    ['PSS without parameters: SHA-1', '300d06092a864886f70d01010a3000'],
    ['PSS without MGF (CVE-2018-6459)', '302306092a864886f70d01010a3016a00f300d06096086480165030402010500a203020120'],
    ['PSS with a huge salt (CVE-2021-41990)', `${identifiers[6]![1].slice(0, -2)}7f`],
    ['PSS with another hash in MGF1', identifiers[6]![1].replace(/0201(0500a203020120)$/, '0202$1')],
    ['PKCS #1 without NULL', '300b06092a864886f70d01010b'],
    ['PKCS #1 with a length in long form', '30810d06092a864886f70d01010b0500'],
    ['ECDSA with NULL', '300c06082a8648ce3d0403020500'],
    ['ECDSA with SHA-1', '300906072a8648ce3d0401'],
    ['MD5', '300d06092a864886f70d0101040500'],
    ['Ed448', '300506032b6571'],
  ] as const;
  for (const [what, identifier] of wrong)
    test(`refused: ${what}`, () => void problem(decodeSignatureAuth(14, authData(identifier))));

  test('refused: SHA-1, which we never announce', () => {
    assert.match(problem(decodeSignatureAuth(14, authData('300d06092a864886f70d0101050500'))), /announced/);
  });

  test('refused: no identifier, no signature, nothing', () => {
    for (const data of [
      Uint8Array.of(),
      Uint8Array.of(0),
      Uint8Array.of(0, 1, 2),
      authData(identifiers[0]![1], new Uint8Array(0)),
    ]) {
      problem(decodeSignatureAuth(14, data));
    }
  });

  test('refused: a scheme that does not go with the key', () => {
    assert.ok('scheme' in decodeSignatureAuth(14, authData(identifiers[0]![1]), 'rsa'));
    assert.ok('scheme' in decodeSignatureAuth(14, authData(identifiers[3]![1]), 'p384'), 'hash and curve are free here');
    problem(decodeSignatureAuth(14, authData(identifiers[0]![1]), 'rsa-pss'));
    problem(decodeSignatureAuth(14, authData(identifiers[0]![1]), 'p256'));
    problem(decodeSignatureAuth(14, authData(identifiers[3]![1]), 'rsa'));
    problem(decodeSignatureAuth(14, authData(identifiers[9]![1]), 'p256'));
  });
});

suite('methods with a hash of their own', () => {
  test('RSA (RFC 7296 §3.8): the octets as they are', () => {
    assert.deepEqual(encodeSignatureAuth('rsa-pkcs1-sha1', signature, false), { method: 1, data: signature });
    assert.deepEqual(decodeSignatureAuth(1, signature, 'rsa'), { scheme: 'rsa-pkcs1-sha1', signature });
    problem(decodeSignatureAuth(1, signature, 'p256'));
  });

  for (const [method, scheme, curve, kind, half] of [
    [9, 'ecdsa-sha256', 'prime256v1', 'p256', 32],
    [10, 'ecdsa-sha384', 'secp384r1', 'p384', 48],
    [11, 'ecdsa-sha512', 'secp521r1', 'p521', 66],
  ] as const) {
    test(`ECDSA method ${method} (RFC 4754 §7): r | s on the wire, DER at the port`, () => {
      const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: curve });
      const spki = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }));
      assert.equal(spkiKindOf(spki), kind);
      const data = fromHex('0102');
      for (let i = 0; i < 40; i++) {
        const der = new Uint8Array(sign(scheme.slice(6), data, privateKey));
        const encoded = encodeSignatureAuth(scheme, der, false);
        assert.deepEqual([encoded.method, encoded.data.length], [method, 2 * half]);
        const decoded = decodeSignatureAuth(method, encoded.data, kind);
        assert.deepEqual(decoded, { scheme, signature: der });
        assert.ok(i > 0 || crypto.verify(spki, scheme, data, der));
      }
      for (const length of [0, 1, 2 * half - 1, 2 * half + 1])
        problem(decodeSignatureAuth(method, new Uint8Array(length).fill(1), kind));
      for (const other of ['rsa', 'p256', 'p384', 'p521', 'ed25519'] as const) {
        if (other !== kind) problem(decodeSignatureAuth(method, new Uint8Array(2 * half).fill(1), other));
      }
    });
  }

  test('zeros become DER that no verification accepts', () => {
    const decoded = decodeSignatureAuth(9, new Uint8Array(64), 'p256');
    assert.equal('signature' in decoded && toHex(decoded.signature), '3006020100020100');
  });

  test('methods that are no signature', () => {
    for (const method of [0, 2, 3, 8, 12, 13, 15, 255]) problem(decodeSignatureAuth(method, signature));
  });

  test('what no method can carry is our own mistake', () => {
    assert.throws(() => encodeSignatureAuth('rsa-pkcs1-sha256', signature, false), RangeError);
    assert.throws(() => encodeSignatureAuth('ed25519', signature, false), RangeError);
    assert.throws(() => encodeSignatureAuth('ecdsa-sha256', signature, false), RangeError);
    assert.throws(() => encodeSignatureAuth('ecdsa-sha256', ecdsaSignatureToDer(new Uint8Array(96).fill(1)), false), RangeError);
  });
});

test('choosing: RFC 7427 with a hash that both know, else a method with a hash of its own, else nothing', () => {
  const rsa: SignatureScheme[] = ['rsa-pss-sha256', 'rsa-pkcs1-sha384', 'rsa-pkcs1-sha1'];
  assert.deepEqual(chooseScheme(rsa, [2, 3]), { scheme: 'rsa-pss-sha256', rfc7427: true });
  assert.deepEqual(chooseScheme(rsa, [3]), { scheme: 'rsa-pkcs1-sha384', rfc7427: true });
  assert.deepEqual(chooseScheme(rsa, [4]), { scheme: 'rsa-pkcs1-sha1', rfc7427: false });
  assert.deepEqual(chooseScheme(rsa, []), { scheme: 'rsa-pkcs1-sha1', rfc7427: false });
  assert.deepEqual(chooseScheme(rsa, undefined), { scheme: 'rsa-pkcs1-sha1', rfc7427: false });
  assert.equal(chooseScheme(['rsa-pss-sha256'], undefined), undefined);
  assert.deepEqual(chooseScheme(['ecdsa-sha384'], undefined), { scheme: 'ecdsa-sha384', rfc7427: false });
  assert.deepEqual(chooseScheme(['ecdsa-sha384'], [2, 3]), { scheme: 'ecdsa-sha384', rfc7427: true });
  assert.deepEqual(chooseScheme(['ed25519'], [5]), { scheme: 'ed25519', rfc7427: true });
  assert.equal(chooseScheme(['ed25519'], [2]), undefined);
  assert.equal(chooseScheme([], [2]), undefined);
});

test('what kind of key a SubjectPublicKeyInfo holds', () => {
  const spki = (type: string, options: object = {}): Uint8Array =>
    new Uint8Array(
      generateKeyPairSync(type as 'rsa', options as { modulusLength: number }).publicKey.export({ type: 'spki', format: 'der' }),
    );
  assert.equal(spkiKindOf(spki('rsa', { modulusLength: 2048 })), 'rsa');
  assert.equal(spkiKindOf(spki('rsa-pss', { modulusLength: 2048 })), 'rsa-pss');
  assert.equal(
    spkiKindOf(spki('rsa-pss', { modulusLength: 2048, hashAlgorithm: 'sha256', mgf1HashAlgorithm: 'sha256', saltLength: 32 })),
    'rsa-pss',
  );
  assert.equal(spkiKindOf(spki('ec', { namedCurve: 'secp521r1' })), 'p521');
  assert.equal(spkiKindOf(spki('ed25519')), 'ed25519');
  assert.equal(spkiKindOf(spki('ec', { namedCurve: 'secp256k1' })), undefined);
  assert.equal(spkiKindOf(spki('ed448')), undefined);
  for (const octets of [new Uint8Array(0), Uint8Array.of(0x30), Uint8Array.of(0x31, 0x82, 1)])
    assert.equal(spkiKindOf(octets), undefined);
});
