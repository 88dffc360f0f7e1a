import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { suite, test } from 'node:test';
import { concat, encodeUtf8, fromHex, toHex } from '@aovpn/bytes';
import {
  challengeResponse,
  generateAuthenticatorResponse,
  generateNtResponse,
  ntPasswordHash,
} from '../../src/mschapv2/ms-chap-v2.ts';
import { oldNtPasswordHashEncryptedWithNewNtPasswordHash } from '../../src/mschapv2/change-password.ts';
import { rc4 } from '../../src/mschapv2/rc4.ts';
import { ttlsMethod } from '../../src/method/ttls.ts';
import { testCrypto } from '../crypto.ts';
import { failure, mschapChallenge, mschapText, request, success } from '../packet-writer.ts';
import { assertFailed, find, trust } from '../script.ts';
import { avp, implicitChallenge, keyMaterial, TtlsScript } from '../ttls/ttls-script.ts';

const user = { userName: 'bob@example.com' };
const peerChallenge = fromHex('21402324255e262a28295f2b3a337c7e');
const crypto = testCrypto((length) => (length === 16 ? peerChallenge.slice() : new Uint8Array(length)));

/** EAP-Success: the method has succeeded with the tunnel's key, and says which way. */
function assertSucceeds(script: TtlsScript, method: RegExp): void {
  const done = find(script.packet(success(script.identifier)), 'succeeded');
  assert.equal(toHex(done.msk), toHex(keyMaterial.subarray(0, 64)));
  assert.match(done.method, method);
  assert.equal(script.state.phase, 'over');
}

function shown(script: TtlsScript): unknown[] {
  return script.avps().map(({ code, vendor, mandatory, data }) => [code, vendor, mandatory, toHex(data)]);
}

const bob = [1, 0, true, toHex(encodeUtf8(user.userName))];

for (const version of ['1.2', '1.3'] as const) {
  suite(
    `EAP-TTLS/PAP over TLS ${version}: Start ⟶ ⟵ ClientHello, ServerHello… ⟶ ⟵ {User-Name, User-Password}, EAP-Success ⟶`,
    () => {
      test('the whole exchange', () => {
        const script = new TtlsScript({ kind: 'pap', ...user }, version);
        const opened = script.open();
        const asked = find(opened, 'need-secret');
        assert.deepEqual([asked.what, asked.userName, asked.retry], ['password', user.userName, false]);
        assert.ok(!opened.some((action) => action.kind === 'reply'), 'nothing is said before there is a password');
        const secret = encodeUtf8('hello');
        const reply = find(script.secret(opened, secret), 'reply').packet;
        assert.deepEqual(secret, new Uint8Array(5), 'the password is overwritten once used');
        // With TLS 1.3 our Finished goes in the same flight, before the first record.
        assert.equal(toHex(reply.subarray(4, 9)), version === '1.3' ? '1500160217' : '1500170000');
        assert.deepEqual(shown(script), [bob, [2, 0, true, `${toHex(encodeUtf8('hello'))}${'00'.repeat(11)}`]]);
        assert.ok(
          script.written.at(-1)!.every((octet) => octet === 0),
          'the plain text is overwritten once encrypted',
        );
        assertSucceeds(script, new RegExp(`^EAP-TTLS with TLS ${version}, PAP$`));
      });

      test('session tickets after our words, then EAP-Success', () => {
        const script = new TtlsScript({ kind: 'pap', ...user }, version);
        script.secret(script.open(), encodeUtf8('hello'));
        assert.equal(toHex(find(script.tell(new Uint8Array()), 'reply').packet.subarray(4)), '1500');
        assertSucceeds(script, /PAP/);
      });

      test('EAP-Failure', () => {
        const script = new TtlsScript({ kind: 'pap', ...user }, version);
        script.secret(script.open(), encodeUtf8('hello'));
        assertFailed(script.packet(failure(script.identifier)), 'rejected');
      });
    },
  );
}

