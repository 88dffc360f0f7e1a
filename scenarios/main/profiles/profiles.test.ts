// Profiles come, change and go while the daemon runs: by command, by file, two at once, good and bad.
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { after, afterEach, before, suite, test } from 'node:test';
import { canary, network } from '../../../lab/network.ts';
import { certificateProfile, corporate, deviceProfile, mschapv2Profile } from '../../../lab/profile-xml.ts';
import { Refused } from '../../../lab/product.ts';
import { Stage } from '../../../lab/stage.ts';
import { until } from '../../../lab/until.ts';

const directory = '/etc/aovpn/profiles.d';

suite('main/profiles', () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.set({ authentication: ['pubkey', 'eap-mschapv2'] });
  });
  afterEach(() => stage.clear());
  after(async () => await stage?.[Symbol.asyncDispose]());

  test('device and user tunnel at the same time, each with its own routes and names', async () => {
    const { world, product } = stage;
    const web4 = { address: network.corp.web4, prefixSize: 32 };
    const web6 = { address: network.corp.web6, prefixSize: 128 };
    await product.put('device', deviceProfile({ routes: [web6], names: {} }), stage.machine());
    await product.put('user', mschapv2Profile({ routes: [web4], names: corporate.names! }), stage.user());
    const device = await product.waitForState('device', 'up');
    const user = await product.waitForState('user', 'up');
    assert.equal(device.tunnel, 'device');
    assert.equal(user.tunnel, 'user');
    assert.notEqual(device.device, user.device);
    assert.equal(await world.gateway.established(), 2);
    for (const [family, connection] of [
      [4, user],
      [6, device],
    ] as const) {
      const page = await world.application.fetch(`http://${network.corp.web}/who`, { family });
      assert.ok(connection.addresses.includes(page.body.trim()), `IPv${family}: fetched from ${page.body.trim()}`);
    }
    // One goes, the other stays.
    await product.remove('user');
    await product.waitForGone('user');
    await assert.rejects(world.application.connect(network.corp.web4, 80, 300));
    assert.equal((await product.connection('device'))?.state, 'up');
  });

  test('a file dropped into the directory connects; changed, it is replaced live; taken away, it goes', async () => {
    const { world, product } = stage;
    const { client } = world;
    client.write(`${directory}/dropped.pem`, stage.machine().certificatePem!);
    client.write(`${directory}/dropped.key`, stage.machine().keyPem!, 0o600);
    client.write(`${directory}/dropped.ca.pem`, stage.machine().gatewayCaPem!);
    client.write(
      `${directory}/dropped.xml`,
      certificateProfile({ routes: [{ address: network.corp.web4, prefixSize: 32 }], names: {} }),
    );
    const first = await product.waitForState('dropped', 'up');
    assert.ok(first.routes.some((route) => route.prefix === `${network.corp.web4}/32`));
    assert.ok(!first.routes.some((route) => route.prefix === network.corp.prefix4));

    client.write(`${directory}/dropped.xml`, certificateProfile());
    const second = await product.waitFor(
      'dropped',
      'replaced',
      ({ routes, state }) => state === 'up' && routes.some((route) => route.prefix === network.corp.prefix4),
    );
    assert.ok(second.routes.some((route) => route.prefix === network.corp.prefix4));
    assert.match((await world.application.fetchUntil(`http://${network.corp.web}/`)).body, new RegExp(canary));

    // A bad new version is refused, and the tunnel does not even notice.
    const flow = await world.application.flow(network.corp.web4, network.corp.echoPort, 100);
    client.write(`${directory}/dropped.xml`, certificateProfile().replace('</NativeProfile>', '</NativeProfil>'));
    const kept = await until('the bad version is seen', async () =>
      (await product.status()).profiles.find((profile) => profile.name === 'dropped' && profile.state === 'kept'),
    );
    assert.ok(kept.diagnostics.some((line) => line.severity === 'error' && line.line > 1));
    const report = await flow.stop();
    assert.equal(report.lost, 0);
    const still = await product.connection('dropped');
    assert.equal(still?.connectedAt, second.connectedAt);

    for (const ending of ['xml', 'pem', 'key', 'ca.pem']) rmSync(client.file(`${directory}/dropped.${ending}`));
    await world.gateway.quiet();
    await product.waitForGone('dropped');
  });

  test('contradictions and ill-formed files are refused with their lines, and change nothing', async () => {
    const { product } = stage;
    await product.put('good', certificateProfile(), stage.machine());
    const before = await product.waitForState('good', 'up');
    for (const [what, xml] of [
      ['not XML', 'this is no profile'],
      ['nothing', ''],
      ['half a file', certificateProfile().slice(0, 300)],
      ['entities', `<!DOCTYPE x [<!ENTITY a "b">]>${certificateProfile()}`],
      [
        'a native profile and a plug-in at once',
        certificateProfile().replace('</NativeProfile>', '</NativeProfile><PluginProfile/>'),
      ],
      ['another root', '<Profile><NativeProfile/></Profile>'],
    ] as const) {
      await assert.rejects(
        product.put('good', xml).then(() => assert.fail(`accepted: ${what}`)),
        (error) => {
          assert.ok(error instanceof Refused, `${what}: ${String(error)}`);
          assert.match(error.error.code, /^AOV-/);
          assert.ok((error.error.diagnostics?.length ?? 0) > 0, what);
          return true;
        },
      );
    }
    const after = await product.connection('good');
    assert.equal(after?.state, 'up');
    assert.equal(after?.connectedAt, before.connectedAt);
  });

  test('credentials that cannot be used are refused or named, and the running tunnel stays', async () => {
    const { world, product } = stage;
    await product.put(
      'steady',
      certificateProfile({ routes: [{ address: network.corp.web4, prefixSize: 32 }], names: {} }),
      stage.machine(),
    );
    const before = await product.waitForState('steady', 'up');
    world.client.write(`${directory}/broken.pem`, 'garbage');
    world.client.write(`${directory}/broken.key`, 'garbage', 0o600);
    world.client.write(`${directory}/broken.xml`, certificateProfile({ routes: [] }));
    const broken = await product.waitForProblem('broken');
    assert.match(broken.problem!.code, /^AOV-HOST-1/);
    world.client.write(`${directory}/open.pem`, stage.machine().certificatePem!);
    world.client.write(`${directory}/open.key`, stage.machine().keyPem!, 0o644);
    world.client.write(`${directory}/open.ca.pem`, stage.machine().gatewayCaPem!);
    world.client.write(`${directory}/open.xml`, certificateProfile({ routes: [] }));
    const open = await product.waitForProblem('open');
    assert.match(open.problem!.code, /^AOV-HOST-1/, 'a key that everybody can read is not used');
    assert.equal((await product.connection('steady'))?.connectedAt, before.connectedAt);
  });

  test('a full disk: adding fails with a clear error, what is in force stays', async () => {
    const { world, product } = stage;
    await product.put('first', certificateProfile(), stage.machine());
    const before = await product.waitForState('first', 'up');
    await product.stop();
    const { client } = world;
    const disk = '/run/full';
    await client.exec([
      'sh',
      '-euc',
      `mkdir -p ${disk}; mount -t tmpfs -o size=512k,mode=755 tmpfs ${disk}; cp -a /etc/aovpn/. ${disk}/`,
    ]);
    await product.start({ args: ['--config-dir', disk] });
    await product.waitForState('first', 'up');
    await client.run(['sh', '-c', `cat /dev/zero > ${disk}/filler`]);
    await assert.rejects(product.put('second', certificateProfile(), stage.machine()), (error) => {
      assert.ok(error instanceof Refused);
      assert.equal(error.error.code, 'AOV-DAEMON-516');
      assert.match(error.error.cure, /space/);
      return true;
    });
    const listing = await client.exec(['ls', '-A', `${disk}/profiles.d`]);
    assert.doesNotMatch(listing, /second|\.tmp|\.new/, 'nothing half-written is left');
    assert.equal((await product.connection('first'))?.state, 'up');
    await client.run(['rm', `${disk}/filler`]);
    await product.put('second', certificateProfile({ routes: [] }), stage.machine());
    await product.stop();
    await product.start();
    assert.equal((await product.waitForState('first', 'up')).name, before.name);
  });
});
