import assert from 'node:assert/strict';
import { createECDH, createPrivateKey, type DiffieHellmanGroup } from 'node:crypto';
import { suite, test } from 'node:test';
import { createIkeCrypto } from '@aovpn/host';
import { concat, equal, fromHex, toHex } from '@aovpn/bytes';
import { Ke, keRows, type KeyPair } from '@aovpn/ike';

const crypto = createIkeCrypto();

suite('every method', () => {
  for (const row of keRows) {
    test(`${row.name}: initiator and responder agree, and foreign lengths are refused by both`, () => {
      assert.ok(crypto.canExchange(row.id));
      const pair = crypto.generateKeyPair(row.id);
      const answer = crypto.answerKeyExchange(row.id, pair.publicValue)!;
      assert.equal(pair.publicValue.length, row.publicLength);
      assert.equal(answer.publicValue.length, row.answerLength ?? row.publicLength);
      assert.ok(equal(crypto.sharedSecret(pair, answer.publicValue)!, answer.sharedSecret));
      for (const change of [(value: Uint8Array) => value.subarray(1), (value: Uint8Array) => concat(value, Uint8Array.of(0))]) {
        assert.equal(crypto.answerKeyExchange(row.id, change(pair.publicValue)), undefined);
        assert.equal(crypto.sharedSecret(pair, change(answer.publicValue)), undefined);
      }
    });
  }
  for (const row of keRows.filter(({ answerLength }) => answerLength === undefined)) {
    test(`${row.name}: both ends agree, values have their lengths, foreign lengths are refused`, () => {
      const a = crypto.generateKeyPair(row.id);
      const b = crypto.generateKeyPair(row.id);
      assert.equal(a.publicValue.length, row.publicLength);
      assert.ok(!equal(a.publicValue, b.publicValue));
      const secret = crypto.sharedSecret(a, b.publicValue)!;
      assert.ok(equal(secret, crypto.sharedSecret(b, a.publicValue)!));
      const lengths = { [Ke.ECP256]: 32, [Ke.ECP384]: 48, [Ke.ECP521]: 66 } as Record<number, number>;
      assert.equal(secret.length, lengths[row.id] ?? row.publicLength);
      for (const value of [new Uint8Array(0), b.publicValue.subarray(1), concat(Uint8Array.of(0), b.publicValue)]) {
        assert.equal(crypto.sharedSecret(a, value), undefined);
      }
      assert.equal(crypto.sharedSecret(a, new Uint8Array(row.publicLength)), undefined, 'zero (CVE-2015-3240)');
    });
  }
  // CVE-2014-9221: group 1025 made a daemon stop.
  test('unknown methods are our own mistake', () => {
    for (const group of [0, 1, 5, 17, 1025, 65535]) assert.throws(() => crypto.generateKeyPair(group), RangeError);
  });
});

suite('MODP', () => {
  // RFC 7296 appendix B.2 and RFC 3526 §3–§5 define the primes by π; c is the last figure of each definition.
  const primes = [
    [Ke.MODP1024, 1024, 129093n],
    [Ke.MODP2048, 2048, 124476n],
    [Ke.MODP3072, 3072, 1690314n],
    [Ke.MODP4096, 4096, 240904n],
  ] as const;
  for (const [group, bits, c] of primes) {
    const prime = (1n << BigInt(bits)) - (1n << BigInt(bits - 64)) - 1n + (1n << 64n) * (piTimesPowerOfTwo(bits - 130) + c);
    const octets = (value: bigint): Uint8Array => fromHex(value.toString(16).padStart(bits / 4, '0'));

    test(`the ${bits}-bit prime is the RFC's`, () => {
      const own = crypto.generateKeyPair(group).secret as DiffieHellmanGroup;
      assert.equal(toHex(own.getPrime()), prime.toString(16));
      assert.equal(toHex(own.getGenerator()), '02');
    });

    test(`${bits} bits: 0, 1, p−1, p and more are refused, 2 and p−2 are not (RFC 6989 §2.1)`, () => {
      const pair = crypto.generateKeyPair(group);
      for (const value of [0n, 1n, prime - 1n, prime, prime + 1n, (1n << BigInt(bits)) - 1n]) {
        assert.equal(crypto.sharedSecret(pair, octets(value)), undefined);
      }
      for (const value of [2n, prime - 2n]) assert.equal(crypto.sharedSecret(pair, octets(value))?.length, bits / 8);
    });
  }

  test('a secret that starts with zeros keeps them (RFC 7296 §2.14)', () => {
    const pair = crypto.generateKeyPair(Ke.MODP1024);
    for (let i = 2; i < 20000; i++) {
      const peer = fromHex(i.toString(16).padStart(256, '0'));
      const secret = crypto.sharedSecret(pair, peer)!;
      assert.equal(secret.length, 128);
      if (secret[0] === 0) return;
    }
    assert.fail('no secret started with a zero octet');
  });
});

