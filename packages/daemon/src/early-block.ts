import path from 'node:path';
import { openLockdown, removeLockdown } from '@aovpn/host';
import { compilePlan, type Intent, type LockdownPlan } from '@aovpn/policy';
import { reviewProfile } from '@aovpn/supervisor';
import { releaseFileName, writeMarker } from './lockdown-control.ts';
import type { Log } from './log.ts';
import type { DaemonOptions } from './options.ts';
import { outerMark } from './outer-mark.ts';
import { messageOf } from './problem-error.ts';
import { ProfileStore } from './profile-store.ts';
import { ReleaseFile } from './release-file.ts';
import { SettingsFile } from './settings-file.ts';
import { defaultSettings } from './settings.ts';

type Place = Pick<DaemonOptions, 'configDir' | 'stateDir' | 'runDir'>;

/**
 * Puts LockDown into force before there is a network, a daemon or anything else: from the profiles, their last good versions and what root has
 * released, by the very rules by which the daemon decides. Idempotent; it never takes LockDown away. Nothing is let out to a gateway yet: the
 * daemon opens that when it goes there.
 * @throws {HostError} AOV-HOST-605, AOV-HOST-606
 */
export async function blockEarly(place: Place, log: Log): Promise<LockdownPlan | undefined> {
  const { intents, releases } = await readLocks(place, log);
  const { lockdown: plan } = compilePlan({
    tunnels: [],
    idle: intents,
    unlocked: new Set(releases.releases.keys()),
    host: { resolver: 'stub', physicalDns: [], mark: outerMark },
  });
  if (!plan) return undefined;
  const lockdown = openLockdown(() => undefined);
  await lockdown.apply(plan);
  await lockdown.close();
  await writeMarker(place.runDir, plan).catch((error: unknown) => log.error(messageOf(error)));
  return plan;
}

/**
 * Root's way out while no daemon runs: releases LockDown of every profile, and opens it. Names of the profiles.
 * @throws {HostError} AOV-HOST-605, AOV-HOST-606; {Error} of the file system, and then it is open all the same until something locks again
 */
export async function releaseAll(place: Place, by: string, log: Log): Promise<readonly string[]> {
  const { intents, releases } = await readLocks(place, log);
  await removeLockdown();
  await writeMarker(place.runDir, undefined);
  const names = intents.filter(({ lockdown }) => lockdown !== undefined).map(({ name }) => name);
  await releases.add(names, { at: new Date().toISOString(), by });
  return names;
}

async function readLocks(
  { configDir, stateDir }: Place,
  log: Log,
): Promise<{ readonly intents: readonly Intent[]; readonly releases: ReleaseFile }> {
  const releases = new ReleaseFile(path.join(stateDir, releaseFileName), log);
  await releases.read();
  // Bad settings stop the daemon; they must not open a lock.
  const settings = await SettingsFile.open(path.join(configDir, 'aovpn.toml'), log).then(
    ({ current }) => current,
    (error: unknown) => {
      log.error(messageOf(error));
      return defaultSettings;
    },
  );
  const store = new ProfileStore({
    directory: path.join(configDir, 'profiles.d'),
    lastGoodDirectory: path.join(stateDir, 'last-good'),
    review: (name, profile) => reviewProfile(profile, settings.of(name)),
    mustStay: ({ intent }) => intent.lockdown !== undefined && !releases.releases.has(intent.name),
    log,
    clock: Date.now,
  });
  await store.scan();
  return { intents: store.names().flatMap((name) => store.get(name)?.intent ?? []), releases };
}
