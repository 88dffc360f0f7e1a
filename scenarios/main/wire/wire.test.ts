// What the wire between client and internet shows: ESP and IKE, nothing of what is inside. The positive control shows that it would be seen.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { assertOnlyEsp, contains, countSorts, sortOf } from '../../../lab/capture.ts';
import { canary, network, publicCanary } from '../../../lab/network.ts';
import { certificateProfile, mschapv2Profile } from '../../../lab/profile-xml.ts';
import { Stage } from '../../../lab/stage.ts';

const publicDns = [network.internet.dns4];

suite('main/wire', () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.set({ authentication: ['pubkey', 'eap-mschapv2'] });
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  test('ESP only: pages, names and datagrams, v4 and v6', async () => {
    const { world, product } = stage;
    const capture = await world.capture();
    await product.put('wire', certificateProfile(), stage.machine());
    await product.waitForState('wire', 'up');
    for (const family of [4, 6] as const) {
      assert.match((await world.application.fetch(`http://${network.corp.web}/`, { family })).body, new RegExp(canary));
    }
    const flow = await world.application.flow(network.corp.web6, network.corp.echoPort, 100);
    await sleep(300);
    assert.equal((await flow.stop()).lost, 0);
    await world.gateway.rekey('child');
    await world.application.fetch(`http://${network.corp.web}/bytes/500000`);
    const inside = await capture.packets();
    assertOnlyEsp(inside, [canary, network.corp.web, 'laptop.corp.example'], { publicDns });
    assert.ok(countSorts(inside, publicDns).ike >= 4);

    // Positive control: the same check on traffic that goes outside the tunnel fails, and sees the words.
    await world.application.fetch(`http://${network.internet.web4}/`);
    const outside = await capture.stop();
    assert.ok(contains(outside, publicCanary));
    assert.throws(() => assertOnlyEsp(outside, [], { publicDns }), /in clear/);
    await stage.strike('wire');
  });

  test('names of the company are never asked for outside, names of others never inside', async () => {
    const { world, product } = stage;
    await product.put('wire', certificateProfile(), stage.machine());
    await product.waitForState('wire', 'up');
    const capture = await world.capture();
    await world.application.resolve(network.corp.web);
    await world.application.resolve(network.internet.web, 4);
    await world.application.resolve(`does-not-exist.${network.corp.zone}`).catch(() => undefined);
    const packets = await capture.stop();
    assert.ok(!contains(packets, network.corp.zone), 'a company name left the tunnel');
    assert.ok(contains(packets, network.internet.web), 'the positive control: public names are seen');
    assert.match(world.corporateDns.output(), new RegExp(`does-not-exist.${network.corp.zone}`));
    assert.doesNotMatch(world.corporateDns.output(), new RegExp(network.internet.web));
    await stage.strike('wire');
  });

  test('user name and password never leave in clear, and nothing of them before the gateway has proven itself', async () => {
    const { world, product } = stage;
    const capture = await world.capture();
    await world.gateway.configure({ certificate: world.pki.gateway('unknown-authority') });
    await product.put('secret', mschapv2Profile(), stage.user());
    const { problem } = await product.waitForProblem('secret');
    assert.equal(problem?.code, 'AOV-IKE-131');
    assert.doesNotMatch(world.gateway.log(), /received EAP identity 'alice'/);
    await world.gateway.configure({ certificate: world.pki.gateway() });
    await product.down('secret');
    await product.up('secret');
    await product.waitForState('secret', 'up');
    assert.match(world.gateway.log(), /received EAP identity 'alice'/);
    const packets = await capture.stop();
    assert.ok(!contains(packets, 'alice'));
    assert.ok(packets.some((packet) => sortOf(packet) === 'ike'));
    await stage.strike('secret');
  });
});