suite('EAP-TTLS/PAP: lengths of the password (RFC 5281 §11.2.5)', () => {
  for (const [length, padded] of [
    [0, 16],
    [1, 16],
    [16, 16],
    [17, 32],
    [128, 128],
  ] as const) {
    test(`${length} octets are padded to ${padded}`, () => {
      const script = new TtlsScript({ kind: 'pap', ...user });
      script.secret(script.open(), new Uint8Array(length).fill(0x41));
      const { data } = script.avps()[1]!;
      assert.equal(toHex(data), `${'41'.repeat(length)}${'00'.repeat(padded - length)}`);
    });
  }
  test('129 are too many; none is said', () => {
    const script = new TtlsScript({ kind: 'pap', ...user });
    const secret = new Uint8Array(129).fill(0x41);
    assertFailed(script.secret(script.open(), secret), 'no-secret');
    assert.ok(secret.every((octet) => octet === 0));
    assert.equal(script.said.length, 0);
  });
  test('no password', () => {
    const script = new TtlsScript({ kind: 'pap', ...user });
    assertFailed(script.secret(script.open(), undefined), 'no-secret');
    assert.equal(script.said.length, 0);
  });
});

suite('EAP-TTLS/PAP with a second question: {Reply-Message, State} ⟶ ⟵ {User-Name, User-Password, State}', () => {
  const question = concat(avp(18, encodeUtf8('Enter the code')), avp(24, Uint8Array.of(7, 8, 9)));

  test('the code goes with the State that came', () => {
    const script = new TtlsScript({ kind: 'pap', ...user });
    script.secret(script.open(), encodeUtf8('hello'));
    const asking = script.tell(question);
    const asked = find(asking, 'need-secret');
    assert.deepEqual([asked.what, asked.message, asked.retry], ['token', 'Enter the code', false]);
    script.secret(asking, encodeUtf8('123456'));
    assert.deepEqual(shown(script), [
      bob,
      [2, 0, true, `${toHex(encodeUtf8('123456'))}${'00'.repeat(10)}`],
      [24, 0, true, '070809'],
    ]);
    assertSucceeds(script, /PAP/);
  });

  test('EAP-Success while the question is open', () => {
    const script = new TtlsScript({ kind: 'pap', ...user });
    script.secret(script.open(), encodeUtf8('hello'));
    script.tell(question);
    assertFailed(script.packet(success(script.identifier)), 'out-of-order');
  });

  test('the same question again; the same code is not sent twice', () => {
    const script = new TtlsScript({ kind: 'pap', ...user });
    script.secret(script.open(), encodeUtf8('hello'));
    script.secret(script.tell(question), encodeUtf8('123456'));
    const again = script.tell(question);
    assert.equal(find(again, 'need-secret').retry, true);
    assertFailed(script.secret(again, encodeUtf8('123456')), 'wrong-password');
    assert.equal(script.said.length, 2);
  });

  test('a server that never stops asking', () => {
    const script = new TtlsScript({ kind: 'pap', ...user });
    script.secret(script.open(), encodeUtf8('hello'));
    for (let i = 2; i <= 8; i++) script.secret(script.tell(avp(18, encodeUtf8(`Code ${i}`))), encodeUtf8(String(i)));
    assertFailed(script.tell(avp(18, encodeUtf8('Code 9'))), 'out-of-order', /more than 8 questions/);
  });

  test('a State that is longer than RADIUS has', () => {
    const script = new TtlsScript({ kind: 'pap', ...user });
    script.secret(script.open(), encodeUtf8('hello'));
    assertFailed(script.tell(concat(avp(18, encodeUtf8('Code')), avp(24, new Uint8Array(254)))), 'malformed');
  });
});

suite('EAP-TTLS/CHAP: ⟵ {User-Name, CHAP-Challenge, CHAP-Password} (RFC 5281 §11.2.2)', () => {
  for (const version of ['1.2', '1.3'] as const) {
    test(`over TLS ${version}, the challenge is the tunnel's`, () => {
      const script = new TtlsScript({ kind: 'chap', ...user }, version);
      script.secret(script.open(), encodeUtf8('hello'));
      const challenge = implicitChallenge(17);
      const md5 = createHash('md5')
        .update(challenge.subarray(16))
        .update('hello')
        .update(challenge.subarray(0, 16))
        .digest('hex');
      assert.deepEqual(shown(script), [
        bob,
        [60, 0, true, toHex(challenge.subarray(0, 16))],
        [3, 0, true, toHex(challenge.subarray(16)) + md5],
      ]);
      assertSucceeds(script, /CHAP$/);
    });
  }
  test('what the server adds is shown and acknowledged', () => {
    const script = new TtlsScript({ kind: 'chap', ...user });
    script.secret(script.open(), encodeUtf8('hello'));
    const actions = script.tell(avp(18, encodeUtf8('Welcome')));
    assert.equal(find(actions, 'notification').text, 'Welcome');
    assert.equal(toHex(find(actions, 'reply').packet.subarray(4)), '1500');
    assertSucceeds(script, /CHAP$/);
  });
});

