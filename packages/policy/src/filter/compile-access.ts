import type { NumberRange } from '@aovpn/profile';
import type { AccessEntry } from '../plan.ts';
import type { SecurityEntry } from './filter-intent.ts';
import { wellKnownIdentities, type IdentityFacts } from './identity.ts';
import { mergeNumberRanges, subtractNumberRanges } from './number-ranges.ts';

/** A list of SIDs as users and groups; `unknown` lists the SIDs that mean nobody here. */
export interface CompiledAccess {
  /** Undefined: it would fit nobody, or it denies somebody who is not known. */
  readonly entries: readonly AccessEntry[] | undefined;
  readonly unknown: readonly string[];
}

/** An unknown SID grants nothing; where it is denied, nothing at all is granted, as nobody can tell who was meant. */
export function compileAccess(written: readonly SecurityEntry[], identities: IdentityFacts): CompiledAccess {
  const entries: AccessEntry[] = [];
  const unknown: string[] = [];
  let deniesUnknown = false;
  for (const { allow, sid } of written) {
    const known = identities.get(sid) ?? wellKnownIdentities.get(sid);
    if (!known) {
      unknown.push(sid);
      deniesUnknown ||= !allow;
    } else entries.push({ allow, users: mergeNumberRanges(known.users), groups: mergeNumberRanges(known.groups) });
  }
  const grants = entries.some(({ allow, users, groups }) => allow && users.length + groups.length > 0);
  return { entries: grants && !deniesUnknown ? entries : undefined, unknown: [...new Set(unknown)] };
}

/** The users that a list allows by user id alone; who is allowed only by the group of a socket is not among them. */
export function allowedUsers(entries: readonly AccessEntry[]): readonly NumberRange[] {
  let allowed: readonly NumberRange[] = [];
  let decided: readonly NumberRange[] = [];
  for (const { allow, users } of entries) {
    if (allow) allowed = mergeNumberRanges([...allowed, ...subtractNumberRanges(users, decided)]);
    decided = mergeNumberRanges([...decided, ...users]);
  }
  return allowed;
}
