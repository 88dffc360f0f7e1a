import type { Report } from '../finding.ts';
import type { Position, Profile } from '../profile.ts';

/** What every check is given. */
export interface CheckContext {
  readonly profile: Profile;
  /** Of the root element: where what is missing is reported. */
  readonly root: Position;
  readonly report: Report;
}

/** Whether the profile has such an element that could not be read: what it lacks has been said already then. */
export function isUnread(profile: Profile, parent: string, name: string): boolean {
  return profile.unknown.some((element) => element.parent === parent && element.name === name);
}

/** Whether everything is to go into the tunnel as far as the profile says so itself. */
export function isForceTunnel(profile: Profile): boolean {
  return profile.lockDown?.value === true || profile.nativeProfile?.routingPolicyType?.value === 'ForceTunnel';
}

/** Whether the profile is a device tunnel: up before anybody signs in. */
export function isDeviceTunnel(profile: Profile): boolean {
  return profile.deviceTunnel?.value === true;
}

/** Whether the profile is a lockdown profile: nothing leaves the machine outside of the tunnel. */
export function isLockDown(profile: Profile): boolean {
  return profile.lockDown?.value === true;
}
