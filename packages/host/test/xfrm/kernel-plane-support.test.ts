import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readlinkSync, rmSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import path from 'node:path';
import { suite, test } from 'node:test';
import { tryKernelPlane } from '../../src/xfrm/kernel-plane-support.ts';
import { mayLoadModules, tryInThread } from '../../src/xfrm/read-kernel-plane-support.ts';

suite('whether the kernel can be the data plane', () => {
  test('is found out beside everything else, and is what trying it here says', async () => {
    const network = readlinkSync('/proc/thread-self/ns/net');
    let turns = 0;
    const turning = setInterval(() => {
      assert.equal(readlinkSync('/proc/thread-self/ns/net'), network);
      turns++;
    }, 1);
    const support = await tryInThread();
    clearInterval(turning);
    assert.ok(turns > 0, 'the event loop went on');
    assert.deepEqual(support, tryKernelPlane());
  });

  test('takes a thread only where modules may have to be loaded', () => {
    const root = mkdtempSync(path.join(tmpdir(), 'aovpn-modules-'));
    const have = (directory: string): void => void mkdirSync(path.join(root, directory), { recursive: true });
    try {
      assert.equal(mayLoadModules(root), false, 'nothing to load them from');
      have(`lib/modules/${release()}`);
      assert.equal(mayLoadModules(root), true);
      for (const name of ['xfrm_user', 'esp4']) have(`sys/module/${name}`);
      assert.equal(mayLoadModules(root), true, 'no device yet');
      have('sys/module/ip_vti');
      assert.equal(mayLoadModules(root), false);
    } finally {
      rmSync(root, { recursive: true });
    }
  });
});
