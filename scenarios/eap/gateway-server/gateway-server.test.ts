// Gateways that are EAP servers themselves: strongSwan's own EAP-MSCHAPv2, EAP-TLS and EAP-TTLS, an implementation of TLS that is not OpenSSL.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { EapStage } from '../../../lab/eap-stage.ts';
import type { EapWish } from '../../../lab/eap-xml.ts';
import type { GatewayAuthentication } from '../../../lab/gateway/strongswan.ts';
import { network } from '../../../lab/network.ts';

suite('eap/gateway-server', () => {
  let stage: EapStage;
  before(async () => {
    stage = await EapStage.set();
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  // It proves itself with the gateway's certificate, so that is what the profile must expect.
  for (const [method, tls, wish] of [
    ['eap-mschapv2', undefined, { kind: 'mschapv2' }],
    ['eap-tls', '1.2', { kind: 'tls', trust: { names: network.gateway.name, roots: [] } }],
    [
      'eap-ttls',
      '1.2',
      { kind: 'ttls', trust: { names: network.gateway.name, roots: [] }, inner: { kind: 'mschapv2' }, anonymous: 'anonymous' },
    ],
  ] as const satisfies readonly (readonly [GatewayAuthentication, '1.2' | '1.3' | undefined, EapWish])[]) {
    test(`${method}${tls ? `, TLS ${tls}` : ''}`, async () => {
      const { world } = stage;
      await world.gateway.stop();
      world.gateway.configureNext({ authentication: [method], ...(tls && { tlsVersionMax: tls }) });
      await world.gateway.start();
      const credentials = method === 'eap-tls' ? stage.certificate() : stage.password();
      const connection = await stage.connect('own', wish, credentials, { radiusRoot: world.pki.root.certificatePem });
      const { radius } = connection.crypto!;
      if (tls) assert.match(radius?.tls?.version ?? '', new RegExp(tls.replace('.', '\\.')));
      assert.equal(await world.gateway.established(), 1);
      await stage.strike('own');
    });
  }

  test('eap-tls, TLS 1.3: a success that the server has not confirmed inside of TLS (RFC 9190 §2.1.1) is not believed', async () => {
    const { world } = stage;
    await world.gateway.stop();
    // strongSwan 5.9.8 leaves the confirmation out.
    world.gateway.configureNext({ authentication: ['eap-tls'], tlsVersionMax: '1.3' });
    await world.gateway.start();
    const wish: EapWish = { kind: 'tls', trust: { names: network.gateway.name, roots: [] } };
    await stage.put('own', wish, stage.certificate(), { radiusRoot: world.pki.root.certificatePem });
    const { problem } = await stage.product.waitForProblem('own');
    assert.equal(problem?.code, 'AOV-EAP-208');
    assert.match(world.gateway.log(), /negotiated TLS 1\.3/);
    await stage.product.remove('own');
  });
});
