import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { concat, fromHex, toHex } from '@aovpn/bytes';
import {
  emptyReassembly,
  encodeMessage,
  openDatagram,
  PayloadType,
  sealMessage,
  type IkeCrypto,
  type Message,
  type OpenOutcome,
} from '@aovpn/ike';
import { allSuites, cbc, crypto, gcm, header, keysFor, rawMessage, rawPayload, vendorId } from './sample.ts';

const empty = emptyReassembly;
const nonce = { kind: 'NONCE', data: new Uint8Array(16).fill(9) } as const;
const message: Message = { header, payloads: [nonce, vendorId(20)] };

suite('unprotected', () => {
  const init: Message = { header: { ...header, exchange: 34, messageId: 0 }, payloads: [nonce] };

  test('IKE_SA_INIT is a message, marked as what anybody can have sent', () => {
    assert.deepEqual(openDatagram(crypto, encodeMessage(init), { reassembly: empty }), {
      kind: 'message',
      message: init,
      protected: false,
      reassembly: empty,
    });
  });

  test('also when there are keys', () => {
    const outcome = openDatagram(crypto, encodeMessage(init), { suite: gcm, keys: keysFor(gcm), reassembly: empty });
    assert.equal(outcome.kind === 'message' && outcome.protected, false);
  });

  test('the other exchange that begins an IKE SA (RFC 5723 §4.3.2)', () => {
    const outcome = openDatagram(crypto, encodeMessage({ ...init, header: { ...init.header, exchange: 38 } }), {
      reassembly: empty,
    });
    assert.equal(outcome.kind === 'message' && outcome.protected, false);
  });

  for (const exchange of [0, 33, 35, 36, 37, 43, 240, 255]) {
    test(`exchange ${exchange} without protection is never believed (CVE-2019-12312)`, () => {
      for (const flags of [0x00, 0x08, 0x20, 0x28]) {
        const datagram = rawMessage(PayloadType.NONCE, rawPayload(0, nonce.data), { exchange, flags });
        for (const context of [{}, { suite: gcm, keys: keysFor(gcm) }]) {
          assert.equal(openDatagram(crypto, datagram, { ...context, reassembly: empty }).kind, 'ignore');
        }
      }
    });
  }

  test('malformed or with an unknown critical payload: ignored, not refused', () => {
    for (const payloads of [rawPayload(0, new Uint8Array(3)), rawPayload(200, nonce.data), rawPayload(0, nonce.data, 0, 21)]) {
      assert.equal(openDatagram(crypto, rawMessage(PayloadType.NONCE, payloads), { reassembly: empty }).kind, 'ignore');
    }
    const critical = rawMessage(200, rawPayload(0, new Uint8Array(3), 0x80));
    assert.equal(openDatagram(crypto, critical, { reassembly: empty }).kind, 'ignore');
  });

  test('an encrypted IKE_SA_INIT, and anything encrypted before there are keys', () => {
    const keys = keysFor(gcm);
    const [encrypted] = sealMessage(crypto, gcm, keys, init);
    assert.equal(openDatagram(crypto, encrypted!, { suite: gcm, keys, reassembly: empty }).kind, 'ignore');
    const [auth] = sealMessage(crypto, gcm, keys, message);
    assert.equal(openDatagram(crypto, auth!, { reassembly: empty }).kind, 'ignore');
  });

  test('no datagram of few octets throws', () => {
    for (let length = 0; length < 64; length++) {
      for (const octet of [0x00, 0x20, 0x2e, 0xff]) {
        assert.equal(openDatagram(crypto, new Uint8Array(length).fill(octet), { reassembly: empty }).kind, 'ignore');
      }
    }
  });
});

// RFC 7634 appendix B
suite('ChaCha20-Poly1305, the message of RFC 7634', () => {
  const suite7634 = { encr: 28, keyBits: 256, prf: 5, integ: 0, ke: 31 };
  const keys = {
    encryptionKey: fromHex('808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3'),
    integrityKey: new Uint8Array(0),
  };
  const datagram = fromHex(
    'c0c1c2c3c4c5c6c7 d0d1d2d3d4d5d6d7 2e202500 00000009 00000045 29000029 1011121314151617' +
      '6103 94701f8d017f7c12924889 6b71bfe25236efd7cdc67066906315b2',
  );
  const opened: Message = {
    header: {
      spiI: fromHex('c0c1c2c3c4c5c6c7'),
      spiR: fromHex('d0d1d2d3d4d5d6d7'),
      exchange: 37,
      fromInitiator: false,
      response: false,
      messageId: 9,
    },
    payloads: [{ kind: 'N', protocol: 0, spi: new Uint8Array(0), type: 16385, data: fromHex('0000000a') }],
  };

  test('opens', () => {
    assert.deepEqual(openDatagram(crypto, datagram, { suite: suite7634, keys, reassembly: empty }), {
      kind: 'message',
      message: opened,
      protected: true,
      reassembly: empty,
    });
  });

  test('is sealed to the same octets under the same IV', () => {
    const fixed: IkeCrypto = { ...crypto, random: () => fromHex('1011121314151617') };
    assert.deepEqual(sealMessage(fixed, suite7634, keys, opened).map(toHex), [toHex(datagram)]);
  });
});

