import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { concat, decodeUtf16le, encodeUtf8, fromHex, toHex } from '@aovpn/bytes';
import { oldNtPasswordHashEncryptedWithNewNtPasswordHash } from '../../src/mschapv2/change-password.ts';
import { generateAuthenticatorResponse, generateNtResponse, mschapV2Msk, ntPasswordHash } from '../../src/mschapv2/ms-chap-v2.ts';
import { rc4 } from '../../src/mschapv2/rc4.ts';
import { testCrypto } from '../crypto.ts';
import { failure, mschap, mschapChallenge, mschapText, success } from '../packet-writer.ts';
import { assertFailed, find, onlyReply, passwordUser, Script } from '../script.ts';

// RFC 2759 §9.2.
const authenticator = fromHex('5b5d7c7d7b3f2f3e3c2c602132262628');
const peer = fromHex('21402324255e262a28295f2b3a337c7e');
const proof = 'S=407A5589115FD0D6209F510FE9C04566932CDA56';
const crypto = testCrypto((length) => (length === 16 ? peer.slice() : new Uint8Array(length)));

/** Peer ⟵ Challenge; peer asks for the password. */
function challenged(): { script: Script; request: number } {
  const script = new Script(passwordUser, crypto);
  const asked = find(script.packet(mschapChallenge(5, authenticator, 9)), 'need-secret');
  assert.deepEqual(
    { ...asked, request: 0 },
    { kind: 'need-secret', request: 0, what: 'password', userName: 'User', retry: false },
  );
  return { script, request: asked.request };
}

/** Challenge ⟶, ⟵ Response. */
function responded(password = 'clientPass'): Script {
  const { script, request } = challenged();
  onlyReply(script.step({ kind: 'secret', request, secret: encodeUtf8(password) }));
  return script;
}

suite('EAP-MSCHAPv2: Challenge ⟶ ⟵ Response, Success ⟶ ⟵ Success, EAP-Success ⟶', () => {
  test('the whole exchange', () => {
    const { script, request } = challenged();
    const response = onlyReply(script.step({ kind: 'secret', request, secret: encodeUtf8('clientPass') }));
    const nt = '82309ecd8d708b5ea08faa3981cd83544233114a3d85d6df';
    // EAP header; OpCode, MS-CHAPv2-ID, MS-Length; Value-Size, peer challenge, reserved, NT-Response, flags, name.
    assert.equal(toHex(response), `0205003f1a0209003a31${toHex(peer)}${'00'.repeat(8)}${nt}00${toHex(encodeUtf8('User'))}`);
    const actions = script.packet(mschapText(6, 3, `${proof} M=Welcome M=again`));
    assert.deepEqual(
      actions.map((action) => action.kind),
      ['reply', 'succeeded'],
    );
    assert.equal(toHex(find(actions, 'reply').packet), '020600061a03');
    const { msk } = find(actions, 'succeeded');
    assert.equal(toHex(msk), toHex(mschapV2Msk(crypto, ntPasswordHash(encodeUtf8('clientPass')), fromHex(nt))));
    assert.equal(msk.length, 64);
    assert.deepEqual(script.packet(success(6)), []);
    assert.equal(script.state.phase, 'over');
  });

  test('the password is overwritten once used', () => {
    const { script, request } = challenged();
    const secret = encodeUtf8('clientPass');
    script.step({ kind: 'secret', request, secret });
    assert.deepEqual(secret, new Uint8Array(10));
  });

  test('a repeated Success request gets the same acknowledgement, and succeeds once', () => {
    const script = responded();
    script.packet(mschapText(6, 3, proof));
    const again = script.packet(mschapText(6, 3, proof));
    assert.deepEqual(
      again.map((action) => action.kind),
      ['reply'],
    );
  });

  test('EAP-Success counting one further is tolerated, anything else is not', () => {
    const near = responded();
    near.packet(mschapText(6, 3, proof));
    assert.deepEqual(near.packet(success(7)), []);
    const far = responded();
    far.packet(mschapText(6, 3, proof));
    assertFailed(far.packet(success(8)), 'malformed');
  });

  test('EAP-Failure after our acknowledgement', () => {
    const script = responded();
    script.packet(mschapText(6, 3, proof));
    assertFailed(script.packet(failure(6)), 'rejected');
  });
});

