// The unlucky administrator: full disks, broken files, read-only places. What runs goes on, and the words say what to do.
import assert from 'node:assert/strict';
import { chmodSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import { installed } from '../../../lab/product.ts';
import type { Running } from '../../../lab/running.ts';
import { Stage } from '../../../lab/stage.ts';
import { hostState } from '../../../lab/trace.ts';
import { until } from '../../../lab/until.ts';

const aovpn = installed('aovpn');

suite('attack/upkeep', () => {
  let stage: Stage;
  let connectedAt: string | undefined;
  let untouched: string;
  before(async () => {
    stage = await Stage.set();
    await stage.product.stop();
    untouched = await hostState(stage.world.client);
    await stage.product.start();
    await stage.product.put('tunnel', certificateProfile(), stage.machine());
    connectedAt = (await stage.product.waitForState('tunnel', 'up')).connectedAt;
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  const beside = (file: string): string => stage.world.client.file(`/etc/aovpn/profiles.d/${file}`);
  const sh = (script: string): Promise<string> => stage.world.client.exec(['sh', '-euc', script]);
  const unmoved = async (): Promise<void> => {
    const connection = await stage.product.connection('tunnel');
    assert.equal(connection?.state, 'up', connection?.reason);
    assert.equal(connection.connectedAt, connectedAt);
  };
  /** Does something and waits until the log says so. */
  const told = async (act: () => void, pattern: RegExp): Promise<void> => {
    const since = stage.product.daemon.output().length;
    act();
    const said = (): string => stage.product.daemon.output().slice(since);
    // Also files that have no watch are looked at every ten seconds.
    await until(
      () => `${String(pattern)} in\n${said()}`,
      () => pattern.test(said()),
    );
    await unmoved();
  };

  test('a profile replaced by rubbish of any kind: the last good one stays in force', async () => {
    const good = readFileSync(beside('tunnel.xml'));
    const kept = async (content: string | Uint8Array, code: RegExp): Promise<void> => {
      await told(
        () => writeFileSync(beside('tunnel.xml'), content),
        new RegExp(`${code.source}[^\\n]*last good version stays in force`),
      );
      assert.equal((await stage.product.status()).profiles.find(({ name }) => name === 'tunnel')?.state, 'kept');
    };
    await kept('', /AOV-PROFILE-014/);
    await kept(good.subarray(0, 200), /AOV-PROFILE-006/);
    await kept(
      Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(good.toString(), 'utf16le').subarray(0, 501)]),
      /AOV-PROFILE-003/,
    );
    await kept(`<!DOCTYPE x [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]>${good.toString()}`, /AOV-PROFILE-007/);
    await kept('<a>'.repeat(100_000), /AOV-PROFILE-010/);
    await kept(Buffer.alloc(9 << 20, 0x20), /AOV-DAEMON-518/);
    writeFileSync(beside('tunnel.xml'), good);
    await until(
      'the good one is in force again',
      async () => (await stage.product.status()).profiles.find(({ name }) => name === 'tunnel')?.state === 'in-force',
    );
    await unmoved();
  });

  test('a credential spoiled while the tunnel runs: told at once, the tunnel goes on', async () => {
    const [key, anchor] = [readFileSync(beside('tunnel.key')), readFileSync(beside('tunnel.ca.pem'))];
    const goesOn = (code: string): RegExp => new RegExp(`${code}\\][^\\n]*the tunnel that runs goes on`);
    await told(() => writeFileSync(beside('tunnel.key'), 'rubbish'), goesOn('AOV-HOST-111'));
    await told(
      () => writeFileSync(beside('tunnel.key'), stage.world.pki.machine('p256', 'other').keyPem),
      goesOn('AOV-HOST-114'),
    );
    writeFileSync(beside('tunnel.key'), key);
    await told(() => chmodSync(beside('tunnel.key'), 0o640), goesOn('AOV-HOST-101'));
    chmodSync(beside('tunnel.key'), 0o600);
    await told(() => chmodSync(beside('tunnel.ca.pem'), 0o666), goesOn('AOV-HOST-101'));
    chmodSync(beside('tunnel.ca.pem'), 0o644);
    await told(() => writeFileSync(beside('tunnel.ca.pem'), ''), goesOn('AOV-HOST-110'));
    writeFileSync(beside('tunnel.ca.pem'), anchor);
    await sleep(400);
    await unmoved();
  });

  test('settings broken while the tunnel runs: those in force stay', async () => {
    const file = stage.world.client.file('/etc/aovpn/aovpn.toml');
    for (const text of ['x = [', 'frobnicate = 1\n', Buffer.from('mtu = 1\n', 'utf16le')]) {
      await told(() => writeFileSync(file, text), /those in force stay[^\n]*AOV-DAEMON-501/);
    }
    await told(() => writeFileSync(file, Buffer.alloc(5 << 20, 0x23)), /AOV-DAEMON-502[^\n]*settings in force stay/);
    rmSync(file);
  });

  test('asleep for a while: the same tunnel afterwards', async () => {
    await stage.product.daemon.signal('SIGSTOP');
    await sleep(1500);
    await stage.product.daemon.signal('SIGCONT');
    await sleep(300);
    await unmoved();
  });

  test('the daemon dies while the command talks to it: a sentence and a code, no stack', async () => {
    const { client } = stage.world;
    await stage.product.put('slow', certificateProfile({ alwaysOn: false, servers: '198.18.0.99' }), stage.machine());
    const running = {
      watch: client.spawn([...aovpn, 'status', '--watch'], { name: 'watch' }),
      json: client.spawn([...aovpn, 'status', '--watch', '--json'], { name: 'json' }),
      logs: client.spawn([...aovpn, 'logs', '-f'], { name: 'logs' }),
      up: client.spawn([...aovpn, 'up', 'slow'], { name: 'up' }),
    } satisfies Record<string, Running>;
    // It has a size of nothing by nothing, and lives over restarts of the daemon.
    const screen = client.spawn(['script', '-qec', [...aovpn, 'status --watch'].join(' '), '/dev/null'], { name: 'screen' });
    // Each has said something, which it has from the daemon.
    for (const one of [running.watch, running.json, screen]) await one.saysWithin(/tunnel/);
    await running.logs.saysWithin(/./);
    await stage.product.waitFor('slow', 'tried', ({ attempts }) => attempts > 0);
    for (const [name, { exit }] of Object.entries({ ...running, screen })) assert.equal(exit, undefined, `${name} is at work`);
    await stage.product.kill();
    for (const [name, command] of Object.entries(running)) {
      const { status } = await command.exited;
      assert.equal(status, 3, `${name}: ${command.output()}`);
      assert.match(command.output(), /daemon (went away|stopped|is not running)/, name);
      assert.doesNotMatch(command.output(), /node:|Error:/, name);
    }
    await screen.saysWithin(/last known/);
    assert.doesNotMatch(screen.output(), /node:|Error:/);
    await stage.product.start();
    assert.equal(screen.exit, undefined);
    await screen.stop();
    await stage.product.remove('slow');
    connectedAt = (await stage.product.waitForState('tunnel', 'up')).connectedAt;
  });

  test('configuration on a full disk: refused, and nothing has changed', async () => {
    await stage.product.stop();
    const fill = 'cat /dev/zero > /etc/aovpn/fill 2>/dev/null || true';
    await sh(
      `cp -a /etc/aovpn /run/saved; mount -t tmpfs -o size=48k,mode=755 tmpfs /etc/aovpn; cp -a /run/saved/. /etc/aovpn/; ${fill}`,
    );
    await stage.product.start();
    connectedAt = (await stage.product.waitForState('tunnel', 'up')).connectedAt;
    const list = (): Promise<string> => sh('cd /etc/aovpn/profiles.d && ls -A && sha256sum *');
    const earlier = await list();
    const xml = certificateProfile({ extra: `<!-- ${'x'.repeat(9000)} -->` });
    await assert.rejects(stage.product.put('tunnel', xml, stage.machine()), /AOV-DAEMON-516: [^]*No space|ENOSPC/i);
    assert.equal(await list(), earlier);
    await unmoved();
    await stage.product.stop();
    await sh('umount /etc/aovpn');
    assert.ok(readdirSync(beside('.')).includes('tunnel.xml'));
  });

  for (const [name, prepare, undo, code] of [
    [
      'resolv.conf is read-only',
      'mount --bind /etc/resolv.conf /etc/resolv.conf; mount -o remount,ro,bind /etc/resolv.conf',
      'umount /etc/resolv.conf',
      'AOV-HOST-311',
    ],
    [
      'the state is on a full disk',
      'mount -t tmpfs -o size=8k,mode=700 tmpfs /var/lib/aovpn; cat /dev/zero > /var/lib/aovpn/fill 2>/dev/null || true',
      'umount /var/lib/aovpn',
      'AOV-HOST-312',
    ],
    [
      'resolv.conf is a mount of its own',
      'cp /etc/resolv.conf /run/own; mount --bind /run/own /etc/resolv.conf',
      'umount /etc/resolv.conf',
      undefined,
    ],
    [
      'resolv.conf is a link',
      'cp /etc/resolv.conf /run/real; rm /etc/resolv.conf; ln -s ../run/real /etc/resolv.conf',
      'rm /etc/resolv.conf; cp /run/real /etc/resolv.conf',
      undefined,
    ],
  ] as const) {
    test(`${name}: ${code === undefined ? 'it works' : `blocked with ${code}`}, and the host is afterwards as it was`, async () => {
      const { product, world } = stage;
      await product.stop();
      await sh(prepare);
      try {
        const earlier = await hostState(world.client);
        await product.start();
        if (code === undefined) await product.waitForState('tunnel', 'up');
        else {
          const { problem, state } = await product.waitForProblem('tunnel');
          assert.equal(problem?.code, code);
          assert.equal(problem.side, 'host');
          assert.notEqual(state, 'up');
        }
        await product.stop();
        assert.equal(await hostState(world.client), earlier);
      } finally {
        await sh(undo);
      }
      assert.equal(await hostState(world.client), untouched);
    });
  }
});
