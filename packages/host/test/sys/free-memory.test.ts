import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import process from 'node:process';
import { test } from 'node:test';
import { readFileMappings } from '../../src/sys/own-memory.ts';

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
  const module = new URL('../../src/sys/own-memory.ts', import.meta.url).href;
  const { stdout, stderr } = spawnSync(process.execPath, ['--expose-gc', '--input-type=module', '-e', script, module], {
    encoding: 'utf8',
  });
  assert.ok(Number(stdout) > 10, `only ${stdout} MiB of 40 ${stderr}`);
});

test('what a start needed of Node’s program leaves the memory, and comes back when it is used', () => {
  const module = new URL('../../src/sys/own-memory.ts', import.meta.url).href;
  const text = `
    const { releaseProgramFile } = await import(process.argv[1]);
    const before = process.memoryUsage.rss();
    const released = releaseProgramFile();
    const after = process.memoryUsage.rss();
    const { subtle } = await import('node:crypto').then(({ webcrypto }) => webcrypto);
    await subtle.digest('SHA-256', new Uint8Array(5));
    JSON.parse(JSON.stringify(/(a+)b/u.exec('xaab')));
    console.log(JSON.stringify({ mebibytes: (before - after) / 2 ** 20, released: released / 2 ** 20 }));`;
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', text, module], {
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
  const { mebibytes, released } = JSON.parse(stdout) as { readonly mebibytes: number; readonly released: number };
  assert.ok(mebibytes > 20 && released >= mebibytes * 0.9, stdout);
});

test('nothing is taken out that the file could not give back', () => {
  const section = (line: string, anonymous: number): string =>
    `${line}\nSize:  8 kB\nRss:   4 kB\nAnonymous:     ${anonymous} kB\nVmFlags: rd mr\n`;
  const smaps = [
    section('00400000-00402000 r--p 00000000 08:01 12                                 /usr/bin/node', 0),
    section('00402000-00404000 r-xp 00002000 08:01 12                                 /usr/bin/node', 0),
    // Addresses that the loader wrote into it, and what is written all the time.
    section('00404000-00406000 r--p 00004000 08:01 12                                 /usr/bin/node', 4),
    section('00406000-00408000 rw-p 00006000 08:01 12                                 /usr/bin/node', 0),
    section('00408000-0040a000 r-xs 00002000 08:01 12                                 /usr/bin/node', 0),
    section('7f0000000000-7f0000002000 r-xp 00000000 08:01 13                         /usr/lib/libc.so.6', 0),
    section('7f0000002000-7f0000004000 r-xp 00000000 00:00 0 ', 0),
    section('7f0000004000-7f0000006000 r-xp 00002000 08:01 12                         /usr/bin/node (deleted)', 0),
  ].join('');
  assert.deepEqual(readFileMappings(smaps, '/usr/bin/node'), [
    { start: 0x400000, length: 0x2000, resident: 4096 },
    { start: 0x402000, length: 0x2000, resident: 4096 },
  ]);
});
