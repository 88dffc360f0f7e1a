import { existsSync, readFileSync } from 'node:fs';

export interface LinkSpeed {
  readonly kind: 'wired' | 'wireless';
  /** Mbit/s; absent where the driver does not tell (most wireless ones do not). */
  readonly megabits?: number;
}

/** What the kernel says about a link in sysfs (Documentation/ABI/testing/sysfs-class-net). */
export function readLinkSpeed(device: string): LinkSpeed {
  // A name with a slash in it is none, and would lead elsewhere.
  if (device.includes('/')) return { kind: 'wired' };
  const directory = `/sys/class/net/${device}`;
  const kind = existsSync(`${directory}/wireless`) || existsSync(`${directory}/phy80211`) ? 'wireless' : 'wired';
  try {
    const megabits = Number(readFileSync(`${directory}/speed`, 'latin1'));
    return megabits > 0 ? { kind, megabits } : { kind };
  } catch {
    return { kind };
  }
}
