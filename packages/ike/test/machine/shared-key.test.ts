import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { encodeUtf8 } from '@aovpn/bytes';
import type { IkeSaConfig } from '../../src/machine/contract.ts';
import { assertSameChildren, lastHeard } from '../../testkit/assertion.ts';
import { createPair, established, talk } from '../../testkit/conversation.ts';
import { certificateConfig, eapConfig, sharedKey, sharedKeyConfig } from '../../testkit/world.ts';

suite('IKE_AUTH with a shared key (RFC 7296 §2.15)', () => {
  /*
   * IKE_AUTH SK { IDi, N(INIT_CONTACT), CERTREQ, AUTH, CP(CFG_REQUEST), SAi2, TSi, TSr } -->
   *                              <-- IKE_AUTH SK { IDr, AUTH, CP(CFG_REPLY), SAr2, TSi, TSr }
   */
  test('both ends prove that they have it', () => {
    const pair = established(sharedKeyConfig, { sharedKey });
    assert.equal(lastHeard(pair), '35 request 1: IDi N16384 CERTREQ AUTH CP SA TSi TSr N16396 N16420');
    assertSameChildren(pair);
    assert.equal(pair.client.count('sign'), 0);
    assert.equal(pair.client.count('verify-gateway'), 0);
    assert.equal(pair.client.last('established')!.facts.authentication, 'shared key');
  });

  test('another key at the gateway: it refuses us, and we would refuse it', () => {
    const pair = createPair(sharedKeyConfig, { sharedKey: encodeUtf8('another secret') });
    talk(pair);
    assert.equal(pair.client.end?.kind === 'failed' && pair.client.end.failure.kind, 'authentication-failed');
    const liar = createPair(sharedKeyConfig, {
      sharedKey,
      impair: (payloads) =>
        payloads.map((payload) => (payload.kind === 'AUTH' ? { ...payload, data: payload.data.map((o) => o ^ 1) } : payload)),
    });
    talk(liar);
    assert.deepEqual(liar.client.end, { kind: 'failed', failure: { kind: 'gateway-signature' } });
    assert.equal(liar.client.count('install-child'), 0);
  });

  test('a name that the profile does not want: another holder of the same key cannot play the gateway', () => {
    const pair = createPair({ ...sharedKeyConfig, gatewayNames: ['other.example.com'] }, { sharedKey });
    talk(pair);
    assert.deepEqual(pair.client.end?.kind === 'failed' && pair.client.end.failure.kind, 'gateway-refused');
  });

  const others: Record<string, IkeSaConfig> = { 'a certificate': certificateConfig, EAP: eapConfig };
  for (const [name, config] of Object.entries(others)) {
    test(`a gateway with a shared key is refused where the profile has ${name}`, () => {
      const pair = createPair(config, { sharedKey });
      talk(pair);
      assert.deepEqual(pair.client.end, { kind: 'failed', failure: { kind: 'gateway-signature' } });
      assert.equal(pair.client.count('eap'), 0, 'and hears nothing of the user');
    });
  }
});
