// In the kernel lane: rules that know our own packets by their socket, and the kernel's ESP, which has the sockets of the programs that it carries.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { App } from '../../../lab/app.ts';
import { canary, network } from '../../../lab/network.ts';
import { certificateProfile, deviceProfile } from '../../../lab/profile-xml.ts';
import { Stage } from '../../../lab/stage.ts';
import { leak, leaks, physicalLink, seen as seenAttempts } from '../../net/lockdown/leaker.ts';
import { changes } from './kernel-tunnel.ts';

const name = 'confined';
const { corp, internet, gateway, client } = network;

suite('confined, by the kernel’s IPsec', { concurrency: 1 }, () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.set();
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  const up = async (xml: string): Promise<void> => {
    await stage.product.put(name, xml, stage.machine());
    const { dataPlane } = await stage.product.waitForState(name, 'up');
    assert.equal(dataPlane?.kind, 'kernel', dataPlane?.why);
  };

  test('an app with ForceTunnel goes through the tunnel, and beside it nowhere', async () => {
    const office = new App(stage.world.client, 'office');
    const other = new App(stage.world.client, 'other');
    const filter = `<TrafficFilter><App><Id>${office.file}</Id></App><RoutingPolicyType>ForceTunnel</RoutingPolicyType></TrafficFilter>`;
    await up(certificateProfile({ servers: `v4.${gateway.name}`, extra: filter }));
    const patient = { timeoutMs: 20_000 };
    for (const web of [internet.web4, internet.web6]) {
      // The far side saw whom: the app came by the gateway, the other one directly.
      assert.equal((await office.ask('tcp', web, 80, patient)).said, web.includes(':') ? gateway.v6 : gateway.v4);
      assert.match((await other.ask('tcp', web, 80, patient)).said ?? '', new RegExp(`^(${client.home.v4}|${client.home.v6})$`));
      assert.ok((await office.ask('udp', web, corp.echoPort, patient)).said !== undefined);
    }
    // Where ESP may go in the name of the app, what the app itself sends may not: it goes through the tunnel like everything else.
    const capture = await stage.world.capture();
    await office.ask('udp', gateway.v4, 4500, { text: 'not-in-clear', timeoutMs: 1000 });
    await other.ask('udp', gateway.v4, 4500, { text: 'control', timeoutMs: 1000 });
    const packets = await capture.stop();
    const seen = (text: string): boolean => packets.some(({ frame }) => frame.includes(text));
    assert.deepEqual([seen('not-in-clear'), seen('control')], [false, true]);
    await stage.strike(name);
  });

  test('LockDown: through the tunnel and no other way, whatever a program gives its sockets; also on the move and with the daemon killed', async () => {
    const { world, product } = stage;
    const { mac } = await physicalLink(world.client);
    const locked = deviceProfile({ servers: `v4.${gateway.name}`, routing: 'ForceTunnel', extra: '<LockDown>true</LockDown>' });
    await up(locked.replace('  <DeviceTunnel>true</DeviceTunnel>\n', ''));
    const capture = await world.capture();
    const intranet = async (): Promise<void> => {
      for (const address of [corp.web4, `[${corp.web6}]`])
        assert.match((await world.application.fetch(`http://${address}/`)).body, new RegExp(canary));
    };
    const tryAll = async (): Promise<void> => {
      for (const who of ['nobody', 'raw', 'root'] as const) {
        const token = await leak(world.client, who);
        // Known by its shape: judged with the whole capture below.
        const left = seenAttempts(await capture.packets(), token, mac).filter((attempt) => attempt !== 'link-local6');
        assert.deepEqual(left, [], who);
      }
    };
    await intranet();
    await tryAll();
    await world.moveClient('away');
    await changes('gateway’s view', '', async () => ((await world.gateway.sas()).includes(client.away.v4) ? 'moved' : ''));
    await intranet();
    await product.kill();
    await tryAll();
    assert.deepEqual(leaks(await capture.stop(), mac), []);
  });
});
