// No room on the disk: what is in force stays, what was there comes back, and people hear what is wrong instead of the gateway.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { canary, network } from '../../../lab/network.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import { Stage } from '../../../lab/stage.ts';

const page = `http://${network.corp.web}/`;
const places = ['/etc', '/var/lib/aovpn'] as const;

suite('main/full-disk', () => {
  let stage: Stage;
  let ownResolvConf: string;
  const shell = (script: string): Promise<string> => stage.world.client.exec(['sh', '-euc', script]);
  const fill = async (): Promise<void> => {
    for (const place of places) await shell(`dd if=/dev/zero of=${place}/fill bs=1k 2>/dev/null || true`);
  };
  const makeRoom = async (): Promise<void> => {
    for (const place of places) await shell(`rm -f ${place}/fill`);
  };
  before(async () => {
    stage = await Stage.set();
    const { product } = stage;
    await product.stop();
    for (const place of places)
      await shell(
        `mkdir -p ${place} /run/small && mount -t tmpfs -o size=512k tmpfs /run/small && cp -a ${place}/. /run/small && mount --bind /run/small ${place} && umount /run/small && chmod 755 ${place}`,
      );
    await shell('chmod 700 /var/lib/aovpn');
    ownResolvConf = await shell('cat /etc/resolv.conf');
    await product.start();
    await product.put('corp', certificateProfile(), stage.machine());
    await product.waitForState('corp', 'up');
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  test('another profile is refused as a whole, with the reason, and the tunnel goes on', async () => {
    const { product, world } = stage;
    await fill();
    await assert.rejects(product.put('second', certificateProfile(), stage.machine()), /AOV-DAEMON-516[^]*no space left/);
    assert.deepEqual(
      (await product.status()).profiles.map(({ name }) => name),
      ['corp'],
    );
    assert.doesNotMatch(await shell('ls -A /etc/aovpn/profiles.d'), /second/);
    assert.match((await world.application.fetch(page)).body, new RegExp(canary));
  });

  test('a tunnel that goes down gives the machine its name servers back', async () => {
    const { product } = stage;
    assert.notEqual(await shell('cat /etc/resolv.conf'), ownResolvConf);
    await product.down('corp');
    await product.waitForState('corp', 'held');
    assert.equal(await shell('cat /etc/resolv.conf'), ownResolvConf);
  });

  test('one that comes up says what has no room, at one gateway only, and is up once there is room', async () => {
    const { product, world } = stage;
    const { status, stderr } = await product.aovpn(['up', 'corp']);
    assert.notEqual(status, 0);
    assert.match(stderr, /resolv\.conf[^]*no space left[^]*AOV-HOST-31[12]; side: host/);
    const connection = await product.connection('corp');
    assert.equal(connection?.problem?.side, 'host');
    const log = product.daemon.output();
    assert.doesNotMatch(
      log.slice(log.lastIndexOf('stays so until')),
      /Trying .* next/,
      'whoever it is tried at, the disk is as full',
    );
    assert.equal(await shell('cat /etc/resolv.conf'), ownResolvConf);
    await makeRoom();
    await product.waitForState('corp', 'up');
    assert.match((await world.application.fetch(page)).body, new RegExp(canary));
  });
});