suite('EAP-TTLS/MS-CHAP: ⟵ {User-Name, MS-CHAP-Challenge, MS-CHAP-Response} (RFC 5281 §11.2.3)', () => {
  test('the NT response only, with its flag', () => {
    const script = new TtlsScript({ kind: 'mschap', ...user });
    script.secret(script.open(), encodeUtf8('hello'));
    const challenge = implicitChallenge(9);
    const nt = challengeResponse(challenge.subarray(0, 8), ntPasswordHash(encodeUtf8('hello')));
    assert.deepEqual(shown(script), [
      bob,
      [11, 311, true, toHex(challenge.subarray(0, 8))],
      [1, 311, true, `${toHex(challenge.subarray(8))}01${'00'.repeat(24)}${toHex(nt)}`],
    ]);
    assertSucceeds(script, /MS-CHAP$/);
  });

  test('RFC 2433 §B.2: the response to 102db5df085d3041 with "MyPw"', () => {
    const nt = challengeResponse(fromHex('102db5df085d3041'), ntPasswordHash(encodeUtf8('MyPw')));
    assert.equal(toHex(nt), '4e9d3c8f9cfd385d5bf4d3246791956ca4c351ab409a3d61');
  });
});

suite(
  'EAP-TTLS/MS-CHAPv2: ⟵ {User-Name, MS-CHAP-Challenge, MS-CHAP2-Response}, {MS-CHAP2-Success} ⟶ ⟵ (empty), EAP-Success ⟶',
  () => {
    const challenge = implicitChallenge(17);
    const hash = ntPasswordHash(encodeUtf8('hello'));
    const challenges = { authenticator: challenge.subarray(0, 16), peer: peerChallenge };
    const nt = generateNtResponse(crypto, challenges, user.userName, hash);
    const digits = toHex(generateAuthenticatorResponse(crypto, challenges, user.userName, hash, nt)).toUpperCase();

    function responded(version: '1.2' | '1.3' = '1.2'): TtlsScript {
      const script = new TtlsScript({ kind: 'mschapv2', ...user }, version, crypto);
      script.secret(script.open(), encodeUtf8('hello'));
      return script;
    }

    function verdict(code: 26 | 2, text: string, identifier = challenge[16]!): Uint8Array {
      return avp(code, concat(Uint8Array.of(identifier), encodeUtf8(text)), { vendor: 311 });
    }

    for (const version of ['1.2', '1.3'] as const) {
      test(`the whole exchange over TLS ${version}`, () => {
        const script = responded(version);
        assert.deepEqual(shown(script), [
          bob,
          [11, 311, true, toHex(challenge.subarray(0, 16))],
          [25, 311, true, `${toHex(challenge.subarray(16))}00${toHex(peerChallenge)}${'00'.repeat(8)}${toHex(nt)}`],
        ]);
        assert.equal(toHex(find(script.tell(verdict(26, `S=${digits} M=Hello`)), 'reply').packet.subarray(4)), '1500');
        assertSucceeds(script, /MS-CHAPv2$/);
      });
    }

    test('EAP-Success before the server has proven itself', () => {
      const script = responded();
      assertFailed(script.packet(success(script.identifier)), 'out-of-order');
    });
    test('tickets change nothing: EAP-Success is still too early', () => {
      const script = responded('1.3');
      script.tell(new Uint8Array());
      assertFailed(script.packet(success(script.identifier)), 'out-of-order');
    });
    test('a Reply-Message alone changes nothing either', () => {
      const script = responded();
      assert.equal(find(script.tell(avp(18, encodeUtf8('Hi'))), 'notification').text, 'Hi');
      assertFailed(script.packet(success(script.identifier)), 'out-of-order');
    });
    test('a wrong proof', () => assertFailed(responded().tell(verdict(26, `S=${'0'.repeat(40)}`)), 'server-not-proven'));
    test('MS-CHAP2-Success before our Response (CVE-2015-8023 class)', () => {
      const script = new TtlsScript({ kind: 'mschapv2', ...user }, '1.2', crypto);
      script.open();
      assertFailed(script.tell(verdict(26, `S=${digits}`)), 'out-of-order');
    });
    test('another identifier', () => assertFailed(responded().tell(verdict(26, `S=${digits}`, 1)), 'malformed'));
    test('two answers', () =>
      assertFailed(responded().tell(concat(verdict(26, `S=${digits}`), verdict(26, `S=${digits}`))), 'malformed'));
    test('a second Success', () => {
      const script = responded();
      script.tell(verdict(26, `S=${digits}`));
      assertFailed(script.tell(verdict(26, `S=${digits}`)), 'out-of-order');
    });

    const errors = [
      [646, 'account-restricted'],
      [647, 'account-restricted'],
      [648, 'password-expired'],
      [649, 'account-restricted'],
      [691, 'wrong-password'],
      [709, 'password-expired'],
      [1234, 'rejected'],
    ] as const;
    for (const [number, kind] of errors) {
      test(`MS-CHAP-Error E=${number} is ${kind}`, () => {
        // Of an expired password without a challenge, or in a version that nobody knows, there is no change.
        const rest = number === 648 ? 'V=3' : number === 709 ? `C=${'ab'.repeat(16)} V=2` : `C=${'ab'.repeat(16)} V=3`;
        const actions = responded().tell(verdict(2, `E=${number} R=1 ${rest} M=because`));
        assertFailed(actions, kind, /because$/);
        assert.equal(find(actions, 'failed').failure.number, number);
        assert.ok(!actions.some((action) => action.kind === 'need-secret'));
      });
    }

    /*
     * ⟵ {MS-CHAP-NT-Enc-PW ×3, MS-CHAP2-CPW, MS-CHAP-Challenge}, {MS-CHAP2-Success} ⟶ ⟵ (empty), EAP-Success ⟶
     */
    suite('an expired password is changed (RFC 5281 §11.2.4, RFC 2548 §2.2, §2.3.4)', () => {
      const again = fromHex('ab'.repeat(16));
      const newHash = ntPasswordHash(encodeUtf8('new password'));
      const newChallenges = { authenticator: again, peer: peerChallenge };
      const newNt = generateNtResponse(crypto, newChallenges, user.userName, newHash);
      const proof = toHex(generateAuthenticatorResponse(crypto, newChallenges, user.userName, newHash, newNt)).toUpperCase();

      function expired(): { readonly script: TtlsScript; readonly asked: ReturnType<TtlsScript['tell']> } {
        const script = responded();
        return { script, asked: script.tell(verdict(2, `E=648 R=0 C=${'ab'.repeat(16)} V=3 M=expired`, 77)) };
      }

      test('with the identifier and the challenge of the error, and in pieces that fit RADIUS', () => {
        const { script, asked } = expired();
        const { what, message } = find(asked, 'need-secret');
        assert.deepEqual([what, message], ['new-password', 'expired']);
        script.secret(asked, encodeUtf8('new password'));
        const avps = script.avps();
        assert.deepEqual(
          avps.map(({ code, vendor, mandatory }) => [code, vendor, mandatory]),
          [6, 6, 6, 27, 11].map((code) => [code, 311, true]),
        );
        const data = avps.map((each) => each.data);
        assert.deepEqual(
          data.slice(0, 3).map((octets) => [toHex(octets.subarray(0, 4)), octets.length]),
          [
            ['064d0001', 247],
            ['064d0002', 247],
            ['064d0003', 34],
          ],
        );
        const blob = concat(...data.slice(0, 3).map((octets) => octets.subarray(4)));
        const plain = rc4(hash, blob);
        assert.equal(new DataView(plain.buffer).getUint32(512, true), 24);
        assert.equal(Buffer.from(plain.subarray(512 - 24, 512)).toString('utf16le'), 'new password');
        const encryptedHash = oldNtPasswordHashEncryptedWithNewNtPasswordHash(hash, newHash);
        assert.equal(toHex(data[3]!), `074d${toHex(encryptedHash)}${toHex(peerChallenge)}${'00'.repeat(8)}${toHex(newNt)}0000`);
        assert.deepEqual(data[4], again);
        find(script.tell(verdict(26, `S=${proof}`, 77)), 'reply');
        assertSucceeds(script, /MS-CHAPv2$/);
      });

      test('the server has to prove that it took the new one: the old one’s proof, or another identifier, is none', () => {
        for (const [digitsOf, identifier, kind] of [
          [digits, 77, 'server-not-proven'],
          [proof, challenge[16]!, 'malformed'],
        ] as const) {
          const { script, asked } = expired();
          script.secret(asked, encodeUtf8('new password'));
          assertFailed(script.tell(verdict(26, `S=${digitsOf}`, identifier)), kind);
        }
      });

      test('E=709: not this one, another one is asked for', () => {
        const { script, asked } = expired();
        script.secret(asked, encodeUtf8('x'));
        const refused = script.tell(verdict(2, `E=709 R=1 C=${'cd'.repeat(16)} V=3 M=too short`, 78));
        const question = find(refused, 'need-secret');
        assert.deepEqual([question.what, question.retry], ['new-password', true]);
        script.secret(refused, encodeUtf8('new password'));
        assert.equal(toHex(script.avps()[4]!.data), 'cd'.repeat(16));
      });

      test('nobody gives a new one', () => {
        const { script, asked } = expired();
        assertFailed(script.secret(asked, undefined), 'password-expired');
      });

      test('E=691 is not tried again: RFC 5281 knows no other attempt', () => {
        const actions = responded().tell(verdict(2, `E=691 R=1 C=${'ab'.repeat(16)} V=3`));
        assert.ok(!actions.some((action) => action.kind === 'need-secret'));
        assertFailed(actions, 'wrong-password');
      });
    });

    for (const text of ['', 'S=', `S=${'0'.repeat(39)}`, `S=${'0'.repeat(41)}`, `S=${'0'.repeat(40)}${'x'.repeat(300)}`]) {
      test(`MS-CHAP2-Success of ${text.length} characters`, () => assertFailed(responded().tell(verdict(26, text)), 'malformed'));
    }
    test('MS-CHAP2-Success of no octets', () =>
      assertFailed(responded().tell(avp(26, new Uint8Array(), { vendor: 311 })), 'malformed'));
    test('a domain beside the Success, mandatory as everything (RFC 5281 §11.2.4)', () => {
      const script = responded();
      const domain = avp(10, encodeUtf8('\0EXAMPLE'), { vendor: 311 });
      find(script.tell(concat(verdict(26, `S=${digits}`), domain)), 'reply');
      assertSucceeds(script, /MS-CHAPv2/);
    });
    test('MS-CHAP-Error without a number, as hostapd sends it', () => {
      assertFailed(responded().tell(avp(2, encodeUtf8('Failed'), { vendor: 311 })), 'rejected', /says: Failed; .*most likely/);
    });
  },
);