suite('EAP-MSCHAPv2: the server must prove itself', () => {
  test('a wrong authenticator response', () => {
    assertFailed(responded().packet(mschapText(6, 3, `S=${'0'.repeat(40)}`)), 'server-not-proven');
  });
  test('the right one for another password', () => {
    assertFailed(responded('other').packet(mschapText(6, 3, proof)), 'server-not-proven');
  });
  test('Success before the Response (CVE-2015-8023)', () => {
    assertFailed(new Script(passwordUser, crypto).packet(mschapText(6, 3, proof)), 'out-of-order');
  });
  test('Failure before the Response', () => {
    assertFailed(new Script(passwordUser, crypto).packet(mschapText(6, 4, 'E=691 R=1')), 'out-of-order');
  });
  test('a second challenge', () => assertFailed(responded().packet(mschapChallenge(6, authenticator)), 'out-of-order'));
});

suite('EAP-MSCHAPv2: Failure (RFC 2759 §6)', () => {
  const numbers = [
    [646, 'account-restricted'],
    [647, 'account-restricted'],
    [648, 'password-expired'],
    [649, 'account-restricted'],
    [691, 'wrong-password'],
    [709, 'password-expired'],
    [999, 'rejected'],
  ] as const;
  for (const [number, kind] of numbers) {
    test(`E=${number} R=0 is ${kind}, and is acknowledged`, () => {
      const actions = responded().packet(mschapText(6, 4, `E=${number} R=0 C=${'ab'.repeat(16)} V=2 M=no\u001b[31m E=1`));
      assert.deepEqual(
        actions.map((action) => action.kind),
        ['reply', 'failed'],
      );
      assert.equal(toHex(find(actions, 'reply').packet), '020600061a04');
      assertFailed(actions, kind);
      const { failure: report } = find(actions, 'failed');
      assert.equal(report.number, number);
      assert.match(report.detail, new RegExp(`error ${number}\\); the server says: no \\[31m E=1$`));
    });
  }

  test('E=691 R=1: asks again, answers the new challenge with the identifier counted up, once only', () => {
    const script = responded('wrong');
    const asked = find(script.packet(mschapText(6, 4, `E=691 R=1 C=${toHex(authenticator)} V=3 M=try again`)), 'need-secret');
    assert.equal(asked.retry, true);
    assert.equal(asked.message, 'try again');
    const response = onlyReply(script.step({ kind: 'secret', request: asked.request, secret: encodeUtf8('clientPass') }));
    assert.equal(toHex(response.subarray(4, 10)), '1a020a003a31');
    const challenges = { authenticator, peer };
    const hash = ntPasswordHash(encodeUtf8('clientPass'));
    const nt = generateNtResponse(crypto, challenges, 'User', hash);
    assert.equal(toHex(response.subarray(34, 58)), toHex(nt));
    assertFailed(script.packet(mschapText(7, 4, 'E=691 R=1')), 'wrong-password');
    assert.equal(toHex(generateAuthenticatorResponse(crypto, challenges, 'User', hash, nt)), proof.slice(2).toLowerCase());
  });

  test('the same password is not sent twice', () => {
    const script = responded('wrong');
    const asked = find(script.packet(mschapText(6, 4, 'E=691 R=1')), 'need-secret');
    const actions = script.step({ kind: 'secret', request: asked.request, secret: encodeUtf8('wrong') });
    assertFailed(actions, 'wrong-password');
    assert.equal(toHex(find(actions, 'reply').packet), '020600061a04');
  });

  test('no new password', () => {
    const script = responded('wrong');
    const asked = find(script.packet(mschapText(6, 4, 'E=691 R=1')), 'need-secret');
    assertFailed(script.step({ kind: 'secret', request: asked.request, secret: undefined }), 'wrong-password');
  });

  test('E=648 without the version of a change that we know asks for nothing', () => {
    assertFailed(responded().packet(mschapText(6, 4, 'E=648 R=1')), 'password-expired');
    assertFailed(responded().packet(mschapText(6, 4, 'E=648 R=1 V=2')), 'password-expired');
  });

  const malformed = [
    '',
    'E=',
    'E=x',
    'E=12345678901',
    'R=1',
    'E=691 R=2',
    'E=691 E=691',
    'E=691 C=ab',
    `E=691 C=${'zz'.repeat(16)}`,
    `E=691 C=${'ab'.repeat(17)}`,
    'E=691 V=x',
    'E=691 rubbish',
    'M=E=691',
    `E=691 M=${'x'.repeat(600)}`,
    `E=691 ${'A=1 '.repeat(200)}`,
    'E=-1',
    'E=6 91',
  ];
  for (const text of malformed) {
    test(`unreadable: "${text.slice(0, 40)}" (CVE-2025-62291)`, () => {
      assertFailed(responded().packet(mschapText(6, 4, text)), 'malformed');
    });
  }
});

