// A gateway that answers UPDATE_SA_ADDRESSES (RFC 4555 §3.5) and sends its ESP to the old address all the same, as OpenIKED does on Linux: IKE lives on and
// nothing gets through. Against the testkit's responder; the real one is in the kernel lane.
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { network } from '../../../lab/network.ts';
import { TestkitGateway } from '../../../lab/peer/testkit-gateway.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import type { Product } from '../../../lab/product.ts';
import { until } from '../../../lab/until.ts';
import { World } from '../../../lab/world.ts';

const name = 'moved';
const renewed = /its ESP does not come to the new address: a new CHILD_SA/g;
const givenUp = /ESP does not follow to the new address, not even with a new CHILD_SA/g;

suite('ike/move-proof', { concurrency: 1 }, () => {
  let world: World;
  let product: Product;
  let gateway: TestkitGateway;
  before(async () => {
    world = await World.create();
    product = world.product();
    await product.start();
    gateway = await TestkitGateway.start(world.gatewayHost, {
      certificate: world.pki.gateway(),
      authorities: [world.pki.root.certificatePem],
    });
  });
  after(async () => {
    await gateway?.stop();
    await world?.close();
  });
  beforeEach(async () => {
    const issued = world.pki.machine();
    await product.put(name, certificateProfile({ servers: `v4.${network.gateway.name}`, names: {} }), {
      certificatePem: issued.chainPem,
      keyPem: issued.keyPem,
      gatewayCaPem: world.pki.root.certificatePem,
    });
    await product.waitForState(name, 'up');
    await untilAnswered();
  });
  afterEach(async () => {
    await product.remove(name);
    await gateway.tell({ op: 'esp-stays', with: 'nothing' });
    await world.moveClient('home');
  });

  /** Packets go to the company for so long; how many came back. */
  const answers = async (milliseconds: number): Promise<number> => {
    const flow = await world.application.flow(network.corp.web4, network.corp.echoPort, 20);
    await sleep(milliseconds);
    return (await flow.stop()).received;
  };
  const said = (pattern: RegExp): number => [...product.daemon.output().matchAll(pattern)].length;
  /** Sends until an answer comes. */
  const untilAnswered = async (): Promise<void> => {
    const flow = await world.application.flow(network.corp.web4, network.corp.echoPort, 20);
    await until(
      () => `something comes back:\n${product.daemon.output().slice(-4000)}\n${gateway.log().slice(-2000)}`,
      async () => (await flow.look()).received > 0,
    );
    await flow.stop(0);
  };

  test('a new CHILD_SA brings it back: the tunnel stays', async () => {
    await gateway.tell({ op: 'esp-stays', with: 'child' });
    const before = [said(renewed), said(givenUp)];
    const { connectedAt } = (await product.connection(name))!;
    await world.moveClient('away');
    await untilAnswered();
    assert.deepEqual([said(renewed), said(givenUp)], [before[0]! + 1, before[1]!]);
    assert.equal((await product.connection(name))?.connectedAt, connectedAt);
  });

  test('not even a new CHILD_SA does: the tunnel is made anew', async () => {
    await gateway.tell({ op: 'esp-stays', with: 'ike' });
    const before = [said(renewed), said(givenUp)];
    const { connectedAt } = (await product.connection(name))!;
    await world.moveClient('away');
    await untilAnswered();
    assert.deepEqual([said(renewed), said(givenUp)], [before[0]! + 1, before[1]! + 1]);
    assert.notEqual((await product.connection(name))?.connectedAt, connectedAt);
  });

  test('nothing is sent: the tunnel stays as it is; a gateway that follows gets nothing of it', async () => {
    await gateway.tell({ op: 'esp-stays', with: 'child' });
    const before = [said(renewed), said(givenUp)];
    const { connectedAt } = (await product.connection(name))!;
    await world.moveClient('away');
    await gateway.says(/heard 37 request \d+: N16400[^]*$/m);
    await sleep(12_000);
    assert.deepEqual([said(renewed), said(givenUp)], before);
    await gateway.tell({ op: 'esp-stays', with: 'nothing' });
    assert.ok(await answers(7_000));
    assert.deepEqual([said(renewed), said(givenUp)], before);
    assert.equal((await product.connection(name))?.connectedAt, connectedAt);
  });
});
