// PEAP with cryptobinding required, against the one server here that speaks it: hostapd, behind strongSwan's eap-radius.
import assert from 'node:assert/strict';
import { after, afterEach, before, suite, test } from 'node:test';
import { EapStage } from '../../../lab/eap-stage.ts';
import type { EapWish } from '../../../lab/eap-xml.ts';

const profile = 'bound';

suite('eap/cryptobinding', () => {
  let stage: EapStage;
  before(async () => {
    stage = await EapStage.set();
    await stage.ask('hostapd');
  });
  afterEach(async () => await stage.strike(profile));
  after(async () => await stage?.[Symbol.asyncDispose]());

  for (const inner of ['mschapv2', 'tls'] as const) {
    for (const required of [true, false]) {
      test(`inner EAP-${inner.toUpperCase()}, ${required ? 'required by the profile' : 'not asked for, and answered all the same'}`, async () => {
        const server = await stage.hostapd();
        await server.configure({ inner: inner === 'tls' ? 'TLS' : 'MSCHAPV2', fastReconnect: false });
        const connection = await stage.connect(
          profile,
          wish(inner, required),
          inner === 'tls' ? stage.certificate() : stage.password(),
        );
        const { radius } = connection.crypto!;
        const inside = inner === 'tls' ? 'EAP-TLS with TLS 1.2' : 'EAP-MSCHAPv2';
        assert.equal(radius?.method, `PEAP with TLS 1.2, ${inside} inside, cryptobinding`);
        assert.equal(radius.cryptobinding, true);
        assert.match(server.log(), /EAP-PEAP: Valid cryptobinding TLV received/);
        assert.match(server.log(), /EAP-PEAP: TLV Result - Success/);
      });
    }
  }

  test('a resumed session is bound as well', async () => {
    const server = await stage.hostapd();
    await server.configure({ inner: 'MSCHAPV2', fastReconnect: true });
    await stage.connect(profile, wish('mschapv2', true), stage.password());
    const bound = (): number => server.log().split('EAP-PEAP: Valid cryptobinding TLV received').length - 1;
    assert.equal(bound(), 1);
    await stage.product.down(profile);
    await stage.product.waitForState(profile, 'held');
    await stage.product.up(profile);
    const { crypto } = await stage.product.waitForState(profile, 'up');
    assert.equal(crypto?.radius?.tls?.resumed, true);
    assert.equal(crypto.radius.cryptobinding, true);
    assert.equal(bound(), 2);
  });

  function wish(inner: 'mschapv2' | 'tls', cryptobinding: boolean): EapWish {
    const { trust } = stage;
    return {
      kind: 'peap',
      trust,
      cryptobinding,
      anonymous: 'anonymous',
      inner: inner === 'tls' ? { kind: 'tls', trust } : { kind: inner },
    };
  }
});