suite('EAP-MSCHAPv2: Failure E=648 ⟶ ⟵ Change-Password, Success ⟶ ⟵ Success, EAP-Success ⟶ (RFC 2759 §7)', () => {
  const fresh = fromHex('000102030405060708090a0b0c0d0e0f');
  const expired = `E=648 R=1 C=${toHex(fresh)} V=3 M=Password Expired`;
  const oldHash = ntPasswordHash(encodeUtf8('clientPass'));

  /** Challenge ⟶, ⟵ Response, Failure E=648 ⟶; peer asks for the new password. */
  function expiring(): { script: Script; request: number } {
    const script = responded();
    const asked = find(script.packet(mschap(6, 4, 77, encodeUtf8(expired))), 'need-secret');
    const { request, ...rest } = asked;
    const wanted = { kind: 'need-secret', what: 'new-password', userName: 'User', retry: false, message: 'Password Expired' };
    assert.deepEqual(rest, wanted);
    return { script, request };
  }

  /** The new password as a server reads it from a Change-Password packet. */
  function readChange(response: Uint8Array): { readonly password: string; readonly nt: Uint8Array } {
    assert.equal(response.length, 591);
    const block = rc4(oldHash, response.subarray(9, 525));
    const length = new DataView(block.buffer).getUint32(512, true);
    return { password: decodeUtf16le(block.subarray(512 - length, 512)), nt: response.subarray(565, 589) };
  }

  test("the whole exchange; the key is the new password's", () => {
    const { script, request } = expiring();
    const secret = encodeUtf8('newPass');
    const response = onlyReply(script.step({ kind: 'secret', request, secret }));
    assert.deepEqual(secret, new Uint8Array(7), 'the new password is overwritten once used');
    // EAP header; OpCode, MS-CHAPv2-ID one above the Failure's, MS-Length.
    assert.equal(toHex(response.subarray(0, 9)), '0206024f1a074e024a');
    const newHash = ntPasswordHash(encodeUtf8('newPass'));
    const { password, nt } = readChange(response);
    assert.equal(password, 'newPass');
    assert.equal(toHex(response.subarray(525, 541)), toHex(oldNtPasswordHashEncryptedWithNewNtPasswordHash(oldHash, newHash)));
    assert.equal(toHex(response.subarray(541, 565)), `${toHex(peer)}${'00'.repeat(8)}`);
    const challenges = { authenticator: fresh, peer };
    assert.equal(toHex(nt), toHex(generateNtResponse(crypto, challenges, 'User', newHash)));
    assert.equal(toHex(response.subarray(589)), '0000');
    const digits = toHex(generateAuthenticatorResponse(crypto, challenges, 'User', newHash, nt)).toUpperCase();
    const actions = script.packet(mschapText(7, 3, `S=${digits}`));
    assert.equal(toHex(find(actions, 'succeeded').msk), toHex(mschapV2Msk(crypto, newHash, nt)));
    assert.deepEqual(script.packet(success(7)), []);
  });

  test('without C= the challenge stays', () => {
    const script = responded();
    const asked = find(script.packet(mschapText(6, 4, 'E=648 R=0 V=3')), 'need-secret');
    assert.equal(asked.message, undefined);
    const { nt } = readChange(onlyReply(script.step({ kind: 'secret', request: asked.request, secret: encodeUtf8('newPass') })));
    const challenges = { authenticator, peer };
    assert.equal(toHex(nt), toHex(generateNtResponse(crypto, challenges, 'User', ntPasswordHash(encodeUtf8('newPass')))));
  });

  test('a Success that proves the old password only is not believed', () => {
    const { script, request } = expiring();
    script.step({ kind: 'secret', request, secret: encodeUtf8('newPass') });
    const nt = generateNtResponse(crypto, { authenticator: fresh, peer }, 'User', oldHash);
    const digits = toHex(generateAuthenticatorResponse(crypto, { authenticator: fresh, peer }, 'User', oldHash, nt));
    assertFailed(script.packet(mschapText(7, 3, `S=${digits}`)), 'server-not-proven');
  });

  const refusals: readonly (readonly [string, Uint8Array | undefined, RegExp])[] = [
    ['none', undefined, /no new password was given/],
    ['empty', new Uint8Array(0), /1 to 256 characters/],
    ['too long', new Uint8Array(257).fill(0x41), /1 to 256 characters/],
    ['the old one', encodeUtf8('clientPass'), /is the old one/],
  ];
  for (const [name, secret, detail] of refusals) {
    test(`new password: ${name}`, () => {
      const { script, request } = expiring();
      const actions = script.step({ kind: 'secret', request, secret });
      assertFailed(actions, 'password-expired', detail);
      assert.equal(find(actions, 'failed').failure.number, 648);
      assert.equal(toHex(find(actions, 'reply').packet), '020600061a04');
      if (secret) assert.ok(secret.every((octet) => octet === 0));
    });
  }

  test('E=709 R=1: the server does not like it; another may be proposed, three in all', () => {
    const { script, request } = expiring();
    let question = request;
    for (const [i, proposal] of ['short', 'shorter', 'shortest'].entries()) {
      const { password } = readChange(
        onlyReply(script.step({ kind: 'secret', request: question, secret: encodeUtf8(proposal) })),
      );
      assert.equal(password, proposal);
      const actions = script.packet(mschapText(7 + i, 4, 'E=709 R=1 V=3 M=too simple'));
      if (proposal === 'shortest') {
        assertFailed(actions, 'password-expired', /did not take the new password \(error 709\); the server says: too simple/);
        assert.equal(find(actions, 'failed').failure.number, 709);
        return;
      }
      const asked = find(actions, 'need-secret');
      assert.deepEqual([asked.what, asked.retry, asked.message], ['new-password', true, 'too simple']);
      question = asked.request;
    }
  });

  for (const error of ['E=709 R=0', 'E=648 R=1 V=3', 'E=691 R=1', 'E=647 R=1']) {
    test(`${error} after the change is final`, () => {
      const { script, request } = expiring();
      script.step({ kind: 'secret', request, secret: encodeUtf8('newPass') });
      const actions = script.packet(mschapText(7, 4, error));
      assert.equal(find(actions, 'failed').failure.number, Number(error.slice(2, 5)));
    });
  }

  test('E=691 R=1, then E=648 for the right password', () => {
    const script = responded('wrong');
    const asked = find(script.packet(mschapText(6, 4, `E=691 R=1 C=${toHex(authenticator)} V=3`)), 'need-secret');
    onlyReply(script.step({ kind: 'secret', request: asked.request, secret: encodeUtf8('clientPass') }));
    const renewed = find(script.packet(mschapText(7, 4, expired)), 'need-secret');
    assert.equal(renewed.what, 'new-password');
    const change = onlyReply(script.step({ kind: 'secret', request: renewed.request, secret: encodeUtf8('newPass') }));
    assert.equal(readChange(change).password, 'newPass');
  });

  test('E=709 for a password that was never changed is final', () => {
    assertFailed(responded().packet(mschapText(6, 4, 'E=709 R=1 V=3')), 'password-expired');
  });

  test('a server that never stops is left (RFC 2759 §6 sets no limit)', () => {
    const script = responded('wrong');
    const asked = find(script.packet(mschapText(6, 4, 'E=691 R=1')), 'need-secret');
    onlyReply(script.step({ kind: 'secret', request: asked.request, secret: encodeUtf8('wrong too') }));
    assertFailed(script.packet(mschapText(7, 4, 'E=691 R=1')), 'wrong-password');
  });
});

