// Claims of a traffic filter on a member of a domain: SSSD says who the SIDs are, with no file beside the profile.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { App, assertRefused } from '../../../lab/app.ts';
import { network } from '../../../lab/network.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import { joinDomain, sidOf } from '../../../lab/server/sssd.ts';
import { Stage } from '../../../lab/stage.ts';
import { World } from '../../../lab/world.ts';

const { corp } = network;
const kim = { name: 'kim', rid: 1107 };
const jo = { name: 'jo', rid: 1108 };
const eve = { name: 'eve', rid: 1109 };
const sales = { name: 'sales', rid: 1200, members: ['jo'] };
const gone = { name: 'gone', rid: 9999 };

suite('apps/claims', () => {
  let stage: Stage;
  let world: World;
  let plain: App;
  const id = async (name: string): Promise<number> => Number(await stage.world.client.exec(['id', '-u', name]));
  before(async () => {
    world = await World.create();
    await joinDomain(world.client, [kim, jo, eve, sales]);
    stage = await Stage.on(world);
    plain = new App(world.client, 'plain');
  });
  after(async () => await world?.close());

  test('a user and the members of a group, by their SIDs; others are refused', async () => {
    const filter = `<TrafficFilter><Claims>D:(A;;CC;;;${sidOf(kim)})(A;;CC;;;${sidOf(sales)})</Claims></TrafficFilter>`;
    await stage.product.put('corp', certificateProfile({ extra: filter }), stage.machine());
    await stage.product.waitForState('corp', 'up');
    const ask = async (name: string): ReturnType<App['ask']> => plain.ask('tcp', corp.web4, 80, { uid: await id(name) });
    assert.ok((await ask('kim')).said, 'by her own SID');
    assert.ok((await ask('jo')).said, 'as a member of the group');
    assertRefused(await ask('eve'), 'somebody else of the domain');
    assertRefused(await plain.ask('tcp', corp.web4, 80, { uid: 1000 }), 'a local user');
  });

  test('a SID that the domain does not know lets nobody through, and is told with its line', async () => {
    const filter = `<TrafficFilter><Claims>D:(A;;CC;;;${sidOf(gone)})</Claims></TrafficFilter>`;
    await stage.product.put('corp', certificateProfile({ extra: filter }));
    assertRefused(await plain.ask('tcp', corp.web4, 80, { uid: await id('kim') }), 'the filter of before is gone');
    const profile = (await stage.product.status()).profiles.find(({ name }) => name === 'corp');
    assert.match(JSON.stringify(profile), /AOV-POLICY-404/);
  });
});
