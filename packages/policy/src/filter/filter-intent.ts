import type { IpRange } from '@aovpn/bytes';
import type { NumberRange, Position, RoutingPolicyType } from '@aovpn/profile';
import type { AppName } from '../app/app-name.ts';
import type { Because, Sourced } from '../facts.ts';

/** One TrafficFilter in our words: every condition that is present must hold. */
export interface FilterIntent {
  /** Its place among the filters of its profile, from 1. */
  readonly number: number;
  readonly direction: 'out' | 'in';
  readonly app?: Sourced<AppName>;
  /** Claims: the first entry that fits decides. */
  readonly access?: Sourced<readonly SecurityEntry[]>;
  readonly protocol?: number;
  readonly localPorts?: readonly NumberRange[];
  readonly remotePorts?: readonly NumberRange[];
  readonly local?: readonly IpRange[];
  readonly remote?: readonly IpRange[];
  /** Only with App or Claims. */
  readonly routing?: Sourced<RoutingPolicyType>;
  /** It cannot fit anything, for a reason that is among the problems. */
  readonly unusable?: string;
  readonly because: Because & { readonly at: Position };
}

export interface SecurityEntry {
  readonly allow: boolean;
  /** `S-1-…` in upper case, or a two-letter token relative to a domain. */
  readonly sid: string;
}

/** One AppTrigger. */
export interface TriggerIntent {
  readonly number: number;
  readonly app: Sourced<AppName>;
}
