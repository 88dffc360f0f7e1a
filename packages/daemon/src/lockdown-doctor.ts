import { access } from 'node:fs/promises';
import type { DoctorCheck, LockdownStatus } from '@aovpn/api';
import { isLockdownInForce } from '@aovpn/host';
import { messageOf } from './problem-error.ts';

/** What of the machine is looked at. */
export interface LockdownFacts {
  readonly isInForce: () => Promise<boolean>;
  readonly exists: (path: string) => Promise<boolean>;
}

const thisMachine: LockdownFacts = {
  isInForce: isLockdownInForce,
  exists: (path) =>
    access(path).then(
      () => true,
      () => false,
    ),
};

const systemd = '/run/systemd/system';
/** What `systemctl enable` makes of systemd/aovpn-lockdown.service. */
const earlyUnit = '/etc/systemd/system/sysinit.target.wants/aovpn-lockdown.service';

/** Whether traffic is blocked and by what, whether the kernel agrees, and whether the next start of the machine begins blocked. */
export async function checkLockdown(
  status: LockdownStatus | undefined,
  { isInForce, exists }: LockdownFacts = thisMachine,
): Promise<readonly DoctorCheck[]> {
  if (!status) return [];
  const because = status.profiles.map((profile) => profile.because).join(', ');
  const { problem } = status;
  const inKernel = await isInForce().catch((error: unknown) => messageOf(error));
  const checks: DoctorCheck[] = [];
  const add = (verdict: DoctorCheck['verdict'], found: string, cure?: string): void =>
    void checks.push({ name: 'lockdown', verdict, found, ...(cure !== undefined && { cure }) });
  if (status.state === 'released') {
    add('warning', `released by root, traffic is not held back: ${because}`, 'End that with: aovpn lockdown engage NAME');
  } else if (problem)
    add('failed', `${problem.message} [${problem.code}]; traffic is ${status.traffic}: ${because}`, problem.cure);
  else if (inKernel !== true)
    add(
      'failed',
      `it should be in force and the kernel has nothing of it${inKernel === false ? '' : ` (${inKernel})`}: ${because}`,
      'See who removes it: nft monitor. It is put back within a second.',
    );
  else if (status.traffic === 'blocked') add('warning', status.text ?? because);
  else add('ok', `all traffic goes through the tunnel: ${because}`);
  if (status.state !== 'released' && (await exists(systemd)) && !(await exists(earlyUnit)))
    add(
      'warning',
      'while this machine starts it is not in force before the daemon runs',
      'systemctl enable aovpn-lockdown.service',
    );
  return checks;
}