for (const each of allSuites) {
  suite(`encr ${each.encr}, ${each.keyBits} bits, integ ${each.integ}`, () => {
    const keys = keysFor(each);
    const context = { suite: each, keys, reassembly: empty };
    const [sealed] = sealMessage(crypto, each, keys, message);

    test('sealed and opened again, with payloads of every length modulo the block', () => {
      assert.deepEqual(openDatagram(crypto, sealed!, context), { kind: 'message', message, protected: true, reassembly: empty });
      for (let length = 4; length < 24; length++) {
        const other: Message = { header, payloads: [vendorId(length)] };
        const outcome = openDatagram(crypto, sealMessage(crypto, each, keys, other)[0]!, context);
        assert.deepEqual(outcome.kind === 'message' && outcome.message, other);
      }
      const none: Message = { header, payloads: [] };
      assert.deepEqual(openDatagram(crypto, sealMessage(crypto, each, keys, none)[0]!, context).kind, 'message');
    });

    test('changed in any octet, cut anywhere, or under other keys: ignored', () => {
      for (let i = 0; i < sealed!.length; i++) {
        const changed = Uint8Array.from(sealed!);
        changed[i]! ^= 0x40;
        assert.equal(openDatagram(crypto, changed, context).kind, 'ignore', `octet ${i}`);
      }
      for (let length = 0; length < sealed!.length; length++) {
        const cut = sealed!.slice(0, length);
        assert.equal(openDatagram(crypto, cut, context).kind, 'ignore');
        // The same with lengths that fit, so that it is not them alone that stop it.
        if (length < 32) continue;
        cut.set([0, 0, length >> 8, length & 0xff], 24);
        cut.set([(length - 28) >> 8, (length - 28) & 0xff], 30);
        assert.equal(openDatagram(crypto, cut, context).kind, 'ignore');
      }
      assert.equal(openDatagram(crypto, sealed!, { ...context, keys: keysFor(each) }).kind, 'ignore');
    });

    test('every seal has an IV of its own', () => {
      const ivs = new Set(Array.from({ length: 50 }, () => toHex(sealMessage(crypto, each, keys, message)[0]!.subarray(32, 40))));
      assert.equal(ivs.size, 50);
    });
  });
}

