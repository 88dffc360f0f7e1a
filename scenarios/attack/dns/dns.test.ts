// The company's DNS server lies, floods, loops or is dead: names under a rule get the truth or nothing, and never another server.
import assert from 'node:assert/strict';
import process from 'node:process';
import { after, before, suite, test } from 'node:test';
import { contains } from '../../../lab/capture.ts';
import { network } from '../../../lab/network.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import { Stage } from '../../../lab/stage.ts';

const lie = '10.20.0.66';

suite('attack/dns', () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.set();
    const { world, product } = stage;
    await world.corporateDns.stop();
    const program = new URL('./evil-server.ts', import.meta.url).pathname;
    const evil = world.corp.spawn([process.execPath, program, network.corp.dns4, network.corp.web4, lie], { name: 'evil-dns' });
    await evil.saysWithin(/ready/);
    await product.put('tunnel', certificateProfile(), stage.machine());
    await product.waitForState('tunnel', 'up');
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  const ask = (label: string): Promise<string[]> => stage.world.application.resolve(`${label}.${network.corp.zone}`, 4);

  for (const label of ['honest', 'wrong-id', 'wrong-port', 'wrong-name', 'noise', 'long', 'huge']) {
    test(`${label}: the truth is told`, async () => {
      const found = await ask(label);
      assert.deepEqual([...new Set(found)], [network.corp.web4]);
    });
  }

  for (const label of ['only-forged', 'dead', 'loop', 'alias-pair', 'pointer-loop']) {
    test(`${label}: programs are told that it failed, soon, and nobody else is asked`, async () => {
      const capture = await stage.world.capture();
      const name = `${label}.${network.corp.zone}`;
      const said = await stage.world.client.run(['dig', '+tries=1', '+time=30', name]);
      assert.match(said.stdout, /status: SERVFAIL/, 'an answer, not silence');
      assert.ok(!said.stdout.includes(lie));
      // Positive control: another name does go out in clear.
      await stage.world.application.resolve(network.internet.web, 4);
      const packets = await capture.stop();
      assert.ok(contains(packets, network.internet.web));
      assert.ok(!contains(packets, name));
    });
  }

  test('afterwards all is well', async () => {
    assert.equal((await stage.world.application.fetch(`http://honest.${network.corp.zone}/`)).status, 200);
    assert.equal((await stage.product.connection('tunnel'))?.state, 'up');
  });
});
