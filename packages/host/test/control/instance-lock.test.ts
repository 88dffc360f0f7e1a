import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { suite, test } from 'node:test';
import { lockInstance } from '../../src/control/instance-lock.ts';

suite('instance lock', () => {
  const locking = (file: string): string => {
    const module = path.resolve(import.meta.dirname, '../../src/control/instance-lock.ts');
    const script = `import { lockInstance } from ${JSON.stringify(module)}; try { lockInstance(${JSON.stringify(file)}); console.log('got it'); } catch (error) { console.log(error.code, error.what); }`;
    return spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' }).stdout.trim();
  };

  test('a second process is refused and told who has it; a dead one leaves nothing', () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'aovpn-lock-'));
    try {
      const file = path.join(directory, 'lock');
      assert.equal(locking(file), 'got it');
      const lock = lockInstance(file);
      assert.equal(locking(file), `AOV-HOST-401 another aovpnd is running (process ${process.pid}); it is left alone`);
      lock.release();
      assert.equal(locking(file), 'got it');
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  test('a directory that is not there is a host error', () => {
    assert.throws(() => lockInstance('/nonexistent-directory/lock'), { code: 'AOV-HOST-403' });
  });
});
