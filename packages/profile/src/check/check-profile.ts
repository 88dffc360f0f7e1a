import type { Report } from '../finding.ts';
import type { Position, Profile } from '../profile.ts';
import { checkAuthentication } from './check-authentication.ts';
import type { CheckContext } from './check.ts';
import { checkCryptographySuite } from './check-cryptography-suite.ts';
import { checkNameRules } from './check-name-rules.ts';
import { checkProtocol } from './check-protocol.ts';
import { checkRouting } from './check-routing.ts';
import { checkTrafficFilters } from './check-traffic-filters.ts';
import { checkTunnelKind } from './check-tunnel-kind.ts';

/** Finds what contradicts itself in a profile whose single values are all right. */
export function checkProfile(profile: Profile, root: Position, report: Report): void {
  const context: CheckContext = { profile, root, report };
  checkTunnelKind(context);
  checkProtocol(context);
  checkAuthentication(context);
  checkCryptographySuite(context);
  checkRouting(context);
  checkTrafficFilters(context);
  checkNameRules(context);
}
