// The command `aovpn` against a living daemon: what a person sees and what scripts can rely on.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, suite, test } from 'node:test';
import type { ConnectionStatus, DaemonStatus, Explanation } from '@aovpn/api';
import { network } from '../../../lab/network.ts';
import { deviceProfile } from '../../../lab/profile-xml.ts';
import { Stage } from '../../../lab/stage.ts';

suite('main/command', () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.set();
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  test('profile add, list, show', async () => {
    const { product } = stage;
    const file = (name: string, text: string): string => {
      const place = path.join(stage.world.client.directory, 'home', name);
      writeFileSync(place, text, { mode: 0o600 });
      return place;
    };
    const { certificatePem, keyPem, gatewayCaPem } = stage.machine();
    const credentials = [
      '--certificate',
      file('c.pem', certificatePem!),
      '--key',
      file('c.key', keyPem!),
      '--gateway-ca',
      file('ca.pem', gatewayCaPem!),
    ];
    const added = await product.aovpn(['profile', 'add', file('Contoso Device.xml', deviceProfile()), ...credentials]);
    assert.equal(added.status, 0, added.stdout + added.stderr);
    await product.waitForState('Contoso Device', 'up');
    const list = await product.aovpn(['profile', 'list']);
    assert.match(list.stdout, /Contoso Device/);
    const bad = await product.aovpn(['profile', 'add', file('bad.xml', '<VPNProfile>')]);
    assert.equal(bad.status, 1);
    assert.match(bad.stderr, /bad\.xml:1/);
  });

  test('status for people and for scripts', async () => {
    const { product } = stage;
    const human = await product.aovpn(['status']);
    assert.equal(human.status, 0);
    for (const word of ['Contoso Device', 'up', network.gateway.name, network.corp.prefix4, network.corp.dns4]) {
      assert.ok(human.stdout.includes(word), `"${word}" is missing:\n${human.stdout}`);
    }
    const json = await product.aovpn(['status', '--json']);
    const status = JSON.parse(json.stdout) as DaemonStatus | ConnectionStatus[];
    const connections = Array.isArray(status) ? status : status.connections;
    assert.equal(connections[0]?.state, 'up');
  });

  test('explain names the tunnel, the resolver and the line of the profile', async () => {
    const { product } = stage;
    for (const [target, expected] of [
      [network.corp.web, 'tunnel'],
      [network.corp.web6, 'tunnel'],
      [network.internet.web, 'physical'],
    ] as const) {
      const { stdout, status, stderr } = await product.aovpn(['explain', target, '--json']);
      assert.equal(status, 0, stderr);
      const explanation = JSON.parse(stdout) as Explanation;
      assert.equal(explanation.addresses[0]?.path, expected, stdout);
      if (expected === 'tunnel') {
        assert.ok(
          explanation.addresses[0]?.steps.some((step) => (step.line ?? 0) > 1),
          `no profile line:\n${stdout}`,
        );
      }
    }
    const human = await product.aovpn(['explain', network.corp.web]);
    assert.match(human.stdout, /line \d+/);
  });

  test('down holds until up', async () => {
    const { product, world } = stage;
    assert.equal((await product.aovpn(['down', 'Contoso Device'])).status, 0);
    await product.waitForState('Contoso Device', 'held');
    await world.gateway.quiet();
    const held = await product.aovpn(['status']);
    assert.match(held.stdout, /held/);
    await product.stop();
    await product.start();
    assert.equal((await product.connection('Contoso Device'))?.state, 'held', 'a restart does not undo what a person said');
    const up = await product.aovpn(['up', 'Contoso Device']);
    assert.equal(up.status, 0, up.stdout + up.stderr);
    await product.waitForState('Contoso Device', 'up');
  });

  test('doctor finds nothing wrong here, and says what is wrong when the gateway is silent', async () => {
    const { product, world } = stage;
    const well = await product.aovpn(['doctor']);
    assert.equal(well.status, 0, well.stdout + well.stderr);
    await product.down('Contoso Device');
    await world.impair({ dropUdpPorts: [500, 4500] });
    const ill = await product.aovpn(['doctor']);
    await world.impair({});
    assert.equal(ill.status, 1, ill.stdout + ill.stderr);
    assert.match(ill.stdout, /4500/);
    await product.up('Contoso Device');
    await product.waitForState('Contoso Device', 'up');
  });

  test('profile remove takes everything with it', async () => {
    const { product, world } = stage;
    assert.equal((await product.aovpn(['profile', 'remove', 'Contoso Device'])).status, 0);
    await world.gateway.quiet();
    // The gateway is told before routes and names are taken away.
    await product.waitForGone('Contoso Device');
    assert.deepEqual((await product.status()).connections, []);
    const none = await product.aovpn(['status', 'Contoso Device']);
    assert.equal(none.status, 5);
  });
});
