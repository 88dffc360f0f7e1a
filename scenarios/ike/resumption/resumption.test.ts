// Session resumption (RFC 5723) and quick crash detection (RFC 6290), which no gateway on Debian speaks: the daemon against the testkit's
// responder on real UDP.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import { encodeUtf8 } from '@aovpn/bytes';
import { assertOnlyEsp } from '../../../lab/capture.ts';
import { network } from '../../../lab/network.ts';
import { TestkitGateway } from '../../../lab/peer/testkit-gateway.ts';
import type { JsonResponderOptions } from '../../../lab/peer/testkit-gateway-process.ts';
import { certificateProfile, mschapv2Profile } from '../../../lab/profile-xml.ts';
import { Stage, users } from '../../../lab/stage.ts';
import { until } from '../../../lab/until.ts';

const options: JsonResponderOptions = { eap: true, ticketLifetime: 3600 };
const ticketFile = '/run/aovpn/tickets.json';

suite('ike/resumption', () => {
  let stage: Stage;
  let gateway: TestkitGateway;
  before(async () => {
    stage = await Stage.setWithout();
    gateway = await TestkitGateway.start(stage.world.gatewayHost, {
      certificate: stage.world.pki.gateway(),
      authorities: [stage.world.pki.root.certificatePem],
      user: { name: 'alice', password: users.alice },
      options,
    });
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  const heard = (pattern: RegExp): number => gateway.count(pattern);
  const carries = async (): Promise<void> => {
    const flow = await stage.world.application.flow(network.corp.web4, network.corp.echoPort, 50);
    await until('the tunnel carries traffic', async () => (await flow.look()).received > 0);
    await flow.stop();
  };

  test('a gateway that has forgotten everything: the user is back with a ticket, without EAP', async () => {
    const { product } = stage;
    await product.settings('[profile.corp]\ndpd-seconds = 5\n');
    await product.put('corp', mschapv2Profile(), stage.user());
    await product.waitForState('corp', 'up');
    await carries();
    const eap = heard(/heard 35 request \d+: EAP/);
    assert.ok(eap > 0);
    assert.equal(statSync(stage.world.client.file(ticketFile)).mode & 0o777, 0o600);
    await gateway.tell({ op: 'forget' });
    await product.waitFor('corp', 'resumed', ({ crypto }) => crypto?.authentication === 'resumed session');
    await carries();
    assert.ok(heard(/heard 38 request 0/) > 0);
    assert.equal(heard(/heard 35 request \d+: EAP/), eap, 'no EAP again');
    // Forward secrecy: a key exchange of its own at once.
    await gateway.says(/heard 36 request \d+: SA NONCE KE/);
    assert.match((await product.connection('corp'))!.crypto!.authentication, /resumed/);
  });

  test('a daemon that was killed goes on with its ticket', async () => {
    const { product } = stage;
    const resumed = heard(/heard 38 request 0/);
    await product.daemon.stop('SIGKILL');
    await product.start();
    await product.waitFor('corp', 'resumed', ({ crypto }) => crypto?.authentication === 'resumed session');
    assert.ok(heard(/heard 38 request 0/) > resumed);
    await carries();
  });

  test('put down by a person, it authenticates anew', async () => {
    const { product } = stage;
    const [resumed, eap] = [heard(/heard 38 request 0/), heard(/heard 35 request \d+: EAP/)];
    await product.down('corp');
    await product.waitForState('corp', 'held');
    assert.ok(
      !existsSync(stage.world.client.file(ticketFile)) ||
        !readFileSync(stage.world.client.file(ticketFile), 'utf8').includes('corp'),
    );
    await product.up('corp');
    await product.waitForState('corp', 'up');
    assert.equal(heard(/heard 38 request 0/), resumed);
    assert.ok(heard(/heard 35 request \d+: EAP/) > eap);
  });

  test('a gateway that has lost its tickets as well: the full exchange, by itself', async () => {
    const { product } = stage;
    const eap = heard(/heard 35 request \d+: EAP/);
    await gateway.tell({ op: 'options', options });
    await gateway.tell({ op: 'forget' });
    await product.waitFor('corp', 'up by EAP', () => heard(/heard 35 request \d+: EAP/) > eap);
    await product.waitForState('corp', 'up');
    await carries();
    await product.remove('corp');
  });

  test('a crash that the gateway proves: replaced within moments, ESP and IKE only on the wire', async () => {
    const { world, product } = stage;
    await gateway.tell({ op: 'options', options: { ...options, crashSecret: encodeUtf8('kept across restarts') } });
    await product.settings('[profile.corp]\ndpd-seconds = 5\n');
    await product.put('corp', certificateProfile(), stage.machine());
    await product.waitForState('corp', 'up');
    await carries();
    const capture = await world.capture();
    const since = (await product.connection('corp'))!.connectedAt;
    const times = (): number => product.daemon.output().split('the new IKE SA has taken over').length;
    const taken = times();
    await gateway.tell({ op: 'forget' });
    const flow = await world.application.flow(network.corp.web4, network.corp.echoPort, 50);
    await product.waitFor('corp', 'replaced', () => times() > taken);
    await flow.stop(0);
    assert.match(product.daemon.output(), /the gateway proves that it has lost this IKE SA/);
    const connection = await product.connection('corp');
    assert.equal(connection?.state, 'up');
    assert.equal(connection.connectedAt, since, 'the tunnel was up all the time: device, routes and names stayed');
    await carries();
    assertOnlyEsp(await capture.stop(), ['laptop.corp.example'], { publicDns: [network.internet.dns4] });
  });
});
