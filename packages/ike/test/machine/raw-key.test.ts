import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { encodeUtf8 } from '@aovpn/bytes';
import type { IkeSaConfig } from '../../src/machine/contract.ts';
import { pickAll } from '../../src/machine/pick.ts';
import { createPair, established, talk } from '../../testkit/conversation.ts';
import { createTestKey } from '../../testkit/key.ts';
import { certificateConfig, clientKey, gatewayKey } from '../../testkit/world.ts';

const config: IkeSaConfig = {
  ...certificateConfig,
  auth: {
    kind: 'certificate',
    schemes: ['ecdsa-sha256'],
    certificates: [],
    rawKey: clientKey.spki,
    identity: { type: 2, data: encodeUtf8('client.example.com') },
  },
  gatewayKeys: [createTestKey().spki, gatewayKey.spki],
};

suite('keys without certificates (RFC 7670)', () => {
  /*
   * IKE_AUTH SK { IDi, CERT(raw), CERTREQ, CERTREQ(raw), AUTH, CP, SAi2, TSi, TSr } -->
   *                              <-- IKE_AUTH SK { IDr, [CERT(raw)], AUTH, CP, SAr2, TSi, TSr }
   */
  for (const rawKey of ['sent', 'known'] as const) {
    test(`the gateway's key is ${rawKey}`, () => {
      const pair = established(config, { rawKey });
      const { payloads } = pair.responder.heard[1]!;
      assert.deepEqual(
        pickAll(payloads, 'CERT').map(({ encoding }) => encoding),
        [15],
      );
      assert.deepEqual(
        pickAll(payloads, 'CERTREQ').map(({ encoding, authorities }) => `${encoding}:${authorities.length}`),
        ['4:20', '15:0'],
      );
      assert.equal(pair.client.count('verify-gateway'), 0);
      assert.equal(pair.client.last('established')!.facts.authentication, 'raw public key, ecdsa-sha256');
    });
  }

  test('a key that was not handed to us is refused, whether it is sent or not', () => {
    for (const [rawKey, kind] of [
      ['sent', 'gateway-refused'],
      ['known', 'gateway-signature'],
    ] as const) {
      const pair = createPair({ ...config, gatewayKeys: [createTestKey().spki] }, { rawKey });
      talk(pair);
      assert.equal(pair.client.end?.kind === 'failed' && pair.client.end.failure.kind, kind);
      assert.equal(pair.client.count('install-child'), 0);
    }
  });

  test('without keys of the gateway a raw key proves nothing', () => {
    const { gatewayKeys: _, ...none } = config;
    const pair = createPair(none, { rawKey: 'sent' });
    talk(pair);
    const { end } = pair.client;
    assert.equal(end?.kind === 'failed' && end.failure.kind === 'gateway-refused' && end.failure.refusal, 'no-certificate');
  });

  test('a certificate of the gateway is judged as ever', () => {
    const pair = established(config);
    assert.equal(pair.client.count('verify-gateway'), 1);
  });
});