suite('ECP', () => {
  // RFC 5903 §8: i, g^i, g^r, g^ir for each curve
  const vectors = [
    {
      group: Ke.ECP256,
      curve: 'prime256v1',
      i: 'C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433',
      gi:
        'DAD0B65394221CF9B051E1FECA5787D098DFE637FC90B9EF945D0C3772581180' +
        '5271A0461CDB8252D61F1C456FA3E59AB1F45B33ACCF5F58389E0577B8990BB3',
      gr:
        'D12DFB5289C8D4F81208B70270398C342296970A0BCCB74C736FC7554494BF63' +
        '56FBF3CA366CC23E8157854C13C58D6AAC23F046ADA30F8353E74F33039872AB',
      gir: 'D6840F6B42F6EDAFD13116E0E12565202FEF8E9ECE7DCE03812464D04B9442DE',
    },
    {
      group: Ke.ECP384,
      curve: 'secp384r1',
      i: '099F3C7034D4A2C699884D73A375A67F7624EF7C6B3C0F160647B67414DCE655E35B538041E649EE3FAEF896783AB194',
      gi:
        '667842D7D180AC2CDE6F74F37551F55755C7645C20EF73E31634FE72B4C55EE6DE3AC808ACB4BDB4C88732AEE95F41AA' +
        '9482ED1FC0EEB9CAFC4984625CCFC23F65032149E0E144ADA024181535A0F38EEB9FCFF3C2C947DAE69B4C634573A81C',
      gr:
        'E558DBEF53EECDE3D3FCCFC1AEA08A89A987475D12FD950D83CFA41732BC509D0D1AC43A0336DEF96FDA41D0774A3571' +
        'DCFBEC7AACF3196472169E838430367F66EEBE3C6E70C416DD5F0C68759DD1FFF83FA40142209DFF5EAAD96DB9E6386C',
      gir: '11187331C279962D93D604243FD592CB9D0A926F422E47187521287E7156C5C4D603135569B9E9D09CF5D4A270F59746',
    },
    {
      group: Ke.ECP521,
      curve: 'secp521r1',
      i:
        '0037ADE9319A89F4DABDB3EF411AACCCA5123C61ACAB57B5393DCE47608172A095AA85A30FE1C2952C6771D937BA9777' +
        'F5957B2639BAB072462F68C27A57382D4A52',
      gi:
        '0015417E84DBF28C0AD3C278713349DC7DF153C897A1891BD98BAB4357C9ECBEE1E3BF42E00B8E380AEAE57C2D107564' +
        '941885942AF5A7F4601723C4195D176CED3E' +
        '017CAE20B6641D2EEB695786D8C946146239D099E18E1D5A514C739D7CB4A10AD8A788015AC405D7799DC75E7B7D5B6C' +
        'F2261A6A7F1507438BF01BEB6CA3926F9582',
      gr:
        '00D0B3975AC4B799F5BEA16D5E13E9AF971D5E9B984C9F39728B5E5739735A219B97C356436ADC6E95BB0352F6BE64A6' +
        'C2912D4EF2D0433CED2B6171640012D9460F' +
        '015C68226383956E3BD066E797B623C27CE0EAC2F551A10C2C724D9852077B87220B6536C5C408A1D2AEBB8E86D678AE' +
        '49CB57091F4732296579AB44FCD17F0FC56A',
      gir:
        '01144C7D79AE6956BC8EDB8E7C787C4521CB086FA64407F97894E5E6B2D79B04D1427E73CA4BAA240A34786859810C06' +
        'B3C715A3A8CC3151F2BEE417996D19F3DDEA',
    },
  ];
  for (const { group, curve, i, gi, gr, gir } of vectors) {
    test(`${curve}: RFC 5903 §8`, () => {
      const secret = createECDH(curve);
      secret.setPrivateKey(i, 'hex');
      assert.equal(toHex(secret.getPublicKey().subarray(1)), gi.toLowerCase());
      const pair: KeyPair = { group, publicValue: fromHex(gi), secret };
      assert.equal(toHex(crypto.sharedSecret(pair, fromHex(gr))!), gir.toLowerCase());
    });

    test(`${curve}: points off the curve and coordinates beyond the field are refused (CVE-2026-35332)`, () => {
      const pair = crypto.generateKeyPair(group);
      const off = fromHex(gr);
      off[off.length - 1]! ^= 1;
      assert.equal(crypto.sharedSecret(pair, off), undefined);
      assert.equal(crypto.sharedSecret(pair, new Uint8Array(off.length).fill(0xff)), undefined);
    });
  }
});

