// Several servers, several addresses, dead, slow and alive: who answers first is taken, and what worked is remembered.
import assert from 'node:assert/strict';
import { after, afterEach, before, suite, test } from 'node:test';
import { network } from '../../../lab/network.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import { Stage } from '../../../lab/stage.ts';

/** On the gateway's link, and nobody has it: what is sent there is lost without a word. */
const dead = '203.0.113.77';

suite('ike/servers', () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.set();
    await stage.world.router.exec([
      'ip',
      'neigh',
      'replace',
      dead,
      'lladdr',
      '02:00:00:00:00:77',
      'dev',
      network.router.toGateway,
    ]);
  });
  afterEach(async () => {
    await stage.world.impair({});
    await stage.clear();
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  const put = async (name: string, servers?: string): Promise<string | undefined> => {
    await stage.product.put(name, certificateProfile(servers === undefined ? {} : { servers }), stage.machine());
    const { gateway } = await stage.product.waitForState(name, 'up');
    const page = await stage.world.application.fetch(`http://${network.corp.web4}/`);
    assert.equal(page.status, 200);
    return gateway.address;
  };
  const said = (name: string, what: RegExp): boolean =>
    stage.product.daemon
      .output()
      .split('\n')
      .some((line) => line.includes(`[${name}]`) && what.test(line));

  test('IPv6 is dead: IPv4 answers while it is silent, and is taken', async () => {
    await stage.world.impair({ dropUdpFamily: 6 });
    assert.equal(await put('six-dead'), network.gateway.v4);
    assert.ok(said('six-dead', /203\.0\.113\.2\) answers, .*2001:db8:c::2\) does not/));
    assert.ok(!said('six-dead', /AOV-IKE-101/), 'nobody waited until it was given up');
  });

  test('IPv4 is dead: IPv6 goes first, and nobody else is asked', async () => {
    await stage.world.impair({ dropUdpFamily: 4 });
    assert.equal(await put('four-dead'), network.gateway.v6);
  });

  test('a server in the letters of a language: DNS and its certificate have its A-labels, people see what the profile says', async () => {
    const { written, ascii } = network.gateway.international;
    const { pki, gateway } = stage.world;
    await gateway.configure({ certificate: pki.gateway('good', 'p256', { names: [ascii] }), id: ascii });
    await put('letters', written);
    const { gateway: shown } = (await stage.product.connection('letters'))!;
    assert.equal(shown.name, written);
    assert.match((await stage.product.aovpn(['status'])).stdout, new RegExp(written));
    const checks = (await stage.product.aovpn(['doctor', 'letters'])).stdout;
    assert.match(checks, new RegExp(`name ${written}.*203\\.0\\.113\\.2`));
    // A certificate for the other names of that gateway is none for this one.
    await stage.clear();
    await gateway.configure({ certificate: pki.gateway(), id: network.gateway.name });
    await stage.product.put('letters', certificateProfile({ servers: written }), stage.machine());
    assert.equal((await stage.product.waitForProblem('letters')).problem?.code, 'AOV-IKE-134');
  });

  test('the first server is dead: the second is taken', async () => {
    const taken = await put('fail-over', `${dead},${network.gateway.name}`);
    assert.ok(taken === network.gateway.v4 || taken === network.gateway.v6);
    assert.ok(said('fail-over', /answers, 203\.0\.113\.77 does not/));
  });

  test('a slow gateway is no dead one', async () => {
    await stage.world.impair({ delayMs: 200 });
    await put('slow');
    assert.ok(!said('slow', /AOV-IKE-101/));
  });

  test('what worked comes first next time, also after a restart of the daemon', async () => {
    await stage.world.impair({ dropUdpFamily: 6 });
    await put('memory');
    await stage.world.impair({});
    await stage.product.stop();
    await stage.product.start();
    await stage.product.waitForState('memory', 'up');
    // Whom the restarted daemon asks first; a busy machine may still let IPv6 win the race.
    const [first = ''] = /\[memory\].* connecting to .*/.exec(stage.product.daemon.output()) ?? [];
    assert.ok(first.includes(network.gateway.v4), first);
  });

  test('every server is dead: each had its turn, and the last word says what was wrong', async () => {
    await stage.world.impair({ blackhole: true });
    await stage.product.put('all-dead', certificateProfile({ servers: `${dead},${network.gateway.v4}` }), stage.machine());
    const { problem } = await stage.product.waitForState('all-dead', 'waiting');
    assert.equal(problem?.code, 'AOV-IKE-101');
    for (const address of [dead, network.gateway.v4]) assert.ok(said('all-dead', new RegExp(`connecting to ${address}`)));
  });
});
