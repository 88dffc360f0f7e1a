import { parsePrefix, type IpPrefix } from '@aovpn/bytes';
import { asciiNameOf, type Profile } from '@aovpn/profile';
import { normaliseDomain } from '../domain-name.ts';
import type { Intent } from '../intent.ts';

/**
 * What one profile promises must not be seen on a link, from the profile itself and not from what is in force: a fault in what puts
 * it into force must not excuse itself. docs/security.md says the same for people.
 */
export interface LeakPromise {
  readonly profile: string;
  /**
   * `lockdown`: nothing, whatever the tunnel does. `force`: nothing while the tunnel is up or recovering. `split`: nothing to the
   * routes of the profile, and no name under its rules, while the tunnel is up or recovering.
   */
  readonly kind: 'lockdown' | 'force' | 'split';
  /** What is held inside. */
  readonly held: readonly IpPrefix[];
  /** What the profile itself lets out of that (ExclusionRoute). */
  readonly excluded: readonly IpPrefix[];
  /** Whether private networks that are directly attached stay direct (ByPassForLocal). */
  readonly attachedDirect: boolean;
  /** Names that are asked through the tunnel only, and exemptions (`inside` false). */
  readonly names: readonly { readonly name: string; readonly inside: boolean }[];
  /** Names of the gateway, lower case: somebody has to ask for them outside. */
  readonly gatewayNames: readonly string[];
}

const everything = [parsePrefix('0.0.0.0/0')!, parsePrefix('::/0')!];

/** @param intent what the profile comes to @param released root has released LockDown of this profile: it is a force tunnel then */
export function leakPromise(profile: Profile, intent: Intent, released = false): LeakPromise {
  const lockdown = profile.lockDown?.value === true && !released;
  const force = intent.routing.value === 'ForceTunnel';
  const servers = profile.nativeProfile?.servers?.value ?? [];
  return {
    profile: intent.name,
    kind: lockdown ? 'lockdown' : force ? 'force' : 'split',
    held: lockdown || force ? everything : intent.routes.map(({ prefix }) => prefix),
    excluded: lockdown ? [] : intent.exclusions.map(({ prefix }) => prefix),
    attachedDirect: !lockdown && intent.byPassForLocal.value,
    names: intent.nameRules.map((rule) => ({ name: rule.name, inside: rule.servers.length > 0 })),
    gatewayNames: servers.flatMap(({ host }) => normaliseDomain(asciiNameOf(profile, host.trim())) ?? []),
  };
}
