// Traffic filters on a real tunnel: what passes is what the profile says, both ways and in both families, and the rest is refused at once.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { App, assertRefused } from '../../../lab/app.ts';
import { network } from '../../../lab/network.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import { Stage } from '../../../lab/stage.ts';

const { corp } = network;
const listenPort = 4711;

suite('apps/filters', () => {
  let stage: Stage;
  let plain: App;
  before(async () => {
    stage = await Stage.set();
    plain = new App(stage.world.client, 'plain');
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  const both = [
    [corp.web4, corp.dns4],
    [corp.web6, corp.dns6],
  ] as const;

  test('by port and address, both families: allowed passes, the rest is refused at once', async () => {
    const { product, world } = stage;
    const filters = [
      '<TrafficFilter><Protocol>6</Protocol><RemotePortRanges>80,8000-8100</RemotePortRanges></TrafficFilter>',
      `<TrafficFilter><Protocol>17</Protocol><RemotePortRanges>${corp.echoPort}</RemotePortRanges><RemoteAddressRanges>${corp.web4},${corp.web6}</RemoteAddressRanges></TrafficFilter>`,
      '<TrafficFilter><Protocol>1</Protocol></TrafficFilter>',
    ].join('');
    await product.put('corp', certificateProfile({ extra: filters }), stage.machine());
    const up = await product.waitForState('corp', 'up');
    for (const [web, dns] of both) {
      const page = await plain.ask('tcp', web, 80);
      assert.ok(up.addresses.includes(page.said ?? ''), `from the tunnel address: ${JSON.stringify(page)}`);
      assert.equal((await plain.ask('connected', web, corp.echoPort)).said, 'who');
      assert.equal((await plain.ask('udp', web, corp.echoPort)).said, 'who');
      assertRefused(await plain.ask('tcp', web, 81), 'TCP 81');
      assertRefused(await plain.ask('connected', web, corp.echoPort + 1), 'UDP 8');
      assertRefused(await plain.ask('connected', dns, corp.echoPort), 'UDP 7 elsewhere');
      assertRefused(await plain.ask('tcp', dns, 53, { uid: 1000 }), 'TCP 53 of a user');
    }
    // ICMP is a protocol like any other: of the two, only that of IPv4 has a filter.
    assert.equal((await plain.ask('ping', corp.web4, 0)).said, 'pong');
    assertRefused(await plain.ask('ping', corp.web6, 0), 'ICMPv6');
    // Names are resolved all the same: their servers are allowed by what the profile says of names.
    assert.deepEqual(await world.application.resolve(corp.web, 4), [corp.web4]);
  });

  test('from inside: what answers passes, what begins there only by an inbound filter', async () => {
    const { product, world } = stage;
    const server = await plain.listen(listenPort);
    const corpApp = new App(world.corp, 'visitor');
    const [v4, v6] = (await product.connection('corp'))!.addresses as [string, string];
    for (const address of [v4, v6]) {
      const closed = await corpApp.ask('tcp', address, listenPort, { timeoutMs: 500 });
      assert.equal(closed.error, 'ETIMEDOUT', `${address}: ${JSON.stringify(closed)}`);
    }
    const before = await product.connection('corp');
    await product.put(
      'corp',
      certificateProfile({
        extra: `<TrafficFilter><Protocol>6</Protocol><LocalPortRanges>${listenPort}</LocalPortRanges><Direction>Inbound</Direction></TrafficFilter>`,
      }),
    );
    assert.equal((await product.connection('corp'))?.connectedAt, before?.connectedAt, 'the tunnel stays');
    for (const address of [v4, v6]) assert.match((await corpApp.ask('tcp', address, listenPort)).said ?? '', /^\d+$/);
    for (const [web] of both) assertRefused(await plain.ask('tcp', web, 80), 'outbound without a filter');
    await server.stop();
  });
});
