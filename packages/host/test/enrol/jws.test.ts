import assert from 'node:assert/strict';
import { createHmac, createPrivateKey, createPublicKey, generateKeyPairSync, verify } from 'node:crypto';
import { suite, test } from 'node:test';
import {
  bindAccount,
  dnsProof,
  isBase64Url,
  publicJwk,
  signJws,
  thumbprint,
  type FlattenedJws,
} from '../../src/enrol/acme/jws.ts';

/** RFC 7515 appendix A.3. */
const es256 = {
  jwk: {
    kty: 'EC',
    crv: 'P-256',
    x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
    y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
    d: 'jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI',
  },
  jws: {
    protected: 'eyJhbGciOiJFUzI1NiJ9',
    payload: 'eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ',
    signature: 'DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q',
  },
};
/** RFC 7515 appendix A.1. */
const hs256 = {
  key: 'AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow',
  jws: {
    protected: 'eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9',
    payload: 'eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ',
    signature: 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk',
  },
};
const key = createPrivateKey({ key: es256.jwk, format: 'jwk' });
const input = (jws: FlattenedJws): Buffer => Buffer.from(`${jws.protected}.${jws.payload}`);
const isByKey = (jws: FlattenedJws): boolean =>
  verify('sha256', input(jws), { key: createPublicKey(key), dsaEncoding: 'ieee-p1363' }, Buffer.from(jws.signature, 'base64url'));
const macOf = (jws: FlattenedJws): string =>
  createHmac('sha256', Buffer.from(hs256.key, 'base64url')).update(input(jws)).digest('base64url');
const parse = (text: string): unknown => JSON.parse(Buffer.from(text, 'base64url').toString());

suite('JWS', () => {
  test('ES256: who believes the signature of RFC 7515 A.3 believes ours, and no changed one', () => {
    assert.ok(isByKey(es256.jws));
    const plain = signJws(key, {}, { iss: 'joe' });
    assert.equal(plain.protected, es256.jws.protected);
    assert.ok(isByKey(plain));
    assert.equal(Buffer.from(plain.signature, 'base64url').length, 64);
    assert.ok(!isByKey({ ...plain, payload: es256.jws.payload }));
  });

  test('header and payload as ACME wants them; a question for a resource has an empty payload', () => {
    const header = {
      kid: 'https://example.com/acme/acct/evOfKhNU60wg',
      nonce: '5XJ1L3lEkMG7tR6pA00clA',
      url: 'https://example.com/acme/new-order',
    };
    const jws = signJws(key, header, { identifiers: [] });
    assert.deepEqual(Object.keys(jws), ['protected', 'payload', 'signature']);
    assert.deepEqual(parse(jws.protected), { alg: 'ES256', ...header });
    assert.deepEqual(parse(jws.payload), { identifiers: [] });
    const question = signJws(key, header, undefined);
    assert.equal(question.payload, '');
    assert.ok(isByKey(question));
    assert.equal(signJws(key, header, {}).payload, 'e30');
  });

  test('HS256: the binding of an account, by the MAC that RFC 7515 A.1 has, without a nonce (RFC 8555 §7.3.4)', () => {
    assert.equal(macOf(hs256.jws), hs256.jws.signature);
    const url = 'https://example.com/acme/new-account';
    const bound = bindAccount(Buffer.from(hs256.key, 'base64url'), 'kid-1', url, publicJwk(key));
    assert.equal(bound.signature, macOf(bound));
    assert.deepEqual(parse(bound.protected), { alg: 'HS256', kid: 'kid-1', url });
    assert.deepEqual(parse(bound.payload), publicJwk(key));
  });

  test('the public half of a key, and nothing else of it', () => {
    const { d: _, ...open } = es256.jwk;
    assert.deepEqual(publicJwk(key), open);
    assert.throws(() => publicJwk(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey), TypeError);
    assert.throws(() => publicJwk(generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey), TypeError);
  });

  test('the thumbprint of a key (RFC 9449 §6.1 has one), and what a TXT record says', () => {
    const dpop = {
      kty: 'EC',
      crv: 'P-256',
      x: 'l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs',
      y: '9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA',
    } as const;
    assert.equal(thumbprint(dpop), '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I');
    const token = 'evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA';
    assert.match(dnsProof(token, dpop), /^[A-Za-z0-9_-]{43}$/);
    assert.notEqual(dnsProof(token, dpop), dnsProof(token, publicJwk(key)));
  });

  test('base64url is that alphabet, one character or more, and no padding', () => {
    for (const good of ['A', 'oFvnlFP1wIhRlYS2jTaXbA', '-_']) assert.ok(isBase64Url(good, 64), good);
    for (const bad of ['', 'a=', 'a+', 'a/', 'a b', 'ä', 'a\n', 'x'.repeat(65)]) assert.ok(!isBase64Url(bad, 64), bad);
  });
});
