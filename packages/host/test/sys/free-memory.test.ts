import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import process from 'node:process';
import { test } from 'node:test';

const script = `
  const { returnFreeMemory } = await import(process.argv[1]);
  let all = Array.from({ length: 40_000 }, () => Buffer.allocUnsafeSlow(1000));
  // The last one lives: what lies below it the C library does not give back by itself.
  globalThis.last = all.at(-1);
  all = undefined;
  gc();
  await new Promise((resolve) => setTimeout(resolve, 50));
  gc();
  const before = process.memoryUsage.rss();
  returnFreeMemory();
  console.log((before - process.memoryUsage.rss()) / 2 ** 20);`;

test('memory that is free goes back to the kernel', () => {
  const process_ = new URL('../../src/sys/process.ts', import.meta.url).href;
  const { stdout, stderr } = spawnSync(process.execPath, ['--expose-gc', '--input-type=module', '-e', script, process_], {
    encoding: 'utf8',
  });
  assert.ok(Number(stdout) > 10, `only ${stdout} MiB of 40 ${stderr}`);
});
