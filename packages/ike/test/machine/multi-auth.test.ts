import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { encodeUtf8 } from '@aovpn/bytes';
import type { IkeSaConfig } from '../../src/machine/contract.ts';
import { notify } from '../../src/machine/pick.ts';
import { assertSameChildren, describe } from '../../testkit/assertion.ts';
import { createPair, established, talk } from '../../testkit/conversation.ts';
import { clientKey, eapConfig } from '../../testkit/world.ts';

const { auth } = eapConfig;
if (auth.kind !== 'eap') throw new Error('EAP is wanted');
const config: IkeSaConfig = {
  ...eapConfig,
  auth: {
    ...auth,
    machine: {
      kind: 'certificate',
      schemes: ['ecdsa-sha256'],
      certificates: [clientKey.spki],
      identity: { type: 2, data: encodeUtf8('laptop.example.com') },
    },
  },
};

suite('the machine by certificate, then the user by EAP, in one IKE SA (RFC 4739)', () => {
  /*
   *                                   <-- IKE_SA_INIT { SAr1, KEr, Nr, N(MULTIPLE_AUTH_SUPPORTED) }
   * IKE_AUTH SK { IDi, CERT, AUTH, CP, SAi2, TSi, TSr, N(MULTIPLE_AUTH_SUPPORTED), N(ANOTHER_AUTH_FOLLOWS) } -->
   *                                   <-- IKE_AUTH SK { IDr, CERT, AUTH }
   * IKE_AUTH SK { IDi' } -->
   *                                   <-- IKE_AUTH SK { EAP }
   * … EAP …
   * IKE_AUTH SK { AUTH } -->
   *                                   <-- IKE_AUTH SK { AUTH, CP, SAr2, TSi, TSr }
   */
  test('both are proven before there is a tunnel', () => {
    const pair = established(config, { multipleAuth: true });
    const heard = pair.responder.heard.map(describe);
    assert.equal(heard[1], '35 request 1: IDi CERT N16384 CERTREQ AUTH CP SA TSi TSr N16396 N16420 N16404 N16405');
    assert.equal(heard[2], '35 request 2: IDi');
    assert.match(heard[3]!, /^35 request 3: EAP/);
    assert.match(heard.at(-1)!, /^35 request \d: AUTH$/);
    assertSameChildren(pair);
    assert.equal(pair.client.count('sign'), 1);
    assert.equal(pair.client.count('eap-succeeded'), 1);
  });

  test('nothing of the user is said before the gateway has proven itself', () => {
    const pair = createPair(config, { multipleAuth: true });
    pair.client.verdict = { accepted: false, reason: 'untrusted', detail: 'why', trace: [] };
    talk(pair);
    assert.ok(!pair.responder.heard.map(describe).some((line) => line.includes('EAP') || line === '35 request 2: IDi'));
    assert.equal(pair.client.end?.kind, 'failed');
  });

  test('a gateway that does not speak it is refused: the user alone was not what was asked for', () => {
    const pair = createPair(config, {});
    talk(pair);
    assert.deepEqual(pair.client.end, {
      kind: 'failed',
      failure: { kind: 'not-supported', what: 'multiple-authentication' },
    });
    assert.equal(pair.responder.heard.length, 1, 'after IKE_SA_INIT nothing is sent');
  });

  test('a machine that the gateway does not know is told apart from a user that it does not know', () => {
    const pair = createPair(config, {
      multipleAuth: true,
      impair: (payloads, { header }) => (header.messageId === 1 ? [notify(24)] : payloads),
    });
    talk(pair);
    const { end } = pair.client;
    assert.ok(end?.kind === 'failed' && end.failure.kind === 'authentication-failed' && end.failure.machine);
  });

  test('a wrong password of the user: no tunnel, although the machine was accepted', () => {
    const pair = createPair(config, { multipleAuth: true });
    pair.client.password = 'wrong';
    talk(pair);
    assert.equal(pair.client.end?.kind, 'failed');
    assert.equal(pair.client.count('install-child'), 0);
  });

  test('a gateway that goes straight to the CHILD_SA, or wants another proof of its own, is refused', () => {
    for (const impair of [
      { more: [{ kind: 'SA', proposals: [] } as const], kind: 'invalid-syntax' },
      { more: [notify(16405)], kind: 'protocol' },
    ]) {
      const pair = createPair(config, {
        multipleAuth: true,
        impair: (payloads, { header }) => (header.messageId === 1 ? [...payloads, ...impair.more] : payloads),
      });
      talk(pair);
      assert.equal(pair.client.end?.kind === 'failed' && pair.client.end.failure.kind, impair.kind);
      assert.equal(pair.client.count('eap'), 0);
    }
  });

  test('the proof at the end is of the user, not of the machine', () => {
    const { client, responder } = established(config, { multipleAuth: true });
    assert.deepEqual(responder.current.identities!.client, { type: 1, data: client.path.local.bytes });
  });
});
