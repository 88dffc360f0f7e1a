import assert from 'node:assert/strict';
import { execFileSync, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { FanotifyExecWatch, type ExecWatchEvent } from '../../src/apps/exec-watch.ts';
import { word } from '../../src/apps/exec-table.ts';
import {
  appSeenBy,
  firstWord,
  keyIn,
  makeAppFixture,
  skipWithoutRoot,
  start,
  tellCgroup,
  until,
  type AppFixture,
} from './app-fixture.ts';

/** A daemon of its own, to be killed: watches `argv[1]` as app `app-a` with cgroups below `argv[2]`, holds what `argv[3]` says. */
const daemon = `
  const { openExecWatch } = await import(process.argv[1]);
  const { openAppCgroups } = await import(process.argv[2]);
  const cgroups = openAppCgroups({ name: process.argv[3] });
  cgroups.ensure('app-a');
  const watch = await openExecWatch({ cgroups, onEvent: () => {}, maxHoldMs: 600000 });
  watch.setApps([{ key: 'app-a', executables: [process.argv[4]] }]);
  watch.hold('app-a', process.argv[5] === 'hold');
  console.log('watching');
`;

suite('exec watch', { skip: skipWithoutRoot, concurrency: 1 }, () => {
  let fixture: AppFixture;
  let watch: FanotifyExecWatch;
  let events: ExecWatchEvent[];
  let children: ChildProcess[];

  /** Who is merely slow must not count as stuck, nor may a start that is held go on before the test says so. */
  const open = async (limits: { readonly stallMs?: number; readonly maxHoldMs?: number } = {}): Promise<void> => {
    watch = await FanotifyExecWatch.open({
      cgroups: fixture.cgroups,
      onEvent: (event) => events.push(event),
      stallMs: 60_000,
      maxHoldMs: 600_000,
      ...limits,
    });
  };
  before(() => {
    fixture = makeAppFixture();
  });
  after(() => fixture?.remove());
  beforeEach(async () => {
    events = [];
    children = [];
    for (const key of ['app-a', 'app-b']) fixture.cgroups.ensure(key);
    await open();
  });
  afterEach(async () => {
    await watch.close();
    // Gone from their cgroups, before the next test looks at those.
    for (const child of children.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null)) {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    }
  });

  const seenBy = (program: string, ...args: string[]): string | undefined => appSeenBy(fixture.cgroups, program, ...args);
  const background = (program: string, ...args: string[]): ChildProcess => {
    const child = start(program, ...args);
    children.push(child);
    return child;
  };

  test('a program is in its cgroup before its first instruction, and its children are', async () => {
    const program = fixture.program('one');
    const other = fixture.program('other');
    const report = watch.setApps([{ key: 'app-a', executables: [program] }]);
    assert.deepEqual(report.files, [{ app: 'app-a', path: program }]);
    assert.deepEqual(report.late, []);
    for (let i = 0; i < 50; i++) assert.equal(seenBy(program, '-e', tellCgroup), 'app-a');
    assert.equal(seenBy(program, '-e', `exec("${other}", "-e", '${tellCgroup}')`), 'app-a', 'what it executes');
    assert.equal(seenBy(program, '-e', `system("${other}", "-e", '${tellCgroup}')`), 'app-a', 'what it forks');
    assert.equal(seenBy(other, '-e', tellCgroup), undefined, 'another program');
    await until('all starts are told', () => events.filter(({ kind }) => kind === 'started').length === 52);
    watch.setApps([]);
    assert.equal(seenBy(program, '-e', tellCgroup), undefined, 'no longer watched');
  });

  test('an app within an app: each program counts as what it is', () => {
    const a = fixture.program('nest-a');
    const b = fixture.program('nest-b');
    watch.setApps([
      { key: 'app-a', executables: [a] },
      { key: 'app-b', executables: [b] },
    ]);
    assert.equal(seenBy(a, '-e', `system("${b}", "-e", '${tellCgroup}')`), 'app-b');
    assert.equal(seenBy(a, '-e', `exec("${b}", "-e", '${tellCgroup}')`), 'app-b');
    assert.equal(seenBy(b, '-e', `system("${a}", "-e", '${tellCgroup}')`), 'app-a');
  });

  test('many at once', async () => {
    const program = fixture.program('crowd');
    watch.setApps([{ key: 'app-a', executables: [program] }]);
    const said = await Promise.all(Array.from({ length: 100 }, () => firstWord(background(program, '-e', tellCgroup))));
    assert.deepEqual(new Set(said.map((path) => keyIn(fixture.cgroups, path))), new Set(['app-a']));
  });

  test('a script is an app by its own inode, even where its interpreter is one of another', () => {
    const interpreter = fixture.program('interpreter');
    const script = fixture.script('script', `#!${interpreter}\n${tellCgroup};\n`);
    watch.setApps([{ key: 'app-a', executables: [script] }]);
    assert.equal(seenBy(script), 'app-a');
    assert.equal(seenBy(interpreter, '-e', tellCgroup), undefined);
    watch.setApps([
      { key: 'app-a', executables: [script] },
      { key: 'app-b', executables: [interpreter] },
    ]);
    assert.equal(seenBy(script), 'app-a');
    assert.equal(seenBy(interpreter, '-e', tellCgroup), 'app-b');
    assert.equal(seenBy(script), 'app-a');
    // The script, still the same process, becomes the interpreter: that is a start of its own.
    const turns = fixture.script('turns', `#!${interpreter}\nexec("${interpreter}", "-e", '${tellCgroup}');\n`);
    watch.setApps([
      { key: 'app-a', executables: [turns] },
      { key: 'app-b', executables: [interpreter] },
    ]);
    assert.equal(seenBy(turns), 'app-b');
  });

  test('divergence: an interpreter given a script is the interpreter, not the script', () => {
    const interpreter = fixture.program('given');
    const script = fixture.script('given-script', `#!${interpreter}\n${tellCgroup};\n`);
    watch.setApps([{ key: 'app-a', executables: [script] }]);
    assert.equal(seenBy(interpreter, script), undefined);
    watch.setApps([
      { key: 'app-a', executables: [script] },
      { key: 'app-b', executables: [interpreter] },
    ]);
    assert.equal(seenBy(interpreter, script), 'app-b');
  });

  test('divergence: a program handed to the dynamic loader is nobody, so filters refuse it', () => {
    const loader = ['/lib64/ld-linux-x86-64.so.2', '/lib/ld-linux-aarch64.so.1', '/lib64/ld64.so.2'].find((path) =>
      existsSync(path),
    );
    assert.ok(loader, 'no dynamic loader known here');
    const program = fixture.program('loaded');
    watch.setApps([{ key: 'app-a', executables: [program] }]);
    assert.equal(seenBy(loader, program, '-e', tellCgroup), undefined);
  });

  test('links lead to the same inode: hard, symbolic, and a bind mount in another mount namespace', () => {
    const program = fixture.program('linked');
    const hard = join(fixture.directory, 'hard');
    const soft = join(fixture.directory, 'soft');
    linkSync(program, hard);
    symlinkSync('linked', soft);
    watch.setApps([{ key: 'app-a', executables: [soft] }]);
    for (const path of [program, hard, soft]) assert.equal(seenBy(path, '-e', tellCgroup), 'app-a', path);
    const elsewhere = fixture.script('elsewhere', '');
    const inNamespace = ['--mount', '--propagation', 'private', 'sh', '-c', 'mount --bind "$0" "$1" && exec "$1" -e "$2"'];
    assert.equal(seenBy('unshare', ...inNamespace, program, elsewhere, tellCgroup), 'app-a');
  });

  test('a process of another pid namespace is put into its cgroup by the number it has here', () => {
    const program = fixture.program('inside');
    watch.setApps([{ key: 'app-a', executables: [program] }]);
    assert.equal(seenBy('unshare', '--pid', '--fork', program, '-e', tellCgroup), 'app-a');
  });

  test('divergence: in an overlay, as containers have it, kernels differ: by the file below, or nobody', () => {
    const program = fixture.program('below');
    watch.setApps([{ key: 'app-a', executables: [program] }]);
    const [upper, work, merged] = ['upper', 'work', 'merged'].map((name) => join(fixture.directory, name));
    // Upper layers lie on a tmpfs, as an overlay cannot lie on an overlay.
    const set = `mount -t tmpfs none "$0" && mkdir "$0/u" "$0/w" && mount -t overlay -o "lowerdir=$1,upperdir=$0/u,workdir=$0/w" none "$2"`;
    for (const path of [upper, work, merged]) mkdirSync(path!);
    const script = `${set} && exec "$2/below" -e "$3"`;
    const said = spawnSync(
      'unshare',
      ['--mount', '--propagation', 'private', 'sh', '-c', script, upper!, fixture.directory, merged!, tellCgroup],
      { encoding: 'utf8' },
    );
    assert.equal(said.status, 0, said.stderr);
    // Since about Linux 6.8 the file below is asked about; before, nothing is. Either way the program runs.
    assert.ok(['app-a', undefined].includes(keyIn(fixture.cgroups, said.stdout)), said.stdout);
    assert.match(said.stdout, /^\//);
  });

  test('divergence: a copy is another file', () => {
    const program = fixture.program('original');
    watch.setApps([{ key: 'app-a', executables: [program] }]);
    const copy = join(fixture.directory, 'copy');
    copyFileSync(program, copy);
    assert.equal(seenBy(copy, '-e', tellCgroup), undefined);
  });

  test('a package upgrade: the new inode is watched, whatever way it came', async () => {
    const program = fixture.program('upgraded');
    watch.setApps([{ key: 'app-a', executables: [program] }]);
    for (let version = 0; version < 3; version++) {
      // As dpkg does it.
      copyFileSync(program, `${program}.dpkg-new`);
      const before = events.length;
      renameSync(`${program}.dpkg-new`, program);
      await until('the new file is noticed', () => events.slice(before).some(({ kind }) => kind === 'files'));
      assert.equal(seenBy(program, '-e', tellCgroup), 'app-a', `version ${version}`);
    }
    rmSync(program);
    await until('it is gone', () => events.some((event) => event.kind === 'files' && event.report.missing.length === 1));
    fixture.program('upgraded');
    await until('it is back', () => seenBy(program, '-e', tellCgroup) === 'app-a');
  });

  test('a link turned to another version, and a version that a wildcard finds', async () => {
    for (const version of ['v1', 'v2']) {
      mkdirSync(join(fixture.directory, 'app', version), { recursive: true });
      fixture.program(`app/${version}/run`);
    }
    const current = join(fixture.directory, 'app', 'current');
    symlinkSync('v1', current);
    watch.setApps([{ key: 'app-a', executables: [join(current, 'run')] }]);
    const run = (version: string): string | undefined => seenBy(join(fixture.directory, 'app', version, 'run'), '-e', tellCgroup);
    assert.deepEqual([run('v1'), run('v2')], ['app-a', undefined]);
    symlinkSync('v2', `${current}.new`);
    renameSync(`${current}.new`, current);
    await until('the link is followed', () => run('v2') === 'app-a');
    assert.equal(run('v1'), undefined);
    watch.setApps([{ key: 'app-b', executables: [join(fixture.directory, 'app', 'v*', 'run')] }]);
    assert.deepEqual([run('v1'), run('v2')], ['app-b', 'app-b']);
    mkdirSync(join(fixture.directory, 'app', 'v3'));
    fixture.program('app/v3/run');
    await until('the new version is found', () => run('v3') === 'app-b');
  });

  test('an app that is not installed yet', async () => {
    const path = join(fixture.directory, 'later', 'bin', 'app');
    const report = watch.setApps([{ key: 'app-a', executables: [path] }]);
    assert.deepEqual(report.missing, [{ app: 'app-a', path }]);
    mkdirSync(join(fixture.directory, 'later', 'bin'), { recursive: true });
    fixture.program('later/bin/app');
    await until('it is watched', () => seenBy(path, '-e', tellCgroup) === 'app-a');
  });

  test('what ran before is moved and told; a process of an app stays what it is', async () => {
    const program = fixture.program('early');
    const child = background(program, '-e', '$|=1;print "on\n";sleep 60');
    await firstWord(child);
    const { late } = watch.setApps([{ key: 'app-a', executables: [program] }]);
    assert.deepEqual(late, [{ app: 'app-a', pid: child.pid }]);
    assert.equal(fixture.cgroups.appOf(child.pid!), 'app-a');
    assert.deepEqual(watch.setApps([{ key: 'app-a', executables: [program] }]).late, [], 'once');
  });

  test('a cgroup made anew is used at once', () => {
    const program = fixture.program('anew');
    const apps = [{ key: 'app-a', executables: [program] }];
    watch.setApps(apps);
    assert.equal(seenBy(program, '-e', tellCgroup), 'app-a');
    fixture.cgroups.remove('app-a');
    assert.equal(seenBy(program, '-e', tellCgroup), undefined, 'nowhere to go: not held up, and nobody');
    fixture.cgroups.ensure('app-a');
    watch.setApps(apps);
    assert.equal(seenBy(program, '-e', tellCgroup), 'app-a');
  });

  test('a user’s link cannot make root’s programs an app; the user’s own program may be one', () => {
    const home = join(fixture.directory, 'home');
    mkdirSync(home);
    const program = fixture.program('home/app');
    execFileSync('chown', ['-R', '1234', home]);
    symlinkSync('/usr/bin/env', join(home, 'link'));
    mkdirSync(join(fixture.directory, 'open'), { mode: 0o777 });
    execFileSync('chmod', ['0777', join(fixture.directory, 'open')]);
    fixture.program('open/app');
    const report = watch.setApps([
      { key: 'app-a', executables: [join(home, 'link'), program] },
      { key: 'app-b', executables: [join(fixture.directory, 'open', 'app')] },
    ]);
    assert.deepEqual(report.files, [{ app: 'app-a', path: program }]);
    assert.deepEqual(
      report.refused.map(({ path }) => path),
      [join(home, 'link'), join(fixture.directory, 'open', 'app')],
    );
  });

  test('two apps that claim one file: the first has it, and that is told', () => {
    const program = fixture.program('both');
    const { files, contested } = watch.setApps([
      { key: 'app-a', executables: [program] },
      { key: 'app-b', executables: [program] },
    ]);
    assert.deepEqual(files, [{ app: 'app-a', path: program }]);
    assert.deepEqual(contested, [{ app: 'app-b', by: 'app-a', path: program }]);
  });

  suite('held starts', () => {
    test('wait until they are let go, others do not', async () => {
      const a = fixture.program('held');
      const b = fixture.program('free');
      watch.setApps([
        { key: 'app-a', executables: [a], tell: true },
        { key: 'app-b', executables: [b] },
      ]);
      watch.hold('app-a', true);
      const child = background(a, '-e', `$|=1;${tellCgroup}`);
      const said = firstWord(child);
      await until('the start is told', () => events.some(({ kind }) => kind === 'started'));
      assert.deepEqual(events, [{ kind: 'started', app: 'app-a', pid: child.pid }]);
      assert.equal(await firstWord(background(b, '-e', tellCgroup)).then((path) => keyIn(fixture.cgroups, path)), 'app-b');
      assert.equal(child.exitCode, null);
      watch.hold('app-a', false);
      assert.equal(keyIn(fixture.cgroups, await said), 'app-a');
    });

    test('go on by themselves when nobody lets them go', async () => {
      await watch.close();
      await open({ maxHoldMs: 300 });
      const program = fixture.program('forgotten');
      watch.setApps([{ key: 'app-a', executables: [program] }]);
      watch.hold('app-a', true);
      const from = performance.now();
      assert.equal(keyIn(fixture.cgroups, await firstWord(background(program, '-e', tellCgroup))), 'app-a');
      assert.ok(performance.now() - from >= 290);
    });
  });

  suite('when the watch goes wrong, starts go on, and the program is nobody until it works again', () => {
    for (const [what, stumble] of [
      ['a worker that hangs', 1],
      ['a worker that throws', 2],
    ] as const) {
      test(what, async () => {
        await watch.close();
        await open({ stallMs: 1000 });
        const program = fixture.program(`stumble-${stumble}`);
        watch.setApps([{ key: 'app-a', executables: [program] }]);
        assert.equal(seenBy(program, '-e', tellCgroup), 'app-a');
        const stuck = watch.words!;
        Atomics.store(stuck, word.stumble, stumble);
        const said = await firstWord(background(program, '-e', tellCgroup));
        assert.equal(keyIn(fixture.cgroups, said), undefined, 'not held up, and nobody');
        await until('that is told', () => events.some(({ kind }) => kind === 'stopped'));
        await until('it works again', () => events.some(({ kind }) => kind === 'resumed'));
        Atomics.store(stuck, word.stumble, 0);
        assert.equal(seenBy(program, '-e', tellCgroup), 'app-a');
      });
    }

    for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
      test(`${signal} of the daemon while it holds a start`, async () => {
        const program = fixture.program(`orphan-${signal}`);
        const url = (path: string): string => new URL(path, import.meta.url).href;
        const name = fixture.cgroups.path.split('/').at(-1)!;
        const modules = [url('../../src/apps/exec-watch.ts'), url('../../src/cgroup/app-cgroups.ts')];
        const args = ['--input-type=module', '-e', daemon, ...modules, name, program, 'hold'];
        const host = background(process.execPath, ...args);
        assert.equal(await firstWord(host), 'watching');
        const child = background(program, '-e', `$|=1;${tellCgroup}`);
        const said = firstWord(child);
        await until('it is held', () => fixture.cgroups.appOf(child.pid!) === 'app-a');
        const ended = once(host, 'exit');
        host.kill(signal);
        await ended;
        assert.equal(keyIn(fixture.cgroups, await said), 'app-a');
        assert.equal(seenBy(program, '-e', tellCgroup), undefined, 'nobody watches any more');
      });
    }

    test('divergence: a daemon that is stopped (SIGSTOP) keeps starts waiting until it goes on or is killed, as its watchdog does', async () => {
      const program = fixture.program('stopped');
      const url = (path: string): string => new URL(path, import.meta.url).href;
      const name = fixture.cgroups.path.split('/').at(-1)!;
      const modules = [url('../../src/apps/exec-watch.ts'), url('../../src/cgroup/app-cgroups.ts')];
      const host = background(process.execPath, '--input-type=module', '-e', daemon, ...modules, name, program, 'free');
      assert.equal(await firstWord(host), 'watching');
      host.kill('SIGSTOP');
      // The signal reaches one thread after the other; until it has reached the worker, that one still answers.
      await until('every thread is stopped', () => threadStates(host.pid!).every((state) => state === 'T'));
      const child = background(program, '-e', `$|=1;${tellCgroup}`);
      const said = firstWord(child);
      const waits = new Promise<string>((resolve) => setTimeout(() => resolve('waits'), 300));
      assert.equal(await Promise.race([said, waits]), 'waits');
      host.kill('SIGKILL');
      assert.equal(keyIn(fixture.cgroups, await said), undefined, 'it goes on, and is nobody');
    });

    test('a main thread that hangs holds nobody up', async () => {
      const program = fixture.program('busy');
      watch.setApps([{ key: 'app-a', executables: [program] }]);
      const child = background(program, '-e', tellCgroup);
      // Synchronously, while the main thread does nothing else.
      const result = spawnSync(program, ['-e', tellCgroup], { encoding: 'utf8', timeout: 60_000 });
      assert.equal(keyIn(fixture.cgroups, result.stdout), 'app-a');
      assert.equal(keyIn(fixture.cgroups, await firstWord(child)), 'app-a');
    });

    test('close and open again', async () => {
      const program = fixture.program('again');
      const apps = [{ key: 'app-a', executables: [program] }];
      watch.setApps(apps);
      await watch.close();
      assert.equal(seenBy(program, '-e', tellCgroup), undefined);
      await open();
      watch.setApps(apps);
      assert.equal(seenBy(program, '-e', tellCgroup), 'app-a');
    });
  });

  test('descriptors are given back', async () => {
    const open = (): readonly string[] =>
      readdirSync(`/proc/${process.pid}/fd`).flatMap((fd) => {
        try {
          return [readlinkSync(`/proc/${process.pid}/fd/${fd}`)];
        } catch {
          return []; // Closed between two looks, as that of the look itself is.
        }
      });
    await watch.close();
    writeFileSync(join(fixture.directory, 'warm'), '');
    const before = open();
    for (let i = 0; i < 5; i++) {
      const one = await FanotifyExecWatch.open({ cgroups: fixture.cgroups, onEvent: () => undefined });
      one.setApps([{ key: 'app-a', executables: ['/usr/bin/env', fileURLToPath(import.meta.url)] }]);
      one.setApps([{ key: 'app-b', executables: ['/usr/bin/env'] }]);
      await one.close();
    }
    await until('all are closed', () => open().length <= before.length + 1);
  });
});

/** One letter a thread, as in proc(5): `T` is stopped. */
function threadStates(pid: number): readonly string[] {
  const tasks = readdirSync(`/proc/${pid}/task`);
  return tasks.map((id) => readFileSync(`/proc/${pid}/task/${id}/stat`, 'latin1').split(') ').at(-1)!.slice(0, 1));
}
