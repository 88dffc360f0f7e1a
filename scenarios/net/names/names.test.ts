// Routes by name: settings name hosts whose traffic goes into the tunnel, or beside it, whatever addresses they have at the time.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { network } from '../../../lab/network.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import type { Running } from '../../../lab/running.ts';
import { publicRecords, startUnbound, type DnsRecords } from '../../../lab/server/unbound.ts';
import { Stage } from '../../../lab/stage.ts';

const { client, gateway, internet, corp } = network;

suite('net/names', () => {
  let stage: Stage;
  let resolver: Running | undefined;
  before(async () => {
    stage = await Stage.set();
    await stage.world.router.ip('addr add 198.18.0.54/32 dev lo');
    await resolverSays(publicRecords);
    stage.world.client.write('/etc/resolv.conf', 'nameserver 198.18.0.54\n');
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  /** The resolver of the network that the client is in. */
  async function resolverSays(records: DnsRecords): Promise<void> {
    await resolver?.stop('SIGTERM');
    resolver = await startUnbound(stage.world.router, ['198.18.0.54'], records);
  }
  const who = async (address: string): Promise<string> =>
    (await stage.world.application.fetch(`http://${address}/who`)).body.trim();
  const plan = async (): Promise<string> => (await stage.product.aovpn(['plan'])).stdout;
  const planShows = async (pattern: RegExp): Promise<string> => {
    for (let turn = 0; ; turn++) {
      const text = await plan();
      if (pattern.test(text)) return text;
      assert.ok(turn < 240, `${pattern} is not in\n${text}`);
      await sleep(250);
    }
  };

  test('exclude-names under force tunnel: asked through the tunnel, and beside it from then on', async () => {
    const { product } = stage;
    await product.settings(`[profile.corp]\nexclude-names = ["${internet.web}"]\nname-refresh-seconds = 5\n`);
    await product.put('corp', certificateProfile({ routing: 'ForceTunnel', routes: [] }), stage.machine());
    await product.waitForState('corp', 'up');
    const text = await planShows(new RegExp(`throw ${internet.web4}/32 .*exclude-names ${internet.web}`));
    assert.match(text, new RegExp(`throw ${internet.web6}/128 .*exclude-names ${internet.web}`));
    assert.equal(await who(internet.web4), client.home.v4, 'beside the tunnel');
    const explained = await product.aovpn(['explain', internet.web4]);
    assert.match(explained.stdout, new RegExp(`exclude-names ${internet.web}`));

    // Positive control: without the setting it goes into the tunnel.
    await product.settings('');
    // Other settings are another connection, which takes its time.
    for (let turn = 0; (await who(internet.web4).catch(String)) !== gateway.v4; turn++) {
      assert.ok(turn < 240, await plan());
      await sleep(250);
    }
    assert.doesNotMatch(await plan(), /exclude-names/);
    await stage.strike('corp');
  });

  test('include-names under split tunnel; an address that changes is followed, and one that is asked for in vain stays', async () => {
    const { product } = stage;
    await product.settings(`[profile.corp]\ninclude-names = ["${internet.web}", "gone.example.org"]\nname-refresh-seconds = 5\n`);
    await product.put('corp', certificateProfile(), stage.machine());
    await product.waitForState('corp', 'up');
    await planShows(new RegExp(`${internet.web4}/32 dev aov-corp .*include-names ${internet.web}`));
    assert.equal(await who(internet.web4), gateway.v4, 'through the tunnel');
    const text = await planShows(/AOV-POLICY-424 .*include-names gone\.example\.org: .*NXDOMAIN/);
    assert.match(text, new RegExp(`${internet.web4}/32`), 'a name that does not resolve loses nothing');
    const { profiles } = await product.status();
    assert.ok(profiles.find(({ name }) => name === 'corp')?.diagnostics.some(({ code }) => code === 'AOV-POLICY-424'));

    // The name moves.
    await resolverSays({ ...publicRecords, [internet.web]: ['198.18.0.99'] });
    const after = await planShows(/198\.18\.0\.99\/32 dev aov-corp/);
    assert.match(
      after,
      new RegExp(`${internet.web4}/32 dev aov-corp`),
      'programs that still hold the address before keep their way',
    );
    await stage.strike('corp');
    await product.settings('');
  });

  test('a resolver outside cannot exclude what is inside', async () => {
    const { product } = stage;
    // Without a rule for it the machine's own resolver is asked, which lies.
    await resolverSays({ ...publicRecords, 'media.example': [corp.web4] });
    await product.settings('[profile.corp]\nexclude-names = ["media.example"]\nname-refresh-seconds = 5\n');
    await product.put('corp', certificateProfile({ names: {} }), stage.machine());
    await product.waitForState('corp', 'up');
    await planShows(/AOV-POLICY-425 .*exclude-names media\.example: .*10\.20\.0\.80: somebody outside said so/);
    assert.doesNotMatch(await plan(), /throw 10\.20\.0\.80/);
    await stage.strike('corp');
  });
});
