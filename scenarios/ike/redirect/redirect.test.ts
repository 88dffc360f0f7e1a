// A strongSwan that sends us on while the tunnel lives (RFC 5685), to another of its addresses; and one that sends us in a circle is left alone
// by the limits of the supervisor (see its tests).
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { network } from '../../../lab/network.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import { Stage } from '../../../lab/stage.ts';

suite('ike/redirect', () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.set();
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  const send = async (to: string): Promise<void> => {
    for (const peers of ['0.0.0.0/0', '::/0'])
      await stage.world.gateway.swanctl(['--redirect', '--peer-ip', peers, '--gateway', to]).catch(() => undefined);
  };

  test('strongSwan sends us from one of its addresses to the other', async () => {
    const { product, world } = stage;
    await product.put('sent', certificateProfile(), stage.machine());
    const { gateway } = await product.waitForState('sent', 'up');
    const other = gateway.address === network.gateway.v6 ? network.gateway.v4 : network.gateway.v6;
    await send(other);
    const moved = await product.waitFor(
      'sent',
      'at the other address',
      (now) => now.state === 'up' && now.gateway.address === other,
    );
    assert.equal(moved.gateway.name, other);
    const page = await world.application.fetch(`http://${network.corp.web4}/`);
    assert.equal(page.status, 200);
    assert.match(world.gateway.log(), /REDIR/);
    await stage.strike('sent');
  });

  test('switched off, nobody is sent anywhere', async () => {
    const { product } = stage;
    await product.settings('[profile."stays"]\nredirect = false\n');
    await product.put('stays', certificateProfile(), stage.machine());
    const before = await product.waitForState('stays', 'up');
    await send(before.gateway.address === network.gateway.v6 ? network.gateway.v4 : network.gateway.v6);
    const now = (await product.connection('stays'))!;
    assert.deepEqual([now.state, now.gateway.address, now.connectedAt], ['up', before.gateway.address, before.connectedAt]);
    await stage.strike('stays');
  });
});
