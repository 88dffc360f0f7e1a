import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LockdownStatus } from '@aovpn/api';
import { checkLockdown, type LockdownFacts } from '../src/lockdown-doctor.ts';

const engaged: LockdownStatus = {
  state: 'engaged',
  traffic: 'through-tunnel',
  profiles: [{ name: 'corp', because: 'profile "corp" line 5: LockDown' }],
};
const blocked: LockdownStatus = { ...engaged, traffic: 'blocked', text: 'All traffic of this machine is blocked.' };
const released: LockdownStatus = { ...engaged, state: 'released', traffic: 'open' };
const failed: LockdownStatus = {
  ...engaged,
  state: 'failed',
  traffic: 'open',
  problem: { code: 'X', message: 'no nft', cure: 'Install.' },
};

function facts(inForce: boolean | Error, files: readonly string[] = []): LockdownFacts {
  return {
    isInForce: () => (inForce instanceof Error ? Promise.reject(inForce) : Promise.resolve(inForce)),
    exists: (path) => Promise.resolve(files.includes(path)),
  };
}

test('says whether traffic is blocked, by which line, and whether the kernel agrees', async () => {
  const verdict = async (status: LockdownStatus | undefined, of: LockdownFacts): Promise<string[]> =>
    (await checkLockdown(status, of)).map(({ verdict: one, found }) => `${one}: ${found}`);
  assert.deepEqual(await verdict(undefined, facts(false)), []);
  const [ok] = await verdict(engaged, facts(true));
  assert.match(ok!, /^ok: .*line 5/);
  assert.deepEqual(await verdict(blocked, facts(true)), ['warning: All traffic of this machine is blocked.']);
  assert.match((await verdict(engaged, facts(false)))[0]!, /^failed: .*the kernel has nothing of it: .*line 5/);
  assert.match((await verdict(engaged, facts(new Error('no nft'))))[0]!, /^failed: .*\(no nft\)/);
  assert.match((await verdict(released, facts(false)))[0]!, /^warning: released by root/);
  assert.match((await verdict(failed, facts(false)))[0]!, /^failed: no nft \[X\]; traffic is open: .*line 5/);
});

test('a machine with systemd that would start open is told so', async () => {
  const systemd = '/run/systemd/system';
  const unit = '/etc/systemd/system/sysinit.target.wants/aovpn-lockdown.service';
  assert.equal((await checkLockdown(engaged, facts(true, [systemd]))).at(-1)?.cure, 'systemctl enable aovpn-lockdown.service');
  assert.equal((await checkLockdown(engaged, facts(true, [systemd, unit]))).length, 1);
  assert.equal((await checkLockdown(engaged, facts(true))).length, 1);
  assert.equal((await checkLockdown(released, facts(true, [systemd]))).length, 1);
});