suite('EAP-MSCHAPv2: passwords', () => {
  test('none', () => {
    const { script, request } = challenged();
    assertFailed(script.step({ kind: 'secret', request, secret: undefined }), 'no-secret');
  });
  test('longer than any', () => {
    const { script, request } = challenged();
    assertFailed(script.step({ kind: 'secret', request, secret: new Uint8Array(1025) }), 'no-secret');
  });
  test('beyond ASCII: UTF-16LE, surrogate pairs included', () => {
    // MD4 of 70 00 e4 00 3d d8 00 de, by a second implementation written for this check.
    assert.equal(toHex(ntPasswordHash(encodeUtf8('pä😀'))), '832ec202c5badcd52a644d8a1a9c5182');
  });
});

suite('EAP-MSCHAPv2: lengths', () => {
  const challenge = concat(Uint8Array.of(16), authenticator);
  const cases: readonly (readonly [string, Uint8Array])[] = [
    ['no data', requestOf('')],
    ['one octet', requestOf('01')],
    ['MS-Length 0', requestOf(`01050000${toHex(challenge)}`)],
    ['MS-Length 1', requestOf(`01050001${toHex(challenge)}`)],
    ['MS-Length 65535', requestOf(`0105ffff${toHex(challenge)}`)],
    ['Value-Size 0', mschap(5, 1, 5, Uint8Array.of(0))],
    ['Value-Size 255', mschap(5, 1, 5, concat(Uint8Array.of(255), authenticator))],
    ['a challenge cut short', mschap(5, 1, 5, challenge.subarray(0, 16))],
    ['no Value-Size', mschap(5, 1, 5, new Uint8Array())],
    ['an endless server name', mschap(5, 1, 5, concat(challenge, new Uint8Array(600).fill(0x41)))],
    ['a Response from the server', mschap(5, 2, 5, challenge)],
    ['OpCode 0', mschap(5, 0, 5, challenge)],
    ['OpCode 255', mschap(5, 255, 5, challenge)],
  ];
  for (const [name, octets] of cases) {
    test(name, () => assertFailed(new Script(passwordUser, crypto).packet(octets), 'malformed'));
  }
  for (const text of ['', 'S=', 'S=40', `S=${'0'.repeat(39)}`, `S=${'0'.repeat(41)}`, `${proof}x`, `x${proof}`]) {
    test(`Success "${text.slice(0, 12)}" of ${text.length} characters`, () => {
      assertFailed(responded().packet(mschapText(6, 3, text)), 'malformed');
    });
  }

  function requestOf(hex: string): Uint8Array {
    const data = fromHex(hex);
    return concat(Uint8Array.of(1, 5, 0, 5 + data.length, 26), data);
  }
});
