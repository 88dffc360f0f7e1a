import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { suite, test } from 'node:test';
import { concat, equal, fromHex, toHex } from '@aovpn/bytes';
import { deriveChildKeys, deriveIkeKeys, deriveRekeyedIkeKeys, sharedKeyAuth, signedOctets } from '@aovpn/ike';
import {
  deriveNextIkeKeys,
  deriveResumedIkeKeys,
  mixPpk,
  ppkConfirmation,
  prfPlus,
  resumedAuth,
} from '../../src/crypto/keymat.ts';
import { allSuites, crypto } from '../message/sample.ts';

const sha1 = 2;

// NIST CAVP, SP 800-135 component test vectors, IKEv2 with SHA-1, first case of 1024-bit secrets.
// Its 132 octets of DKM are exactly what AES-CBC-128 with HMAC-SHA1-96 takes.
const nist = {
  sharedSecret: fromHex(
    'd084a30166a50fb7325c3960874a839449ef9741c2f4f947d0201dd8c1269273d79509f37e3ca3eb4fa2fe2a28254e289cd3f34dad4eb4df1a07685a4b8a94fa' +
      '61e2491f7598b3ce65547ff133b3f63d1ac4175eaa695033f3cedb026a6873a36455172a8540b8a5d23a0143bed0390ee49b168269d75fffee9fb62be965993c',
  ),
  newSecret: fromHex(
    '52f00ab174c25d5b7139ae5ff4e8e9eddee5992d2e36adf8a559ffd90dab1442e4fbe429d320c0f33552a17d1557fa41ea70e8fb916c4fa27ed52b5f8ebd8461' +
      'afa78f1159159a64055ac5f6319e29c28eae58cbc6847770f32c3fed1d04750484f854790f95e9ec01bc5bc461f24966462e359511329305038e94deb6dd42c2',
  ),
  nonceI: fromHex('3651fef5c9c35e93'),
  nonceR: fromHex('c09a8b90a3f04d59'),
  spiI: fromHex('8e5c3ae507221684'),
  spiR: fromHex('b1f201bb155c3acd'),
  dkm:
    '6f1b12cad3cbe097b35430356d869d54cddb0198ec859174d53ceb92dddedbe2436db69f60977c58fa63bbb667f8d36920b109baae8f6c61a9ac49fe' +
    'da01843225d080ec5539d5881a25521ffb2a0a91874a9c0a27fcc2d717eb8963a9e3a89c7ab264757284c28cf8c3ca40576f4220b052b1fb8e9ad60b' +
    'a3c80557323331a8cbb89f20',
  child:
    '4727dc0ef94eb326ce131cf282fb652faa638ad0ddae3786a11bcc0309876009f8c485de011ad962c5b1ca8a41ff8145445749079c5686e26ffebbc3' +
    '42f06981f3da745e11ca0976424d1f8caec623d59dc7186deb20a27b411d1dcb70a365440bf7de905088b0692e8addc094e18d1939bdb67e89798ca6' +
    'b239e2ccb81c2409dac0106c',
  childWithSecret:
    'b109c21ad4c0797768c1cec9e63554681e48f224bca7f23c20c4ea7041983451e9aa1d5408656c8a975ff1b9d9a12c75ffeb64bdecb30174664cccb4' +
    'e14f1c377b7f6d1525af77c7092aac3e47f917ebae8297fb5539d2008ce830823a09cc197361d4a289c72745f6ce9fefe812be5bf55b3200fbb82e41' +
    'a4a40877d3fe106db909707b',
  rekeyedSkeyseed: '3b03bce748c96d5e8306918d2ff89b68f0648da3',
};
const cbc128 = { encr: 12, keyBits: 128, prf: sha1, integ: 2, ke: 2 };