suite('authenticated, but wrong', () => {
  /** What a peer with the keys could send: any octets in place of payloads, padding included. */
  function sealRaw(octets: Uint8Array, firstType: number): OpenOutcome {
    const keys = keysFor(gcm);
    const prefix = rawMessage(PayloadType.SK, fromHex('00000000'), { exchange: 37 });
    const length = octets.length + 8 + 16;
    prefix[28] = firstType;
    prefix.set([(length + 4) >> 8, (length + 4) & 0xff], 30);
    prefix.set([(length + 32) >> 8, (length + 32) & 0xff], 26);
    const iv = crypto.random(8);
    const datagram = concat(prefix, iv, crypto.encrypt(gcm.encr, keys.encryptionKey, iv, octets, prefix));
    return openDatagram(crypto, datagram, { suite: gcm, keys, reassembly: empty });
  }

  test('padding of any content is taken, also more than is needed', () => {
    assert.equal(sealRaw(concat(rawPayload(0, nonce.data), Uint8Array.of(0)), PayloadType.NONCE).kind, 'message');
    assert.equal(
      sealRaw(concat(rawPayload(0, nonce.data), Uint8Array.of(5, 4, 3, 2, 1, 5)), PayloadType.NONCE).kind,
      'message',
      'padding of any content',
    );
  });

  test('a malformed payload is refused with INVALID_SYNTAX', () => {
    const outcome = sealRaw(concat(rawPayload(0, new Uint8Array(3)), Uint8Array.of(0)), PayloadType.NONCE);
    assert.ok(outcome.kind === 'refuse');
    assert.equal(outcome.error.kind, 'INVALID_SYNTAX');
    assert.equal(outcome.header.messageId, 0);
  });

  test('an unknown critical payload is refused with its type', () => {
    const outcome = sealRaw(concat(rawPayload(0, new Uint8Array(3), 0x80), Uint8Array.of(0)), 199);
    assert.deepEqual(outcome.kind === 'refuse' && outcome.error, { kind: 'UNSUPPORTED_CRITICAL_PAYLOAD', payloadType: 199 });
  });

  test('padding longer than the payloads, or no octet at all, is refused', () => {
    for (const octets of [Uint8Array.of(1), Uint8Array.of(0, 0, 3), Uint8Array.of(255), new Uint8Array(0)]) {
      assert.equal(sealRaw(octets, 0).kind, 'refuse');
    }
  });

  test('an encrypted payload inside of the encrypted one is refused', () => {
    for (const type of [PayloadType.SK, PayloadType.SKF]) {
      assert.equal(sealRaw(concat(rawPayload(0, new Uint8Array(40)), Uint8Array.of(0)), type).kind, 'refuse');
    }
  });

  test('a payload behind or before the encrypted one: ignored', () => {
    const keys = keysFor(gcm);
    const [sealed] = sealMessage(crypto, gcm, keys, message);
    const behind = concat(sealed!, rawPayload(0, Uint8Array.of(1)));
    behind.set([0, behind.length], 26);
    const before = concat(sealed!.subarray(0, 28), rawPayload(PayloadType.SK, Uint8Array.of(1)), sealed!.subarray(28));
    before.set([0, before.length], 26);
    before[16] = PayloadType.V;
    for (const datagram of [behind, before])
      assert.equal(openDatagram(crypto, datagram, { suite: gcm, keys, reassembly: empty }).kind, 'ignore');
  });
});

test('CBC: nothing is decrypted before the integrity check has passed', () => {
  const keys = keysFor(cbc);
  const calls: string[] = [];
  const spy: IkeCrypto = {
    ...crypto,
    integrity: (...args) => (calls.push('integrity'), crypto.integrity(...args)),
    decrypt: (...args) => (calls.push('decrypt'), crypto.decrypt(...args)),
  };
  const [sealed] = sealMessage(crypto, cbc, keys, message);
  openDatagram(spy, sealed!, { suite: cbc, keys, reassembly: empty });
  assert.deepEqual(calls.splice(0), ['integrity', 'decrypt']);
  sealed![sealed!.length - 1]! ^= 1;
  assert.equal(openDatagram(spy, sealed!, { suite: cbc, keys, reassembly: empty }).kind, 'ignore');
  assert.deepEqual(calls, ['integrity']);
});

test('CBC: an authentic ciphertext of broken blocks is refused', () => {
  const keys = keysFor(cbc);
  for (const length of [0, 1, 15, 17]) {
    const prefix = rawMessage(PayloadType.SK, fromHex('00000000'), { exchange: 37 });
    const inner = concat(new Uint8Array(16), new Uint8Array(length));
    prefix.set([0, inner.length + 20], 30);
    prefix.set([0, inner.length + 48], 26);
    const datagram = concat(prefix, inner, crypto.integrity(cbc.integ, keys.integrityKey, prefix, inner));
    assert.equal(openDatagram(crypto, datagram, { suite: cbc, keys, reassembly: empty }).kind, 'refuse', `${length}`);
  }
});

test('our own message sent back to us is not the peer’s', () => {
  const [ours, theirs] = [keysFor(gcm), keysFor(gcm)];
  const [sealed] = sealMessage(crypto, gcm, ours, message);
  assert.equal(openDatagram(crypto, sealed!, { suite: gcm, keys: theirs, reassembly: empty }).kind, 'ignore');
});

test('the outcome does not change when the host reuses its buffer', () => {
  const keys = keysFor(gcm);
  const buffer = Buffer.from(sealMessage(crypto, gcm, keys, message)[0]!);
  const outcome = openDatagram(crypto, buffer, { suite: gcm, keys, reassembly: empty });
  buffer.fill(0);
  assert.deepEqual(outcome.kind === 'message' && outcome.message, message);
  const init: Message = { header: { ...header, exchange: 34 }, payloads: [nonce, vendorId(20, 7)] };
  const clear = Buffer.from(encodeMessage(init));
  const read = openDatagram(crypto, clear, { reassembly: empty });
  clear.fill(0);
  assert.deepEqual(read.kind === 'message' && read.message, init);
});
