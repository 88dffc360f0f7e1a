// The gateway wants a new authentication (RFC 4478): a second IKE SA takes over from the first, and nobody notices.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { network } from '../../../lab/network.ts';
import { certificateProfile, mschapv2Profile } from '../../../lab/profile-xml.ts';
import { Stage } from '../../../lab/stage.ts';
import { until } from '../../../lab/until.ts';

suite('ike/reauthentication', () => {
  let stage: Stage;
  before(async () => {
    // Half of its time after it was made, our side begins; a minute later charon would end the SA.
    stage = await Stage.set({ authentication: ['pubkey', 'eap-mschapv2'], reauthSeconds: 8 });
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  for (const [name, xml, credentials] of [
    ['machine', certificateProfile(), () => stage.machine()],
    ['user', mschapv2Profile(), () => stage.user()],
  ] as const) {
    test(`${name}: new before old, the same addresses, and no packet lost`, async () => {
      const { world, product } = stage;
      await product.put(name, xml, credentials());
      const before = await product.waitForState(name, 'up');
      const flow = await world.application.flow(network.corp.web4, network.corp.echoPort, 100);
      const flow6 = await world.application.flow(network.corp.web6, network.corp.echoPort, 100);
      const times = (): number => product.daemon.output().split(`[${name}] the new IKE SA has taken over`).length - 1;
      // From when the packets go.
      const begun = times();
      await product.waitFor(name, 'authenticated anew', () => times() >= begun + 2);
      const reports = [await flow.stop(), await flow6.stop()];
      assert.deepEqual(
        reports.map(({ lost }) => lost),
        [0, 0],
        JSON.stringify(reports),
      );
      assert.ok(reports.every(({ received }) => received > 100));
      const after = await product.connection(name);
      assert.equal(after?.state, 'up');
      assert.deepEqual(after.addresses, before.addresses);
      assert.equal(after.connectedAt, before.connectedAt, 'nobody noticed');
      assert.match(world.gateway.log(), /N\(AUTH_LFT\)/);
      assert.equal(await established(stage), 1, 'the old one is gone');
      await stage.strike(name);
    });
  }
});

/** The old IKE SA goes once the new one has taken over. */
async function established({ world }: Stage): Promise<number> {
  await until('the old IKE SA is gone', async () => (await world.gateway.established()) <= 1);
  return await world.gateway.established();
}