suite('NIST SP 800-135 vectors', () => {
  const keys = deriveIkeKeys(crypto, cbc128, nist);

  test('IKE SA: SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr', () => {
    const { initiator, responder } = keys;
    const order = [
      keys.skD,
      initiator.integrityKey,
      responder.integrityKey,
      initiator.encryptionKey,
      responder.encryptionKey,
      keys.skPi,
      keys.skPr,
    ];
    assert.deepEqual(
      order.map((each) => each.length),
      [20, 20, 20, 16, 16, 20, 20],
    );
    assert.equal(toHex(concat(...order)), nist.dkm);
  });

  // An ESP suite that takes 104 octets of what the vector gives.
  const esp = { encr: 12, keyBits: 256, integ: 2 };
  for (const [what, sharedSecret, expected] of [
    ['without', undefined, nist.child],
    ['with', nist.newSecret, nist.childWithSecret],
  ] as const) {
    test(`CHILD_SA ${what} a key exchange of its own: the initiator's encryption and integrity keys, then the responder's`, () => {
      const child = deriveChildKeys(crypto, sha1, keys.skD, esp, { nonceI: nist.nonceI, nonceR: nist.nonceR, sharedSecret });
      const order = [
        child.initiator.encryptionKey,
        child.initiator.integrityKey,
        child.responder.encryptionKey,
        child.responder.integrityKey,
      ];
      assert.equal(toHex(concat(...order)), expected.slice(0, 208));
    });
  }

  test('rekeyed IKE SA: SKEYSEED from the old SK_d with the old PRF, the rest with the new one', () => {
    const input = { ...nist, sharedSecret: nist.newSecret };
    for (const prf of [sha1, 7]) {
      const suite = { ...cbc128, prf };
      const rekeyed = deriveRekeyedIkeKeys(crypto, { prf: sha1, skD: keys.skD }, suite, input);
      const seed = concat(nist.nonceI, nist.nonceR, nist.spiI, nist.spiR);
      const expected = prfPlus(crypto, prf, fromHex(nist.rekeyedSkeyseed), seed, 1000);
      assert.equal(toHex(rekeyed.skD), toHex(expected.subarray(0, prf === sha1 ? 20 : 64)));
      assert.ok(
        equal(rekeyed.skPr, expected.subarray(3 * rekeyed.skD.length + 72 - rekeyed.skD.length).subarray(0, rekeyed.skD.length)),
      );
    }
  });
});

// RFC 9370 has no vectors: the formulas are written out by hand here.
suite('additional key exchanges (RFC 9370)', () => {
  const { nonceI, nonceR, spiI, spiR } = nist;
  const nonces = concat(nonceI, nonceR);
  const [skD, one, two] = [fromHex('d1'.repeat(20)), fromHex('01'.repeat(32)), fromHex('02'.repeat(32))];

  test('after an additional key exchange: SKEYSEED(n) = prf(SK_d(n-1), SK(n) | Ni | Nr)', () => {
    const keys = deriveNextIkeKeys(crypto, cbc128, skD, { ...nist, sharedSecret: one });
    const skeyseed = crypto.prf(sha1, skD, concat(one, nonces));
    const expected = prfPlus(crypto, sha1, skeyseed, concat(nonces, spiI, spiR), 132);
    assert.equal(toHex(keys.skD), toHex(expected.subarray(0, 20)));
    assert.equal(toHex(keys.skPr), toHex(expected.subarray(112)));
  });

  test('secrets of additional key exchanges come last, in order', () => {
    const input = { ...nist, sharedSecret: nist.newSecret, additionalSecrets: [one, two] };
    const rekeyed = deriveRekeyedIkeKeys(crypto, { prf: sha1, skD }, cbc128, input);
    const skeyseed = crypto.prf(sha1, skD, concat(nist.newSecret, nonces, one, two));
    assert.equal(toHex(rekeyed.skD), toHex(prfPlus(crypto, sha1, skeyseed, concat(nonces, spiI, spiR), 20)));
    const child = deriveChildKeys(crypto, sha1, skD, { encr: 12, keyBits: 256, integ: 2 }, input);
    assert.equal(
      toHex(child.initiator.encryptionKey),
      toHex(prfPlus(crypto, sha1, skD, concat(nist.newSecret, nonces, one, two), 32)),
    );
  });
});

test('a resumed IKE SA: SKEYSEED = prf(SK_d, "Resumption" | Ni | Nr), AUTH = prf(SK_px, own first message) (RFC 5723 §5.1)', () => {
  const hmac = (secret: Uint8Array, ...data: readonly Uint8Array[]): Buffer =>
    data.reduce((mac, octets) => mac.update(octets), createHmac('sha1', secret)).digest();
  const { nonceI, nonceR, spiI, spiR } = nist;
  const skD = new Uint8Array(20).fill(5);
  const keys = deriveResumedIkeKeys(crypto, cbc128, skD, { nonceI, nonceR, spiI, spiR });
  const skeyseed = hmac(skD, Buffer.from('Resumption'), nonceI, nonceR);
  assert.deepEqual(Buffer.from(keys.skD), hmac(skeyseed, nonceI, nonceR, spiI, spiR, Uint8Array.of(1)));
  const message = Uint8Array.of(1, 2, 3);
  assert.deepEqual(Buffer.from(resumedAuth(crypto, sha1, keys.skPi, message)), hmac(keys.skPi, message));
});

test('a PPK mixed into SK_d, SK_pi and SK_pr: prf(PPK, SK_x | 0x01) (RFC 8784 §3)', () => {
  const ppk = Uint8Array.of(7, 7, 7);
  const plain = { skD: new Uint8Array(20).fill(1), skPi: new Uint8Array(20).fill(2), skPr: new Uint8Array(20).fill(3) };
  const mixed = mixPpk(crypto, sha1, ppk, plain);
  for (const name of ['skD', 'skPi', 'skPr'] as const) {
    const expected = createHmac('sha1', ppk).update(plain[name]).update(Uint8Array.of(1)).digest();
    assert.deepEqual(Buffer.from(mixed[name]), expected);
  }
});

