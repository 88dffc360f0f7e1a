// A force tunnel without LockDown: as long as it is up or recovering, nothing goes another way.
import assert from 'node:assert/strict';
import process from 'node:process';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { network } from '../../../lab/network.ts';
import type { WirePacket } from '../../../lab/pcap.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import type { Running } from '../../../lab/running.ts';
import { Stage } from '../../../lab/stage.ts';
import { until } from '../../../lab/until.ts';

const name = 'force';
const { web4, web6 } = network.internet;

suite('net/force', () => {
  let stage: Stage;
  let stream: Running;
  let watched = 0;
  before(async () => {
    stage = await Stage.set();
    await stage.product.settings(`[profile."${name}"]\ndpd-seconds = 5\n`);
    await stage.product.put(name, certificateProfile({ routing: 'ForceTunnel' }), stage.machine());
    await stage.product.waitForState(name, 'up');
    const to = (family: 4 | 6): string =>
      family === 4
        ? `pack_sockaddr_in(4999,inet_pton(AF_INET,"${web4}"))`
        : `pack_sockaddr_in6(4999,inet_pton(AF_INET6,"${web6}"))`;
    // A new socket each time: nothing hangs on a route that was looked up before.
    const script = `while(1){socket(A,AF_INET,SOCK_DGRAM,17);socket(B,AF_INET6,SOCK_DGRAM,17);send(A,"stream-leak",0,${to(4)});send(B,"stream-leak",0,${to(6)});select(undef,undef,undef,0.001)}`;
    stream = stage.world.client.spawn(
      ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', 'perl', '-MSocket=:all', '-e', script],
      {
        name: 'stream',
      },
    );
  });
  after(async () => {
    await stream?.stop();
    await stage?.[Symbol.asyncDispose]();
  });

  const inClear = (packets: readonly WirePacket[]): number =>
    packets.filter(({ destinationPort }) => destinationPort === 4999).length;

  /** What leaves from now on while `disturb` runs; the last state must be as told. */
  async function whileDisturbed(disturb: () => Promise<void>): Promise<void> {
    const capture = await stage.world.capture();
    await disturb();
    const packets = await capture.stop();
    watched += packets.length;
    assert.equal(inClear(packets), 0);
  }
  const state = async (): Promise<string | undefined> => (await stage.product.connection(name))?.state;

  test('while the gateway is silent', async () => {
    await stage.world.gateway.freeze();
    await whileDisturbed(async () => {
      await stage.product.waitForState(name, 'recovering');
      await sleep(1500);
      assert.equal(await state(), 'recovering');
      await stage.world.gateway.thaw();
      await stage.product.waitForState(name, 'up');
    });
  });

  test('while the path is a black hole, and the network another one', async () => {
    await whileDisturbed(async () => {
      await stage.world.impair({ blackhole: true });
      await stage.product.waitForState(name, 'recovering');
      await stage.world.moveClient('away');
      await sleep(500);
      await stage.world.impair({});
      await stage.product.waitForState(name, 'up');
      await stage.world.moveClient('home', 'break-before-make');
      await stage.product.waitForState(name, 'up');
    });
  });

  test('while the cable is out', async () => {
    await whileDisturbed(async () => {
      await stage.world.plug(false);
      await stage.product.waitForState(name, 'recovering');
      await stage.world.plug(true);
      await stage.product.waitForState(name, 'up');
    });
  });

  test('positive control: once a person has put it down, the same stream is in the capture', async () => {
    const capture = await stage.world.capture();
    await stage.product.down(name);
    await stage.product.waitForState(name, 'held');
    await until('the stream is in the clear', async () => inClear(await capture.packets()) > 10);
    await capture.stop();
    assert.ok(watched > 100, `${watched} packets were watched`);
    process.stdout.write(`net/force: ${watched} packets watched, none of the stream in clear\n`);
  });
});
