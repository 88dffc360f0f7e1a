import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { findCgroupRoot, nftCgroupName } from '../../src/cgroup/cgroup-root.ts';
import { HostError } from '../../src/host-error.ts';

const unified = '24 23 0:22 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n';
const hybrid =
  '31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n' +
  '36 31 0:33 / /sys/fs/cgroup/devices rw,relatime - cgroup cgroup rw,devices\n' +
  '41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:7 master:1 - cgroup2 cgroup2 rw\n';

suite('cgroup v2 hierarchy', () => {
  test('alone, and beside v1', () => {
    assert.deepEqual(findCgroupRoot(unified), { path: '/sys/fs/cgroup', depth: 0 });
    assert.deepEqual(findCgroupRoot(hybrid), { path: '/sys/fs/cgroup/unified', depth: 0 });
  });

  test('a part of it, as containers have it, is told by its depth; read-only is of no use', () => {
    const part = unified.replace(' / ', ' /docker/0123 ');
    assert.deepEqual(findCgroupRoot(part), { path: '/sys/fs/cgroup', depth: 2 });
    const readOnly = unified.replace('rw,nosuid', 'ro,nosuid');
    assert.throws(
      () => findCgroupRoot(readOnly),
      (error) => error instanceof HostError && error.code === 'AOV-HOST-600',
    );
    assert.throws(() => findCgroupRoot(''), HostError);
  });

  test('blanks in a path', () => {
    assert.equal(findCgroupRoot(unified.replace('/sys/fs/cgroup', '/mnt/my\\040groups')).path, '/mnt/my groups');
  });

  test('names for nft', () => {
    assert.equal(nftCgroupName('/sys/fs/cgroup/aovpn/x'), 'aovpn/x');
    assert.equal(nftCgroupName('/sys/fs/cgroup/unified/aovpn/x'), 'unified/aovpn/x');
    assert.equal(nftCgroupName('/mnt/cgroup2/aovpn'), undefined);
  });
});