suite('X25519', () => {
  test('RFC 7748 §6.1', () => {
    const pkcs8 = fromHex('302e020100300506032b656e0422042077076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a');
    const secret = createPrivateKey({ key: Buffer.from(pkcs8), format: 'der', type: 'pkcs8' });
    const pair: KeyPair = { group: Ke.X25519, publicValue: new Uint8Array(32), secret };
    const bob = fromHex('de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f');
    assert.equal(toHex(crypto.sharedSecret(pair, bob)!), '4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742');
  });

  // The points of small order, whose product with any secret is zero (RFC 7748 §7; the list of Bernstein's "Curve25519" page)
  const smallOrder = [
    '00'.repeat(32),
    `01${'00'.repeat(31)}`,
    'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
    '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
    `ec${'ff'.repeat(30)}7f`,
    `ed${'ff'.repeat(30)}7f`,
    `ee${'ff'.repeat(30)}7f`,
  ];
  for (const point of smallOrder) {
    test(`a point of small order is refused: ${point.slice(0, 8)}…`, () => {
      assert.equal(crypto.sharedSecret(crypto.generateKeyPair(Ke.X25519), fromHex(point)), undefined);
    });
  }
});

/** ⌊2ⁿ π⌋ by Machin's formula, with guard bits. */
function piTimesPowerOfTwo(n: number): bigint {
  const guard = 64;
  const one = 1n << BigInt(n + guard);
  const arctanOfInverse = (x: bigint): bigint => {
    let term = one / x;
    let sum = term;
    for (let k = 3n, sign = -1n; term > 0n; k += 2n, sign = -sign) {
      term /= x * x;
      sum += (sign * term) / k;
    }
    return sum;
  };
  return (16n * arctanOfInverse(5n) - 4n * arctanOfInverse(239n)) >> BigInt(guard);
}

suite('ML-KEM', () => {
  // FIPS 203 §7.2: an encapsulation key whose coefficients are not reduced modulo 3329 must be refused.
  test('an encapsulation key with a coefficient of 3329 or more is refused', () => {
    for (const group of [Ke.ML_KEM_768, Ke.ML_KEM_1024]) {
      const { publicValue } = crypto.generateKeyPair(group);
      const value = publicValue.slice();
      value.set([0xff, 0xff, 0xff]);
      assert.equal(crypto.answerKeyExchange(group, value), undefined);
    }
  });

  // FIPS 203 §6.3: implicit rejection.
  test('a ciphertext for nobody gives a secret that only we have', () => {
    const pair = crypto.generateKeyPair(Ke.ML_KEM_768);
    const answer = crypto.answerKeyExchange(Ke.ML_KEM_768, pair.publicValue)!;
    const changed = answer.publicValue.slice();
    changed[7]! ^= 1;
    const secret = crypto.sharedSecret(pair, changed)!;
    assert.equal(secret.length, 32);
    assert.ok(!equal(secret, answer.sharedSecret));
  });
});

// RFC 5114 §2.3, RFC 6989 §2.2
suite('MODP2048-256 (group 24)', () => {
  test('a value outside of the subgroup is refused, from either side', () => {
    const pair = crypto.generateKeyPair(Ke.MODP2048_256);
    // 2 generates far more than the subgroup of 256-bit order.
    const outside = new Uint8Array(256);
    outside[255] = 2;
    assert.equal(crypto.sharedSecret(pair, outside), undefined);
    assert.equal(crypto.answerKeyExchange(Ke.MODP2048_256, outside), undefined);
  });
});