// RFC 9867 has no vectors: its formulas are written out by hand here, with Node's own HMAC.
test("a PPK in CREATE_CHILD_SA: SK_d' = prf(PPK, SK_d | 0x01) stands for SK_d, and the confirmation is without Nr (RFC 9867 §3.2)", () => {
  const hmac = (secret: Uint8Array, ...data: readonly Uint8Array[]): Buffer =>
    data.reduce((mac, octets) => mac.update(octets), createHmac('sha1', secret)).digest();
  const { nonceI, nonceR, spiI, spiR, newSecret } = nist;
  const [ppk, skD, more] = [Uint8Array.of(7, 7, 7), new Uint8Array(20).fill(1), new Uint8Array(32).fill(2)];
  const mixed = hmac(ppk, skD, Uint8Array.of(1));
  const input = { ...nist, sharedSecret: newSecret, additionalSecrets: [more], ppk };
  const skeyseed = hmac(mixed, newSecret, nonceI, nonceR, more);
  const rekeyed = deriveRekeyedIkeKeys(crypto, { prf: sha1, skD }, cbc128, input);
  assert.deepEqual(Buffer.from(rekeyed.skD), hmac(skeyseed, nonceI, nonceR, spiI, spiR, Uint8Array.of(1)));
  const child = deriveChildKeys(crypto, sha1, skD, { encr: 12, keyBits: 128, integ: 2 }, input);
  const keymat = hmac(mixed, newSecret, nonceI, nonceR, more, Uint8Array.of(1));
  assert.deepEqual(Buffer.from(child.initiator.encryptionKey), keymat.subarray(0, 16));
  const confirmation = ppkConfirmation(crypto, sha1, ppk, { nonceI, spiI, spiR });
  assert.deepEqual(Buffer.from(confirmation), hmac(ppk, nonceI, spiI, spiR).subarray(0, 8));
});

test('prf+ ends after 255 blocks (RFC 7296 §2.13)', () => {
  assert.equal(prfPlus(crypto, sha1, nist.nonceI, nist.nonceR, 255 * 20).length, 5100);
  assert.throws(() => prfPlus(crypto, sha1, nist.nonceI, nist.nonceR, 255 * 20 + 1), RangeError);
  assert.equal(prfPlus(crypto, sha1, nist.nonceI, nist.nonceR, 0).length, 0);
});

for (const suite of allSuites) {
  test(`encr ${suite.encr}, ${suite.keyBits} bits, integ ${suite.integ}: keys fit the crypto port, no two are the same`, () => {
    const keys = deriveIkeKeys(crypto, suite, nist);
    const child = deriveChildKeys(crypto, suite.prf, keys.skD, suite, nist);
    const all = [keys.skD, keys.skPi, keys.skPr];
    for (const { encryptionKey, integrityKey } of [keys.initiator, keys.responder, child.initiator, child.responder]) {
      const ivLength = { 3: 8, 12: 16 }[suite.encr] ?? 8;
      crypto.encrypt(suite.encr, encryptionKey, new Uint8Array(ivLength), new Uint8Array(16), new Uint8Array(0));
      all.push(encryptionKey);
      if (suite.integ === 0) assert.equal(integrityKey.length, 0);
      else {
        crypto.integrity(suite.integ, integrityKey, new Uint8Array(16));
        all.push(integrityKey);
      }
    }
    assert.equal(new Set(all.map(toHex)).size, all.length);
  });
}

test('wiping one key leaves the others', () => {
  const keys = deriveIkeKeys(crypto, cbc128, nist);
  keys.skD.fill(0);
  assert.equal(toHex(keys.initiator.integrityKey), nist.dkm.slice(40, 80));
});

test('what is signed: RealMessage | Nonce | prf(SK_p, ID) (RFC 7296 §2.15)', () => {
  const [message, nonce, skP, id] = [fromHex('0102'), fromHex('0304'), fromHex('05'.repeat(20)), fromHex('02000000616263')];
  assert.equal(toHex(signedOctets(crypto, sha1, skP, message, nonce, id)), `01020304${toHex(crypto.prf(sha1, skP, id))}`);
});

test('AUTH by a shared key: prf(prf(secret, "Key Pad for IKEv2"), octets)', () => {
  const [secret, octets] = [fromHex('aa'.repeat(64)), fromHex('0102')];
  const pad = fromHex('4b65792050616420666f7220494b457632');
  assert.equal(pad.length, 17);
  assert.equal(toHex(sharedKeyAuth(crypto, 5, secret, octets)), toHex(crypto.prf(5, crypto.prf(5, secret, pad), octets)));
});
