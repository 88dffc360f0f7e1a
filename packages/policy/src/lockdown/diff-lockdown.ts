import type { Plan } from '../plan.ts';
import { lockdownRules } from './lockdown-rule.ts';

/** One line of LockDown that comes or goes; the kernel takes all of it as a whole. */
export interface LockdownChange {
  readonly op: 'add' | 'remove';
  readonly kind: 'lockdown';
  readonly text: string;
}

/** Differences of what LockDown lets out, and whether there is one at all. */
export function diffLockdown(from: Plan, to: Plan): readonly LockdownChange[] {
  const linesOf = ({ lockdown }: Plan): ReadonlySet<string> =>
    new Set(lockdown ? lockdownRules(lockdown).map(({ text }) => text) : []);
  const [before, after] = [linesOf(from), linesOf(to)];
  const changes = (op: LockdownChange['op'], lines: ReadonlySet<string>, others: ReadonlySet<string>): LockdownChange[] =>
    [...lines].filter((text) => !others.has(text)).map((text) => ({ op, kind: 'lockdown', text }));
  return [...changes('add', after, before), ...changes('remove', before, after)];
}
