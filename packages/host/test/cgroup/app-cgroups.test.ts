import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { after, before, suite, test } from 'node:test';
import { openAppCgroups, type AppCgroups } from '../../src/cgroup/app-cgroups.ts';
import { skipWithoutRoot, until } from '../apps/app-fixture.ts';

suite('app cgroups', { skip: skipWithoutRoot, concurrency: 1 }, () => {
  let cgroups: AppCgroups;
  const children: ChildProcess[] = [];
  before(() => {
    cgroups = openAppCgroups({ name: `aovpn-test-${process.pid}-c` });
  });
  after(() => {
    for (const child of children) child.kill('SIGKILL');
    cgroups.removeAll();
  });
  const sleeper = (): number => {
    const child = spawn('sleep', ['100'], { stdio: 'ignore' });
    children.push(child);
    return child.pid!;
  };

  test('made once, found, listed', () => {
    const made = cgroups.ensure('firefox');
    assert.deepEqual(cgroups.ensure('firefox'), made);
    assert.deepEqual(cgroups.find('firefox'), made);
    cgroups.ensure('a-b');
    assert.deepEqual(
      cgroups.list().map(({ key }) => key),
      ['a-b', 'firefox'],
    );
    assert.equal(cgroups.find('thunderbird'), undefined);
  });

  test('a key that is no key leads nowhere', () => {
    for (const key of ['', '..', 'a/b', '../x', 'A', 'a b', 'a'.repeat(41), 'a"b'])
      assert.throws(() => cgroups.ensure(key), TypeError, key);
  });

  test('a process moves in, is known, and goes to the root cgroup when its own is removed', () => {
    const pid = sleeper();
    assert.equal(cgroups.appOf(pid), undefined);
    assert.equal(cgroups.move(pid, 'firefox'), true);
    assert.equal(cgroups.appOf(pid), 'firefox');
    assert.deepEqual(cgroups.processes('firefox'), [pid]);
    cgroups.remove('firefox');
    assert.equal(cgroups.appOf(pid), undefined);
    assert.equal(process.kill(pid, 0), true, 'it goes on running');
    assert.equal(cgroups.find('firefox'), undefined);
    cgroups.remove('firefox');
  });

  test('cgroups that an app made for itself go with it', () => {
    const { path } = cgroups.ensure('browser');
    const below = join(path, 'tab', 'one');
    mkdirSync(below, { recursive: true });
    const pid = sleeper();
    writeFileSync(join(below, 'cgroup.procs'), String(pid));
    assert.equal(cgroups.appOf(pid), 'browser');
    assert.deepEqual(cgroups.processes('browser'), [pid]);
    cgroups.remove('browser');
    assert.ok(!existsSync(path));
  });

  test('a process that has ended', () => {
    cgroups.ensure('gone');
    assert.equal(cgroups.move(2 ** 22 - 3, 'gone'), false);
  });

  test('one made anew is another one, and whoever watches is told', async () => {
    const { id, path } = cgroups.ensure('anew');
    let told = 0;
    const watch = cgroups.watch(() => told++);
    rmdirSync(path);
    await until('that it is gone is told', () => told > 0);
    assert.notEqual(cgroups.ensure('anew').id, id);
    watch.close();
  });

  test('all go at once, and again is no error', () => {
    assert.ok(cgroups.removeAll() > 0);
    assert.ok(!existsSync(cgroups.path));
    assert.equal(cgroups.removeAll(), 0);
  });
});
