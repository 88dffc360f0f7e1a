import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { concat, encodeUtf8, fromHex, toHex } from '@aovpn/bytes';
import { generateAuthenticatorResponse, generateNtResponse, mschapV2Msk, ntPasswordHash } from '../../src/mschapv2/ms-chap-v2.ts';
import { testCrypto } from '../crypto.ts';
import { failure, mschap, mschapChallenge, mschapText, success } from '../packet-writer.ts';
import { assertFailed, find, onlyReply, passwordUser, Script } from '../script.ts';

// RFC 2759 §9.2.
const authenticator = fromHex('5b5d7c7d7b3f2f3e3c2c602132262628');
const peer = fromHex('21402324255e262a28295f2b3a337c7e');
const proof = 'S=407A5589115FD0D6209F510FE9C04566932CDA56';
const crypto = testCrypto(() => peer.slice());

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
    [709, 'wrong-password'],
    [999, 'rejected'],
  ] as const;
  for (const [number, kind] of numbers) {
    test(`E=${number} R=0 is ${kind}, and is acknowledged`, () => {
      const actions = responded().packet(mschapText(6, 4, `E=${number} R=0 C=${'ab'.repeat(16)} V=3 M=no E=1`));
      assert.deepEqual(
        actions.map((action) => action.kind),
        ['reply', 'failed'],
      );
      assert.equal(toHex(find(actions, 'reply').packet), '020600061a04');
      assertFailed(actions, kind);
      assert.equal(find(actions, 'failed').failure.number, number);
    });
  }

  test('E=691 R=1: asks again, answers the new challenge with the identifier counted up, once only', () => {
    const script = responded('wrong');
    const asked = find(script.packet(mschapText(6, 4, `E=691 R=1 C=${toHex(authenticator)} V=3 M=try again`)), 'need-secret');
    assert.equal(asked.retry, true);
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

  test('E=648 R=1 asks for nothing: the password is not wrong', () => {
    assertFailed(responded().packet(mschapText(6, 4, 'E=648 R=1')), 'password-expired');
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
  ];
  for (const text of malformed) {
    test(`unreadable: "${text.slice(0, 40)}" (CVE-2025-62291)`, () => {
      assertFailed(responded().packet(mschapText(6, 4, text)), 'malformed');
    });
  }
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