suite(
  'EAP-TTLS/EAP: ⟵ {EAP-Message(Identity)}, {EAP-Message(Request)} ⟶ ⟵ {EAP-Message(Response)}, EAP-Success ⟶ (RFC 5281 §11.2.1)',
  () => {
    const authenticator = fromHex('5b5d7c7d7b3f2f3e3c2c602132262628');
    const proof = 'S=407A5589115FD0D6209F510FE9C04566932CDA56';
    const inner = { kind: 'eap', identity: 'User@inner', method: { kind: 'mschapv2', userName: 'User' } } as const;
    const eap = (packet: Uint8Array): Uint8Array => avp(79, packet);

    function responded(): TtlsScript {
      const script = new TtlsScript(inner, '1.2', crypto);
      script.open();
      assert.deepEqual(shown(script), [[79, 0, true, `0200000f01${toHex(encodeUtf8('User@inner'))}`]]);
      script.secret(script.tell(eap(mschapChallenge(1, authenticator))), encodeUtf8('clientPass'));
      return script;
    }

    test('EAP-MSCHAPv2 inside', () => {
      const script = responded();
      const [response] = script.avps();
      assert.equal(toHex(response!.data.subarray(34, 58)), '82309ecd8d708b5ea08faa3981cd83544233114a3d85d6df');
      script.tell(eap(mschapText(2, 3, proof)));
      assert.deepEqual(shown(script), [[79, 0, true, '020200061a03']]);
      assertSucceeds(script, /^EAP-TTLS with TLS 1\.2, EAP-MSCHAPv2$/);
    });

    test('an EAP-Success inside as well', () => {
      const script = responded();
      script.tell(eap(mschapText(2, 3, proof)));
      assert.equal(toHex(find(script.tell(eap(success(2))), 'reply').packet.subarray(4)), '1500');
      assertSucceeds(script, /EAP-MSCHAPv2$/);
    });

    test('a packet in several AVPs, as RADIUS cuts it', () => {
      const script = responded();
      const packet = mschapText(2, 3, `${proof} M=${'x'.repeat(300)}`);
      script.tell(concat(eap(packet.subarray(0, 253)), eap(packet.subarray(253))));
      assertSucceeds(script, /EAP-MSCHAPv2$/);
    });

    test('EAP-Success before the method inside has ended', () => {
      const script = responded();
      assertFailed(script.packet(success(script.identifier)), 'out-of-order');
    });
    test('EAP-Success inside before the method has ended (CVE-2021-45079 class)', () => {
      assertFailed(responded().tell(eap(success(1))), 'out-of-order');
    });
    test('EAP-Failure inside', () => assertFailed(responded().tell(eap(failure(1))), 'rejected'));
    test('a server that does not know the password', () => {
      assertFailed(responded().tell(eap(mschapText(2, 3, `S=${'0'.repeat(40)}`))), 'server-not-proven');
    });
    test('a wrong password: the Failure is acknowledged in the tunnel before the end', () => {
      const script = responded();
      const actions = script.tell(eap(mschapText(2, 4, 'E=691 R=0')));
      assert.deepEqual(shown(script), [[79, 0, true, '020200061a04']]);
      find(actions, 'reply');
      assertFailed(actions, 'wrong-password');
    });
    test('a change of password works inside', () => {
      const script = responded();
      const asked = script.tell(eap(mschapText(2, 4, `E=648 R=1 C=${toHex(authenticator)} V=3`)));
      assert.equal(find(asked, 'need-secret').what, 'new-password');
      script.secret(asked, encodeUtf8('newPass'));
      assert.equal(script.avps()[0]!.data.length, 591);
    });
    test('another method inside is refused with a Nak', () => {
      const script = responded();
      assertFailed(script.tell(eap(request(2, 6, encodeUtf8('Password: ')))), 'out-of-order');
      const fresh = new TtlsScript(inner, '1.2', crypto);
      fresh.open();
      fresh.tell(eap(request(1, 6, encodeUtf8('Password: '))));
      assert.deepEqual(shown(fresh), [[79, 0, true, '02010006031a']]);
    });
    test('a message without EAP', () => {
      const script = responded();
      assertFailed(script.tell(avp(18, encodeUtf8('hm'))), 'out-of-order');
    });
    test('EAP-GTC inside, twice', () => {
      const script = new TtlsScript({ kind: 'eap', identity: 'bob', method: { kind: 'gtc', userName: 'bob' } });
      script.open();
      script.secret(script.tell(eap(request(1, 6, encodeUtf8('Password: ')))), encodeUtf8('hello'));
      const second = script.tell(eap(request(2, 6, encodeUtf8('Code: '))));
      assert.equal(find(second, 'need-secret').what, 'token');
      script.secret(second, encodeUtf8('1234'));
      assert.deepEqual(shown(script), [[79, 0, true, `0202000906${toHex(encodeUtf8('1234'))}`]]);
      assertSucceeds(script, /EAP-GTC$/);
    });
  },
);

