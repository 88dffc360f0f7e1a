// The release alone: copied away, with the sources and every package of npm out of sight, it does what it does beside them.
import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { after, before, suite, test } from 'node:test';
import { App, assertRefused } from '../../../lab/app.ts';
import { network } from '../../../lab/network.ts';
import { installed, repository } from '../../../lab/product.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import { Stage } from '../../../lab/stage.ts';
import { currentRelease } from '../../../release/current-release.ts';

const { corp } = network;
/** Node is a package of npm here, too. */
const hidden = ['packages', 'release', ...readdirSync(repository('node_modules')).map((name) => `node_modules/${name}`)].filter(
  (name) => !/\/(node-|\.)/.test(name),
);
const alone = [
  'unshare',
  '--mount',
  'sh',
  '-euc',
  `for place in $1; do mount -t tmpfs none "$place"; done; shift; exec "$@"`,
  'sh',
];

suite('main/release', () => {
  let directory: string;
  let stage: Stage;
  /** Words before a command line: it sees nothing of the repository but Node. */
  let through: string[];
  before(async () => {
    directory = mkdtempSync(path.join(tmpdir(), 'aovpn-release-'));
    cpSync(currentRelease(), directory, { recursive: true });
    process.env['AOVPN_LAB_RELEASE'] = directory;
    stage = await Stage.set();
    through = [...alone, hidden.map((name) => repository(name)).join(' ')];
    await stage.product.stop();
    await stage.product.start({ through });
  });
  after(async () => {
    await stage?.[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true });
  });
  const aovpn = async (...args: readonly string[]): Promise<string> =>
    await stage.world.client.exec([...through, ...installed('aovpn'), ...args], { timeoutMs: 240_000 });

  test('nothing of the sources can be seen', async () => {
    assert.ok(existsSync(repository('packages/host')));
    const seen = await stage.world.client.exec([...through, 'ls', repository('packages'), repository('node_modules/koffi')]);
    assert.deepEqual(
      seen.split('\n').filter((line) => line !== '' && !line.endsWith(':')),
      [],
    );
  });

  test('a tunnel for one program, and no other gets through', async () => {
    const app = new App(stage.world.client, 'office');
    const extra = `<TrafficFilter><App><Id>${app.file}</Id></App></TrafficFilter><AppTrigger><App><Id>${app.file}</Id></App></AppTrigger>`;
    await stage.product.put('corp', certificateProfile({ extra }), stage.machine());
    await stage.product.waitForState('corp', 'up');
    assert.match((await app.ask('tcp', corp.web4, 80)).said ?? '', /^10\.30\.0\./);
    assertRefused(await new App(stage.world.client, 'other').ask('tcp', corp.web4, 80), 'another program');
  });

  test('the commands that load more than others: apps as shipped, plan, doctor, leak test with a process of its own', async () => {
    assert.match(await aovpn('app', 'list', '--all'), /libreoffice/i);
    assert.match(await aovpn('plan'), /table/);
    assert.match(await aovpn('doctor'), /certificate/);
    await stage.product.remove('corp');
    await stage.product.put('all', certificateProfile({ routing: 'ForceTunnel' }), stage.machine());
    await stage.product.waitForState('all', 'up');
    const report = JSON.parse(await aovpn('leaktest', 'all', '--yes', '--steps=cut', '--json')) as { readonly result: string };
    assert.equal(report.result, 'passed');
  });
});
