import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { encodeUtf8, fromHex, toHex } from '@aovpn/bytes';
import { md4 } from '../../src/mschapv2/md4.ts';
import {
  challengeHash,
  generateAuthenticatorResponse,
  generateNtResponse,
  getAsymmetricStartKey,
  getMasterKey,
  isAuthenticatorResponse,
  mschapV2Msk,
  ntPasswordHash,
} from '../../src/mschapv2/ms-chap-v2.ts';
import { testCrypto } from '../crypto.ts';

const crypto = testCrypto();
const challenges = {
  authenticator: fromHex('5b5d7c7d7b3f2f3e3c2c602132262628'),
  peer: fromHex('21402324255e262a28295f2b3a337c7e'),
};
const passwordHash = ntPasswordHash(encodeUtf8('clientPass'));
const ntResponse = generateNtResponse(crypto, challenges, 'User', passwordHash);

suite('MS-CHAPv2: RFC 2759 §9.2', () => {
  test('ChallengeHash', () => assert.equal(toHex(challengeHash(crypto, challenges, 'User')), 'd02e4386bce91226'));
  test('ChallengeHash leaves the domain out', () => {
    assert.equal(toHex(challengeHash(crypto, challenges, 'CORP\\User')), 'd02e4386bce91226');
  });
  test('NtPasswordHash', () => assert.equal(toHex(passwordHash), '44ebba8d5312b8d611474411f56989ae'));
  test('its hash', () => assert.equal(toHex(md4(passwordHash)), '41c00c584bd2d91c4017a2a12fa59f3f'));
  test('NT-Response', () => assert.equal(toHex(ntResponse), '82309ecd8d708b5ea08faa3981cd83544233114a3d85d6df'));
  test('authenticator response', () => {
    const response = generateAuthenticatorResponse(crypto, challenges, 'User', passwordHash, ntResponse);
    assert.equal(toHex(response), '407a5589115fd0d6209f510fe9c04566932cda56');
    assert.ok(isAuthenticatorResponse('407A5589115FD0D6209F510FE9C04566932CDA56', response));
    assert.ok(!isAuthenticatorResponse('407A5589115FD0D6209F510FE9C04566932CDA57', response));
    assert.ok(!isAuthenticatorResponse('', response));
    assert.ok(!isAuthenticatorResponse('407A5589115FD0D6209F510FE9C04566932CDA', response));
  });
});

suite('Keys of MS-CHAPv2: RFC 3079 §4.3 (the same user and challenges)', () => {
  const masterKey = getMasterKey(crypto, md4(passwordHash), ntResponse);
  test('master key', () => assert.equal(toHex(masterKey), 'fdece3717a8c838cb388e527ae3cdd31'));
  test('send start key of 128 bits', () => {
    assert.equal(toHex(getAsymmetricStartKey(crypto, masterKey, 'authenticator-sends')), '8b7cdc149b993a1ba118cb153f56dccb');
  });
  test('MSK: what the authenticator receives with, then sends with, then zeros', () => {
    const msk = toHex(mschapV2Msk(crypto, passwordHash, ntResponse));
    const receive = toHex(getAsymmetricStartKey(crypto, masterKey, 'authenticator-receives'));
    assert.equal(msk, `${receive}8b7cdc149b993a1ba118cb153f56dccb${'00'.repeat(32)}`);
  });
});
