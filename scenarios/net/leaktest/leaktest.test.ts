// The leak test as people have it: what it does to the machine, what it finds, what it says when it cannot see, and that it puts back.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import type { LeakReport } from '@aovpn/api';
import { LeakWatch, leakLines } from '../../../lab/leak-watch.ts';
import { network } from '../../../lab/network.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import { inCheckout } from '../../../lab/host.ts';
import { installed } from '../../../lab/product.ts';
import { Stage } from '../../../lab/stage.ts';
import { until } from '../../../lab/until.ts';

const name = 'watched';
/** What a canary can look like: protocol and destination. */
const leaks = [
  [17, network.internet.web4],
  [6, network.internet.web4],
  [1, network.internet.web4],
  [17, network.internet.web6],
] as const;
const canaries = `--canary=${network.internet.web4},${network.internet.web6}`;

suite('net/leaktest', () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.set();
    await stage.product.settings(`[profile."${name}"]\ndpd-seconds = 5\n`);
    await stage.product.put(name, certificateProfile({ routing: 'ForceTunnel' }), stage.machine());
    await stage.product.waitForState(name, 'up');
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  test('disturbs a force tunnel, sees the packets that it lets out itself, and no other', async () => {
    const before = await network4();
    const { status, stdout, stderr } = await stage.product.aovpn(['leaktest', name, '--yes', '--json', canaries], {
      timeoutMs: 400_000,
    });
    const report = JSON.parse(stdout) as LeakReport;
    assert.equal(report.result, 'passed', `${leakLines(report)}\n${report.problems.join('\n')}\n${stderr}`);
    assert.equal(status, 0);
    assert.deepEqual(
      report.steps.map((step) => step.name),
      ['start', 'rekey', 'roam', 'cut', 'silence', 'kill', 'end'],
    );
    for (const step of report.steps) assert.equal(step.outcome, undefined, `${step.name}: ${step.outcome}`);
    assert.deepEqual(report.links, [network.client.device]);
    assert.ok(report.controls.sent >= 2);
    assert.equal(report.controls.seen, report.controls.sent);
    assert.ok(report.canaries.underPromise > 100);
    assert.ok(report.sorts['esp']! > 100, JSON.stringify(report.sorts));
    assert.ok(report.sorts['ike']! > 4);
    assert.equal(await network4(), before, 'addresses and routes are what they were');
  });

  test('tells people the same, verdict first', async () => {
    const { status, stdout } = await stage.product.aovpn(['leaktest', name, '--yes', '--steps=rekey', canaries], {
      timeoutMs: 180_000,
    });
    assert.equal(status, 0);
    assert.match(stdout, /^✓ watched: nothing leaked\n/);
    assert.match(stdout, /packets on wan0: esp \d+/);
    assert.match(stdout, /✓ rekey/);
  });

  test('finds a leak, with flow, time and step', async () => {
    const { client } = stage.world;
    const watch = await LeakWatch.start(stage.product, name);
    watch.step('sabotage');
    // From here on it says so of what it sees.
    await watch.running.saysWithin(/sabotage/);
    const capture = await stage.world.capture();
    // Somebody's own routing before ours, and our tables gone again and again: what is left is the machine's own way out.
    await client.exec(['sh', '-c', 'ip rule add priority 100 lookup main; ip -6 rule add priority 100 lookup main']);
    const { home } = network.client;
    await until('packets of every kind have leaked', async () => {
      await client.exec(['sh', '-c', 'for i in $(seq 20); do nft flush ruleset; sleep 0.05; done']);
      const packets = await capture.packets();
      return leaks.every(([protocol, destination]) =>
        packets.some(
          (packet) =>
            packet.protocol === protocol &&
            packet.destination === destination &&
            [home.v4, home.v6].some((own) => own === packet.source),
        ),
      );
    });
    await client.exec(['sh', '-c', 'ip rule del priority 100; ip -6 rule del priority 100']);
    await capture.stop();
    const report = await watch.report();
    assert.equal(report.result, 'leaked');
    assert.ok(report.leaked > 0);
    assert.equal((await watch.running.exited).status, 1);
    const steps = new Set(report.leaks.map(({ step }) => step));
    assert.deepEqual([...steps], ['sabotage']);
    for (const [protocol, destination] of leaks) {
      const found = report.leaks.find((leak) => leak.protocol === protocol && leak.destination === destination);
      assert.ok(found, `protocol ${protocol} to ${destination}:\n${leakLines(report)}`);
      assert.equal(found.device, network.client.device);
      assert.equal(found.source, protocol === 17 && destination.includes(':') ? network.client.home.v6 : network.client.home.v4);
    }
  });

  test('says that it was blind when the promise was never in force', async () => {
    await stage.product.down(name);
    await stage.product.waitForState(name, 'held');
    const capture = await stage.world.capture();
    const watch = await LeakWatch.start(stage.product, name);
    await until('packets leave', async () =>
      (await capture.packets()).some(({ destination }) => destination === network.internet.web4),
    );
    await capture.stop();
    const report = await watch.report();
    assert.equal(report.result, 'blind');
    assert.match(report.problems.join(), /never in force/);
    assert.ok(report.sorts['unpromised']! > 0, 'what left was seen all the same');
    assert.equal(report.controls.seen, report.controls.sent);
    assert.equal((await watch.running.exited).status, 6);
    await stage.product.up(name);
    await stage.product.waitForState(name, 'up');
  });

  test('puts the network back when it is killed in the middle of a cut', async () => {
    const before = await network4();
    const { client } = stage.world;
    for (const signal of ['SIGINT', 'SIGKILL'] as const) {
      const argv = [...installed('aovpn'), 'leaktest', name, '--yes', '--steps=cut', '--json'];
      const running = client.spawn(argv, { name: 'leaktest' });
      await until('the cable is out', async () => {
        if (running.exit) throw new Error(running.output());
        return (await client.exec(['ip', 'link', 'show', 'wan0'])).includes('state DOWN');
      });
      await running.signal(signal);
      await running.exited;
      await until(
        async () => `${await network4()}\nis\n${before}`,
        async () => (await network4()) === before,
      );
      await stage.product.waitForState(name, 'up');
    }
  });

  test('is for root', async () => {
    const argv = ['setpriv', '--reuid=65534', '--clear-groups', ...installed('aovpn').map(inCheckout)];
    const { status, stderr } = await stage.world.client.run([...argv, 'leaktest', name]);
    assert.equal(status, 4, stderr);
    assert.match(stderr, /only root/);
  });

  /** Addresses and routes of the link, without what the kernel counts down. */
  async function network4(): Promise<string> {
    const { client } = stage.world;
    const texts = [
      await client.exec(['ip', '-o', 'address', 'show', 'dev', 'wan0', 'scope', 'global']),
      await client.exec(['ip', '-4', 'route', 'show', 'dev', 'wan0']),
      await client.exec(['ip', '-6', 'route', 'show', 'dev', 'wan0', 'default']),
      await client.exec(['ip', '-o', 'link', 'show', 'dev', 'wan0']),
    ];
    return texts
      .map((text) => text.split('\n').toSorted().join('\n'))
      .join('\n')
      .replaceAll(/ (?:valid_lft|preferred_lft|expires) \S+/g, '');
  }
});
