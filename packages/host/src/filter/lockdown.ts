import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { lockdownTable, printLockdown, type LockdownPlan } from '@aovpn/policy';
import { messageOf } from './filter-error.ts';
import { openRuleset } from './ruleset.ts';

/** Somebody else changed LockDown; it is put back, unless `failure` says why not. */
export interface LockdownRepair {
  readonly what: string;
  readonly failure?: string;
}

/** LockDown in the kernel. Only {@link Lockdown.apply} without a plan and {@link removeLockdown} take it away: it outlives this process. */
export interface Lockdown {
  /**
   * Idempotent; one transaction. Calls follow each other; a failed one leaves what was there before. Watches over it from then on.
   * @throws {HostError} AOV-HOST-605 to 607
   */
  apply(plan: LockdownPlan | undefined): Promise<void>;
  /** Stops watching. What was applied stays. */
  close(): Promise<void>;
}

/** After putting it back the next time waits so long, milliseconds: a quarrel with another program must not use up the machine. */
const restMs = 200;
const cgroupDirectory = '/sys/fs/cgroup';

export function openLockdown(onRepair: (repair: LockdownRepair) => void): Lockdown {
  const ruleset = openRuleset(lockdownTable);
  let inForce: LockdownPlan | undefined;
  /** It was taken away, by us; what an earlier run left is not known before. */
  let isGone = false;
  let watch: { close(): void } | undefined;
  let rest: NodeJS.Timeout | undefined;
  let amiss = new Set<string>();
  let turn: Promise<unknown> = Promise.resolve();
  let open = true;

  const inTurn = <T>(act: () => Promise<T>): Promise<T> => {
    const mine = turn.then(act, act);
    turn = mine.catch(() => undefined);
    return mine;
  };
  const stopWatching = (): void => {
    watch?.close();
    watch = undefined;
    clearTimeout(rest);
    rest = undefined;
    amiss = new Set();
  };
  const repair = (what: string): void => {
    if (!open) return;
    amiss.add(what);
    if (rest) return;
    rest = setTimeout(() => {
      rest = undefined;
      if (amiss.size > 0) mend();
    }, restMs);
    rest.unref();
    mend();
  };
  /** A lock that nobody watches over is better than none. */
  const watchOver = (): { close(): void } | undefined => {
    try {
      return ruleset.watch(({ what, by }) => repair(`${what}${by === '' ? '' : ` by ${by}`}`));
    } catch (error) {
      onRepair({ what: 'nobody tells when it is changed', failure: messageOf(error) });
      return undefined;
    }
  };
  const mend = (): void => {
    void inTurn(async () => {
      const what = [...amiss].join('; ');
      amiss = new Set();
      if (!open || !inForce || what === '') return;
      try {
        await ruleset.apply(printLockdown(presentHole(inForce), 'replace', Date.now()));
        onRepair({ what });
      } catch (error) {
        onRepair({ what, failure: messageOf(error) });
        repair(what);
      }
    });
  };

  return {
    apply: (plan) =>
      inTurn(async () => {
        if (!plan) {
          // Most machines never have one: nothing is run for that again and again.
          if (isGone) return;
          // Before the removal, which would be noticed as a loss.
          stopWatching();
          await ruleset.remove();
          inForce = undefined;
          isGone = true;
          return;
        }
        isGone = false;
        if (inForce && JSON.stringify(inForce) === JSON.stringify(plan)) return;
        // Before there is anything to be changed: no change goes unseen.
        watch ??= watchOver();
        const text = (step: 'refresh' | 'replace'): string => printLockdown(presentHole(plan), step, Date.now());
        // What an earlier run left may be of another version.
        if (inForce) await ruleset.apply(text('refresh')).catch(() => ruleset.apply(text('replace')));
        else await ruleset.apply(text('replace'));
        inForce = plan;
      }),
    close: () =>
      inTurn(async () => {
        open = false;
        stopWatching();
      }),
  };
}

/** Opens what LockDown holds shut, with no memory of what ran before; tells whether there was anything. @throws {HostError} AOV-HOST-605, 606 */
export async function removeLockdown(): Promise<boolean> {
  return await openRuleset(lockdownTable).remove();
}

/** Whether LockDown is in force in the kernel, whoever put it there. @throws {HostError} AOV-HOST-605, 607 */
export async function isLockdownInForce(): Promise<boolean> {
  return (await openRuleset(lockdownTable).read()) !== undefined;
}

/** A cgroup that is gone has no sockets to let out, and the kernel would refuse the whole for it. */
function presentHole(plan: LockdownPlan): LockdownPlan {
  if (!plan.portal || existsSync(join(cgroupDirectory, plan.portal.cgroup.path))) return plan;
  const { portal: _, ...rest } = plan;
  return rest;
}
