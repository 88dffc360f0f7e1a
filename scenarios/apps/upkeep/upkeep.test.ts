// What becomes of filters and apps when somebody else touches them, when the daemon dies, and when a profile is bad; and what people are told.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Explanation, PlanDiff } from '@aovpn/api';
import { answeredAgain, App, assertRefused, cgroupOf } from '../../../lab/app.ts';
import { network } from '../../../lab/network.ts';
import { Refused } from '../../../lab/product.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import { Stage } from '../../../lab/stage.ts';
import { until } from '../../../lab/until.ts';

const { corp, internet } = network;

suite('apps/upkeep', () => {
  let stage: Stage;
  let office: App;
  let forced: App;
  let other: App;
  const filters = (): string =>
    `<TrafficFilter><App><Id>${office.file}</Id></App></TrafficFilter>` +
    `<TrafficFilter><App><Id>${forced.file}</Id></App><RoutingPolicyType>ForceTunnel</RoutingPolicyType></TrafficFilter>`;
  before(async () => {
    stage = await Stage.set();
    const { client } = stage.world;
    [office, forced, other] = ['office', 'forced', 'other'].map((name) => new App(client, name)) as [App, App, App];
    await stage.product.put('corp', certificateProfile({ extra: filters() }), stage.machine());
    await stage.product.waitForState('corp', 'up');
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  const ruleset = async (): Promise<string> => {
    const { stdout } = await stage.world.client.run(['nft', 'list', 'table', 'inet', 'aovpn']);
    // Counters count, and cgroups that were made anew have other numbers.
    return stdout
      .replaceAll(/packets \d+ bytes \d+/g, '')
      .replaceAll(/vmap \{[^}]*\}/g, 'vmap')
      .replaceAll(/cgroupv2 level \d+ .*/g, '');
  };
  const routing = async (): Promise<string> => {
    const { client } = stage.world;
    const shown = ['rule', 'route show table all proto 96'].flatMap((what) => ['-4', '-6'].map((family) => `${family} ${what}`));
    return (await Promise.all(shown.map((line) => client.exec(['ip', ...line.split(' ')])))).join('\n');
  };
  const holds = async (): Promise<void> => {
    for (const web of [corp.web4, corp.web6]) {
      assert.ok((await office.ask('tcp', web, 80)).said !== undefined, `the app reaches ${web}`);
      assertRefused(await other.ask('tcp', web, 80), `another program and ${web}`);
    }
    const far = await forced.ask('tcp', internet.web4, 80);
    assert.equal(far.said, network.gateway.v4, JSON.stringify(far));
  };

  test('what somebody else takes away is put back by itself, and told', async (t) => {
    const { client } = stage.world;
    await holds();
    const forcedKey = (await stage.product.status()).traffic!.apps.find(({ executables }) =>
      executables.includes(forced.file),
    )!.key;
    const before = [await ruleset(), await routing()];
    const lastRepair = async (): Promise<string | undefined> => (await stage.product.status()).traffic?.lastRepair?.at;
    for (const [what, command] of [
      ['the table', 'nft delete table inet aovpn'],
      ['a chain that is emptied', 'nft flush chain inet aovpn output'],
      ['a rule', 'ip rule delete priority 7212'],
      ['the table of a forced app', `ip route flush table $(ip rule | sed -n 's/^7212:.*lookup //p')`],
      ['the cgroup of an app', `rmdir ${cgroupOf(client, forcedKey)}`],
      ['a kernel setting', 'echo 0 > /proc/sys/net/ipv4/conf/all/src_valid_mark'],
    ] as const) {
      const earlier = await lastRepair();
      await client.exec(['sh', '-c', command]);
      const begun = performance.now();
      await until(
        async () => `${what} is back:\n${await ruleset()}\n${await routing()}`,
        async () =>
          (await ruleset()) === before[0] &&
          (await routing()) === before[1] &&
          (command.startsWith('ip ') || (await lastRepair()) !== earlier),
      );
      // A second, on a machine that has nothing else to do.
      t.diagnostic(`${what}: back after ${Math.round(performance.now() - begun)} ms`);
      await holds();
    }
    const log = stage.product.daemon.output();
    assert.match(log, /put back what somebody else changed: ruleset: .* by nft/);
    assert.match(log, /routes or rules were changed by somebody else and are put back: \+ ip -4 rule priority 7212/);
    const { traffic } = await stage.product.status();
    assert.equal(traffic?.state, 'in-force');
    assert.equal(traffic?.execWatch.state, 'watching');
    assert.ok(traffic?.lastRepair && traffic.lastRepair.failure === undefined);
  });

  test('other filters come into force while the tunnel stays; bad ones are refused with their line, and nothing changes', async () => {
    const { product } = stage;
    const before = await product.connection('corp');
    const port = '<TrafficFilter><Protocol>6</Protocol><RemotePortRanges>80</RemotePortRanges></TrafficFilter>';
    const diff = (await product.ask('POST', '/v1/diff', {
      name: 'corp',
      xmlBase64: Buffer.from(certificateProfile({ extra: filters() + port })).toString('base64'),
    })) as { status: number; value: PlanDiff };
    assert.deepEqual(
      diff.value.changes.map(({ op, text }) => `${op} ${text}`),
      [`add filter ${before!.device} allow out tcp to any port 80`],
    );
    await product.put('corp', certificateProfile({ extra: filters() + port }));
    assert.ok((await other.ask('tcp', corp.web4, 80)).said !== undefined);
    await product.put('corp', certificateProfile({ extra: filters() }));
    assertRefused(await other.ask('tcp', corp.web4, 80), 'what is no longer allowed');
    for (const [what, bad] of [
      ['ports without a protocol', '<TrafficFilter><RemotePortRanges>80</RemotePortRanges></TrafficFilter>'],
      [
        'a range that ends before it begins',
        '<TrafficFilter><Protocol>6</Protocol><RemotePortRanges>90-80</RemotePortRanges></TrafficFilter>',
      ],
      ['no number', '<TrafficFilter><Protocol>tcp</Protocol></TrafficFilter>'],
    ] as const) {
      await assert.rejects(
        product.put('corp', certificateProfile({ extra: bad })).then(() => assert.fail(`accepted: ${what}`)),
        (error) => {
          assert.ok(error instanceof Refused, `${what}: ${String(error)}`);
          assert.match(error.error.code, /^AOV-/);
          assert.ok(
            error.error.diagnostics?.some(({ severity, line }) => severity === 'error' && line > 1),
            what,
          );
          return true;
        },
      );
      await holds();
    }
    assert.equal((await product.connection('corp'))?.connectedAt, before?.connectedAt, 'it was the same tunnel all the time');
  });

  test('what cannot be put into force leaves the plan before in force, says so, and is tried again', async () => {
    const { product, world } = stage;
    const port = '<TrafficFilter><Protocol>6</Protocol><RemotePortRanges>80</RemotePortRanges></TrafficFilter>';
    const before = await ruleset();
    const nft = (await world.client.exec(['sh', '-c', 'readlink -f "$(command -v nft)"'])).trim();
    world.client.write('/run/no-nft', '#!/bin/sh\necho "no such luck" >&2\nexit 1\n', 0o755);
    // Within the mount namespace of the client, which the daemon shares.
    await world.client.exec(['mount', '--bind', '/run/no-nft', nft]);
    await product.put('corp', certificateProfile({ extra: filters() + port }));
    await until('it is said that it failed', async () => (await product.status()).traffic?.state === 'failed');
    assertRefused(await other.ask('tcp', corp.web4, 80), 'what is not in force');
    const { traffic } = await product.status();
    assert.equal(traffic!.problem!.code, 'AOV-HOST-606');
    assert.match((await product.aovpn(['status'])).stdout, /! filters: .*no such luck/);
    assert.equal((await product.connection('corp'))?.state, 'up');
    await world.client.exec(['umount', nft]);
    await until('it is tried again', async () => (await other.ask('tcp', corp.web4, 80, { timeoutMs: 1000 })).said !== undefined);
    await product.put('corp', certificateProfile({ extra: filters() }));
    assertRefused(await other.ask('tcp', corp.web4, 80), 'what is no longer allowed');
    assert.equal(await ruleset(), before);
    await holds();
  });

  test('what people are told: explain, app list, which, plan, doctor', async () => {
    const { product, world } = stage;
    const explain = async (query: string): Promise<Explanation> =>
      (await product.ask('GET', `/v1/explain?${query}`)).value as Explanation;
    const target = encodeURIComponent(`${corp.web4}:80/tcp`);
    const refused = await explain(`target=${target}`);
    assert.equal(refused.verdict, 'refuse');
    assert.ok(
      refused.addresses[0]?.steps.some(({ line }) => line === 4),
      'the line of the filter',
    );
    const running = await office.listen(4712);
    const { traffic } = await product.status();
    const pid = traffic!.apps.find(({ executables }) => executables.includes(office.file))!.pids[0]!;
    assert.equal((await explain(`target=${target}&pid=${pid}`)).verdict, 'accept');
    for (const [args, words] of [
      [['app', 'list'], new RegExp(office.file)],
      [['app', 'which', String(pid)], /is x?-?.*office/],
      [['explain', '--pid', String(pid)], /accepted: it may use/],
      [['explain', `${corp.web4}:80/tcp`], /refused: no filter of .* fits[\s\S]*what would change it/],
      [['explain', `tcp ${network.client.home.v4}:4455 > ${corp.web4}:80`], /refused/],
      [['plan'], /filter .* refuse everything else/],
      [['status', 'corp'], /filters\s+2 in force; everything else is refused/],
    ] as const) {
      const { stdout, stderr, status } = await product.aovpn(args);
      assert.equal(status, 0, `${args.join(' ')}: ${stderr}`);
      assert.match(stdout, words, args.join(' '));
    }
    const doctor = await product.aovpn(['doctor']);
    for (const check of ['nft', 'cgroup v2', 'exec watch', 'socket marks'])
      assert.match(doctor.stdout, new RegExp(`✓ ${check}`), doctor.stdout);
    await running.stop();
    assert.equal((await world.client.run(['test', '-e', `/proc/${pid}`])).status, 1);
  });

  test('killed and started again under a forced app that never stops asking: not one answer comes by another way', async () => {
    const { product } = stage;
    const asking = forced.askOnAndOn(internet.web4, corp.echoPort);
    await asking.saysWithin(/^\d+\.\d+/m);
    await product.kill();
    await sleep(300);
    await product.start();
    await product.waitForState('corp', 'up');
    const answers = await answeredAgain(asking);
    assert.deepEqual(
      answers.filter((to) => to === network.client.home.v4),
      [],
      'answers past the tunnel',
    );
  });

  test('the daemon is killed: forced apps fail closed, the next start clears away and all holds again', async () => {
    const { product, world } = stage;
    const { client } = world;
    const webs = [internet.web4, internet.web6];
    const waiting = webs.map((web) => forced.ask('tcp', web, 80, { after: '/run/go' }));
    const key = (await product.status()).traffic!.apps.find(({ executables }) => executables.includes(forced.file))!.key;
    await until(
      'both are started',
      async () => (await client.exec(['cat', `${cgroupOf(client, key)}/cgroup.procs`])).trim().split('\n').length >= 2,
    );
    await product.kill();
    client.write('/run/go', '');
    for (const asked of await Promise.all(waiting)) assertRefused(asked, 'a forced app');
    for (const web of webs) assert.ok((await other.ask('tcp', web, 80)).said !== undefined, 'everybody else has the internet');
    // Who is started while nobody watches is not recognised: docs/security.md says so.
    assert.equal((await forced.ask('tcp', internet.web4, 80)).said, network.client.home.v4);
    await product.start();
    await product.waitForState('corp', 'up');
    await holds();
    await product.stop();
    assert.equal((await world.client.run(['nft', 'list', 'table', 'inet', 'aovpn'])).status, 1, 'no table is left');
    assert.doesNotMatch(await routing(), /72\d\d:|proto 96/);
    assert.equal((await world.client.run(['test', '-e', cgroupOf(world.client, '')])).status, 1, 'no cgroup is left');
    assert.equal((await world.client.exec(['cat', '/proc/sys/net/ipv4/conf/all/src_valid_mark'])).trim(), '0');
  });
});
