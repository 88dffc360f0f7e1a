import { domainToASCII } from 'node:url';
import type { DiffProfile, PlanDiff } from '@aovpn/api';
import {
  assumeTunnel,
  assumptionsOf,
  describeChange,
  diffFilters,
  diffLockdown,
  diffPlan,
  printChanges,
  resolveProfile,
} from '@aovpn/policy';
import { parseProfile } from '@aovpn/profile';
import { DaemonError } from './daemon-error.ts';
import type { Daemon } from './daemon.ts';
import { deviceNameOf } from './device-name.ts';
import { isProfileName } from './profile-store.ts';
import { planText } from './traffic-report.ts';

/**
 * What would change if a profile were in force: with the facts of its tunnel if that is up, and with assumed ones otherwise.
 * @throws {DaemonError} AOV-DAEMON-514, AOV-DAEMON-515
 */
export async function diffProfile(daemon: Daemon, { name, xmlBase64 }: DiffProfile): Promise<PlanDiff> {
  if (!isProfileName(name)) throw new DaemonError('AOV-DAEMON-514', JSON.stringify(name.slice(0, 120)));
  const bytes = Buffer.from(xmlBase64, 'base64');
  daemon.store.check(name, bytes);
  const { intent } = resolveProfile(name, parseProfile(bytes, { toAscii: domainToASCII }).profile!);
  const intents = new Map([...daemon.intents(), [name, intent]]);
  const assumed = daemon.plans.isLive(name) ? [] : [assumeTunnel(intent, deviceNameOf(name, [...intents.keys()]))];
  const from = daemon.plans.plan;
  const to = await daemon.plans.preview(intents, assumed);
  const changes = [...diffLockdown(from, to), ...diffPlan(from, to), ...diffFilters(from, to)];
  return {
    name,
    changes: changes.map((change) => ({ op: change.op, text: describeChange(change) })),
    text: printChanges(changes),
    assumptions: assumed.flatMap((tunnel) => assumptionsOf(tunnel, true)),
    problems: planText({ ...to, problems: to.problems.filter(({ profile }) => profile === name) }).items.filter(
      ({ section }) => section === 'problems',
    ),
  };
}