suite('EAP-TTLS: the tunnel', () => {
  const pap = { kind: 'pap', ...user } as const;

  test('identity: the outer one only, until the server is verified', () => {
    const script = new TtlsScript(pap);
    const reply = script.reply(request(1, 1));
    assert.equal(toHex(reply.subarray(5)), toHex(encodeUtf8('anonymous@example.com')));
  });
  test('a server that is not verified learns nothing', () => {
    const script = new TtlsScript({ kind: 'eap', identity: 'User@inner', method: { kind: 'gtc', userName: 'bob' } });
    const asked = find(script.ttls(Uint8Array.of(0x20)), 'tls-start');
    assert.deepEqual(asked.trust, trust);
    const actions = script.fail(asked.request, { reason: 'untrusted', detail: 'unknown root' });
    assertFailed(actions, 'tls', /unknown root/);
    assert.ok(!actions.some((action) => action.kind === 'need-secret' || action.kind === 'tls-write'));
  });
  test('a resumed session was not offered', () => {
    assertFailed(new TtlsScript(pap).open({ resumed: true }), 'server-not-proven');
  });
  test('key material of another length', () => {
    assertFailed(new TtlsScript(pap).open({ keyMaterial: new Uint8Array(64) }), 'tls');
  });
  test('a challenge of another length, or none', () => {
    assertFailed(new TtlsScript({ kind: 'chap', ...user }).open({ challenge: new Uint8Array(16) }), 'tls', /challenge of 16/);
    assertFailed(new TtlsScript({ kind: 'mschapv2', ...user }).open({ challenge: new Uint8Array(0) }), 'tls', /challenge of 0/);
  });
  test('AVPs that cannot be read (CVE-2026-25075)', () => {
    const script = new TtlsScript(pap);
    script.secret(script.open(), encodeUtf8('hello'));
    assertFailed(script.tell(fromHex('000000124000000748690000')), 'malformed', /length of 7/);
  });
  test('a mandatory AVP that nobody knows', () => {
    const script = new TtlsScript(pap);
    script.secret(script.open(), encodeUtf8('hello'));
    assertFailed(script.tell(avp(77, Uint8Array.of(1))), 'malformed', /mandatory AVP 77/);
  });
  test('one that is not mandatory is left out', () => {
    const script = new TtlsScript({ kind: 'chap', ...user });
    script.secret(script.open(), encodeUtf8('hello'));
    find(script.tell(avp(77, Uint8Array.of(1), { mandatory: false })), 'reply');
    assertSucceeds(script, /CHAP/);
  });
  test('a server that would speak version 1 gets version 0, and has to keep to it (RFC 5281 §9.1)', () => {
    const script = new TtlsScript({ kind: 'pap', ...user });
    const started = script.ttls(Uint8Array.of(0x21));
    const asked = find(started, 'tls-start');
    const reply = find(script.engine(asked.request, Uint8Array.of(1, 2), { kind: 'handshaking' }), 'reply');
    assert.equal(reply.packet[5]! & 7, 0);
    assertFailed(script.ttls(Uint8Array.of(0x01)), 'malformed', /version 1/);
  });

  test('EAP-Success at every earlier moment', () => {
    assertFailed(new TtlsScript(pap).packet(success(0)), 'out-of-order');
    const started = new TtlsScript(pap);
    started.ttls(Uint8Array.of(0x20));
    assertFailed(started.packet(success(started.identifier)), 'out-of-order');
    const opened = new TtlsScript(pap);
    opened.open();
    assertFailed(opened.packet(success(opened.identifier)), 'out-of-order');
  });
  test('the conversation is closed and never remembered', () => {
    const script = new TtlsScript(pap);
    script.secret(script.open(), encodeUtf8('hello'));
    const closed = find(script.packet(success(script.identifier)), 'tls-close');
    assert.deepEqual(closed, { kind: 'tls-close', channel: 'outer', remember: false });
  });
  test('forgetting overwrites keys and passwords', () => {
    const state = ttlsMethod.begin({ kind: 'ttls', trust, inner: pap }, 'outer');
    const previous = encodeUtf8('hello');
    assert.equal(state.phase2.kind, 'pap');
    ttlsMethod.forget({ ...state, phase2: { ...state.phase2, previous } });
    assert.deepEqual(previous, new Uint8Array(5));
  });
});
