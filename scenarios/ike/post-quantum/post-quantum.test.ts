// ML-KEM-768 beside X25519, against the testkit's responder on real UDP (no gateway of Debian 12 speaks RFC 9370), and a strongSwan that
// is offered it and takes what it knows.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { encodeUtf8 } from '@aovpn/bytes';
import { network } from '../../../lab/network.ts';
import { TestkitGateway } from '../../../lab/peer/testkit-gateway.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import type { Product } from '../../../lab/product.ts';
import { World } from '../../../lab/world.ts';
import { fixedPpkIdentity } from '../../../packages/ike/src/machine/ppk.ts';
import { hybridConfig } from '../../../packages/ike/testkit/world.ts';

const name = 'quantum';

suite('ike/post-quantum', () => {
  let world: World;
  let product: Product;
  before(async () => {
    world = await World.create();
    product = world.product();
    await product.start();
  });
  after(async () => await world?.close());

  test('a gateway that speaks it: the handshake, a rekey of each kind from either side, not a packet lost', async () => {
    const { ikeProposals, childProposals } = hybridConfig;
    const { root } = world.pki;
    const gateway = await TestkitGateway.start(world.gatewayHost, {
      certificate: world.pki.gateway(),
      authorities: [root.certificatePem],
      options: { ikeProposals, childProposals },
    });
    try {
      const issued = world.pki.machine();
      await product.settings(`[profile."${name}"]\nchild-lifetime-megabytes = 1\n`);
      await product.put(name, certificateProfile({ names: {} }), {
        certificatePem: issued.chainPem,
        keyPem: issued.keyPem,
        gatewayCaPem: root.certificatePem,
      });
      const up = await product.waitForState(name, 'up');
      assert.match(up.crypto?.ike ?? '', /X25519 \+ ML-KEM-768$/);
      assert.equal(gateway.count(/^heard 43 request 1: KE/), 1);
      const flow = await world.application.flow(network.corp.web4, network.corp.echoPort, 100);
      await gateway.tell({ op: 'rekey-child' });
      await gateway.says(/(^heard 44 response[^]*){1}^heard 37 response/m);
      await gateway.tell({ op: 'rekey-ike' });
      await gateway.says(/(^heard 44 response[^]*){2}^heard 37 response/m);
      const { sent, lost } = await flow.stop();
      assert.ok(sent > 0);
      assert.equal(lost, 0);
      // A megabyte, and we rekey.
      const big = await world.application.flow(network.corp.web4, network.corp.echoPort, 300, 1200);
      await gateway.says(/^heard 44 request [^]*^heard 37 request/m);
      assert.equal((await big.stop()).lost, 0);
      await product.remove(name);
    } finally {
      await gateway.stop();
    }
  });

  test('another PPK takes the place of the old one while the tunnel is up, and its next keys are made with it (RFC 9867)', async () => {
    const { root } = world.pki;
    const client = world.client;
    const named = (id: string, key: string) => ({ identity: fixedPpkIdentity(encodeUtf8(id)), key: encodeUtf8(key) });
    const [today, tomorrow] = ['Jm3v7Qd1xk2SgqT0nZ8yPw5LrB4cHf6U', 'q9Xe2Vb7Lw4Tz1Rk8Ns5Mj3Hc6Gf0YdQ'] as const;
    const gateway = await TestkitGateway.start(world.gatewayHost, {
      certificate: world.pki.gateway(),
      authorities: [root.certificatePem],
      options: { ppk: named('today', today), ppkEarly: true, freshPpks: [named('tomorrow', tomorrow)] },
    });
    try {
      const issued = world.pki.machine();
      client.write('/etc/aovpn/ppk.key', `${today}\n`, 0o600);
      await product.settings(`[profile."${name}"]\nppk-file = "ppk.key"\nppk-identity = "today"\n`);
      await product.put(name, certificateProfile({ names: {} }), {
        certificatePem: issued.chainPem,
        keyPem: issued.keyPem,
        gatewayCaPem: root.certificatePem,
      });
      const up = await product.waitForState(name, 'up');
      assert.match(up.crypto?.authentication ?? '', /with PPK$/);
      const begun = gateway.count(/^heard 35 request/);
      const flow = await world.application.flow(network.corp.web4, network.corp.echoPort, 100);
      assert.equal((await product.aovpn(['rekey', name])).status, 0);
      await gateway.says(/^heard 36 request [^]*^heard 36 request /m);
      assert.equal(gateway.count(/^heard 36 request .*N16446/), 0, 'the same one is in its keys already');
      client.write('/etc/aovpn/ppk.key', `${tomorrow}\n`, 0o600);
      await product.settings(`[profile."${name}"]\nppk-file = "ppk.key"\nppk-identity = "tomorrow"\n`);
      assert.equal((await product.aovpn(['rekey', name])).status, 0);
      await gateway.says(/(^heard 36 request [^\n]*N16446[^]*){2}/m);
      assert.equal((await product.aovpn(['rekey', name])).status, 0);
      await gateway.says(/(^heard 36 request [^]*){6}/m);
      assert.equal(gateway.count(/^heard 36 request .*N16446/), 2, 'now it is in the keys of the IKE SA');
      const { sent, lost } = await flow.stop();
      assert.ok(sent > 0);
      assert.equal(lost, 0);
      assert.equal(gateway.count(/^heard 35 request/), begun, 'the tunnel was not made anew');
      assert.doesNotMatch(product.daemon.output(), new RegExp(`${today}|${tomorrow}`));
      await product.remove(name);
      await product.settings('');
    } finally {
      await gateway.stop();
    }
  });

  test('a strongSwan that does not: the proposal behind', async () => {
    await world.startGateway({});
    const issued = world.pki.machine();
    await product.put(name, certificateProfile(), {
      certificatePem: issued.chainPem,
      keyPem: issued.keyPem,
      gatewayCaPem: world.pki.root.certificatePem,
    });
    await product.waitForState(name, 'up');
    const { connections } = await product.status();
    assert.match(connections[0]?.crypto?.ike ?? '', /X25519$/);
    await product.remove(name);
    await world.gateway.quiet();
  });

  test('required, and the gateway cannot: a clear refusal', async () => {
    await product.settings(`[profile."${name}"]\npost-quantum = "require"\n`);
    const issued = world.pki.machine();
    await product.put(name, certificateProfile(), {
      certificatePem: issued.chainPem,
      keyPem: issued.keyPem,
      gatewayCaPem: world.pki.root.certificatePem,
    });
    const refused = await product.waitForState(name, 'blocked');
    assert.equal(refused.problem?.code, 'AOV-IKE-110');
    await product.remove(name);
  });
});
