// The testkit's responder as a process, proven by a client that is not ours.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { network } from '../network.ts';
import { StrongswanClient } from '../peer.ts';
import { TestkitGateway } from '../peer/testkit-gateway.ts';
import { World } from '../world.ts';

suite('the testkit gateway', () => {
  let world: World;
  let gateway: TestkitGateway;
  before(async () => {
    world = await World.create({ bare: true });
    gateway = await TestkitGateway.start(world.gatewayHost, {
      certificate: world.pki.gateway(),
      authorities: [world.pki.root.certificatePem],
    });
  });
  after(() => world?.close());

  test('authenticates strongSwan and answers what comes through the tunnel', async () => {
    const peer = new StrongswanClient(world.client, {
      certificate: world.pki.machine(),
      authority: world.pki.root.certificatePem,
      ikeProposals: ['aes256gcm16-prfsha256-x25519'],
      espProposals: ['aes256gcm16-x25519'],
      remoteSelectors: ['0.0.0.0/0'],
    });
    await peer.start();
    try {
      await peer.initiate();
      const flow = await world.application.flow(network.corp.web4, network.corp.echoPort, 100);
      await gateway.tell({ op: 'rekey-child' });
      await gateway.says(/heard 37 response 1/);
      await gateway.tell({ op: 'rekey-ike' });
      await gateway.says(/heard 37 response 3/);
      const { sent, lost } = await flow.stop();
      assert.ok(sent > 0);
      assert.equal(lost, 0);
    } finally {
      await peer.stop();
    }
  });

  test('refuses a certificate of nobody that it knows', async () => {
    const peer = new StrongswanClient(world.client, {
      certificate: world.pki.foreignMachine(),
      authority: world.pki.root.certificatePem,
      ikeProposals: ['aes256gcm16-prfsha256-x25519'],
      espProposals: ['aes256gcm16'],
    });
    await peer.start();
    try {
      await assert.rejects(peer.initiate(), /AUTHENTICATION_FAILED|failed/i);
    } finally {
      await peer.stop();
    }
  });
});
