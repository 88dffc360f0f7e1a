// 1,000 random transitions under the leak test: not one packet may leave that the profile holds inside.
import assert from 'node:assert/strict';
import process from 'node:process';
import { suite, test, type TestContext } from 'node:test';
import type { LeakReport } from '@aovpn/api';
import { generator } from '../../../fuzz/mutation.ts';
import { LeakWatch, leakLines } from '../../../lab/leak-watch.ts';
import { certificateProfile, deviceProfile } from '../../../lab/profile-xml.ts';
import { Stage } from '../../../lab/stage.ts';
import { Transitions } from '../../../lab/transition.ts';

const transitions = Number(process.env['AOVPN_LEAK_TRANSITIONS'] ?? 1000);
const seed = Number(process.env['AOVPN_SEED'] ?? Math.floor(Math.random() * 2 ** 32));
/** How often the next transition waits until the tunnel is up. */
const patientShare = 0.15;

suite('net/leaktest: random transitions', () => {
  test('force tunnel', async (t) => {
    const name = 'forced';
    const report = await disturb(t, name, transitions / 2, (version) =>
      certificateProfile({ routing: 'ForceTunnel', dnsSuffix: version % 2 === 0 ? 'corp.example' : 'lab.corp.example' }),
    );
    assert.ok(report.promisedMs > 5_000, `the promise was in force for ${report.promisedMs} ms only`);
  });

  test('LockDown', async (t) => {
    const name = 'locked';
    const report = await disturb(t, name, transitions / 2, (version) =>
      deviceProfile({
        routing: 'ForceTunnel',
        extra: '<LockDown>true</LockDown>',
        dnsSuffix: version % 2 === 0 ? 'corp.example' : 'lab.corp.example',
      }).replace('  <DeviceTunnel>true</DeviceTunnel>\n', ''),
    );
    assert.equal(report.promise, 'lockdown');
    assert.equal(report.sorts['unpromised'], 0, 'LockDown is in force whatever happens');
  });

  async function disturb(t: TestContext, name: string, count: number, profile: (version: number) => string): Promise<LeakReport> {
    // A world for each: the gateway is left with half of many conversations.
    await using stage = await Stage.set();
    const { world, product } = stage;
    await product.settings(`[profile."${name}"]\ndpd-seconds = 5\n`);
    await product.put(name, profile(0), stage.machine());
    await product.waitForState(name, 'up');
    const random = generator(seed);
    const transitions = new Transitions(world, product, {
      random,
      profile: name,
      replaceProfile: async (version) => void (await product.put(name, profile(version))),
    });
    await transitions.prepare();
    t.diagnostic(`AOVPN_SEED=${seed}`);
    const watch = await LeakWatch.start(product, name, { rate: 400 });
    const kinds = new Map<string, number>();
    const started = performance.now();
    let ups = 0;
    for (let done = 0; done < count; done++) {
      const transition = transitions.next();
      watch.step(`${done} ${transition.name}`);
      await transition.perform();
      kinds.set(transition.name, (kinds.get(transition.name) ?? 0) + 1);
      if (random() < patientShare) {
        await product.waitForState(name, 'up');
        ups++;
      }
    }
    await product.waitForState(name, 'up');
    watch.step('at rest');
    const report = await watch.report();
    const seconds = ((performance.now() - started) / 1000).toFixed(0);
    t.diagnostic(
      `${count} transitions in ${seconds} s (${[...kinds].map(([kind, n]) => `${kind} ${n}`).join(', ')}), up again ${ups} times`,
    );
    t.diagnostic(
      `${report.watched} packets watched: ${Object.entries(report.sorts)
        .filter(([, n]) => n > 0)
        .map(([sort, n]) => `${sort} ${n}`)
        .join(', ')}`,
    );
    t.diagnostic(
      `${report.canaries.tried} packets tried, ${report.canaries.underPromise} under the promise; ${report.controls.seen} of ${report.controls.sent} controls seen`,
    );
    assert.equal(report.leaked, 0, `seed ${seed}:\n${leakLines(report)}`);
    assert.equal(report.result, 'passed', report.problems.join('\n'));
    assert.ok(report.canaries.underPromise > count, 'less than one packet was tried for each transition');
    return report;
  }
});
