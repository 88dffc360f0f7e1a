import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readFilterSupport } from '../../src/filter/filter-support.ts';

test('what this machine can do is tried, each with what was found and a cure where it fails', async () => {
  const support = await readFilterSupport();
  assert.deepEqual(
    support.map(({ name }) => name),
    ['nft', 'cgroup v2', 'exec watch', 'socket marks'],
  );
  for (const { name, works, found, cure } of support) {
    assert.notEqual(found, '', name);
    assert.equal(cure === undefined, works, `${name}: ${found}`);
    // The tests of filters run as root on this very machine.
    assert.ok(works, `${name}: ${found}`);
  }
});
