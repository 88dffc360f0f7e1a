import type { Because } from '../facts.ts';
import { formatBecause } from '../facts.ts';
import type { Intent } from '../intent.ts';

/** A DNS suffix that a network gave one of the machine's physical links. */
export interface LinkSuffix {
  readonly device: string;
  /** Lower case, no dots at the ends. */
  readonly suffix: string;
  /** Who says so, for people: `systemd-networkd`, `NetworkManager`, … */
  readonly source: string;
}

/** What an authenticated beacon has to say: a server that only the trusted network has, and that proves itself by TLS. */
export type BeaconAnswer =
  | { readonly kind: 'proven'; readonly what: string }
  | { readonly kind: 'refuted'; readonly what: string }
  /** It is being asked. */
  | { readonly kind: 'asking' };

/**
 * Whether the machine stands in a network of its organisation, so that nobody needs the tunnel. `asking`: not known yet. `spoofable`: it rests
 * on a name that any network can hand out.
 */
export interface TrustVerdict {
  readonly kind: 'trusted' | 'untrusted' | 'asking';
  readonly spoofable: boolean;
  /** One sentence for people. */
  readonly why: string;
  readonly because?: Because;
  /** Each fact that led to it, one a line, the conclusion last. */
  readonly trace: readonly string[];
}

/** What the decision looks at. */
export interface TrustInput {
  readonly intent: Pick<Intent, 'trustedNetworks' | 'lockdown'>;
  readonly suffixes: readonly LinkSuffix[];
  /** Absent: the profile has none, and names alone decide. */
  readonly beacon?: BeaconAnswer;
}

/** Whether the beacon is worth asking: it is private to the organisation, so its name is spoken only where a suffix fits, if there is one. */
export function wantsBeacon({ intent, suffixes }: Pick<TrustInput, 'intent' | 'suffixes'>): boolean {
  if (intent.lockdown) return false;
  return intent.trustedNetworks.length === 0 || matches(intent, suffixes).length > 0;
}

/**
 * TrustedNetworkDetection: the whole DNS suffix of a physical link equals an entry of the list, upper and lower case alike. With a beacon that
 * is only the hint, and the beacon decides. LockDown knows no trusted network, as in Windows.
 */
export function decideTrustedNetwork({ intent, suffixes, beacon }: TrustInput): TrustVerdict {
  const trace = suffixes.map(({ device, suffix, source }) => `${device} has the DNS suffix ${suffix} (${source})`);
  if (suffixes.length === 0) trace.push('no physical link has a DNS suffix');
  const verdict = (kind: TrustVerdict['kind'], why: string, spoofable = false, because?: Because): TrustVerdict => {
    trace.push(why);
    return { kind, spoofable, why, ...(because && { because }), trace };
  };
  if (intent.lockdown) return verdict('untrusted', 'LockDown trusts no network');
  const list = intent.trustedNetworks;
  if (list.length === 0 && !beacon) return verdict('untrusted', 'the profile names no trusted network');
  for (const { value, because } of list) trace.push(`${value} is trusted: ${formatBecause(because)}`);
  const [hit] = matches(intent, suffixes);
  if (list.length > 0 && !hit) return verdict('untrusted', 'no link has a trusted suffix');
  const named = hit ? `${hit.link.device} has the trusted DNS suffix ${hit.entry.value}` : undefined;
  const because = hit?.entry.because;
  if (!beacon) {
    trace.push('a suffix proves nothing: any network can hand it out');
    return verdict('trusted', `${named!}, which any network can hand out`, true, because);
  }
  const prefix = named === undefined ? '' : `${named}, and `;
  switch (beacon.kind) {
    case 'proven':
      return verdict('trusted', `${prefix}${beacon.what}`, false, because);
    case 'refuted':
      return verdict('untrusted', `${named === undefined ? '' : `${named}, but `}${beacon.what}`, false, because);
    case 'asking':
      return verdict('asking', `${prefix}the beacon is being asked`, false, because);
  }
}

function matches(
  { trustedNetworks }: Pick<Intent, 'trustedNetworks'>,
  suffixes: readonly LinkSuffix[],
): readonly { readonly link: LinkSuffix; readonly entry: Intent['trustedNetworks'][number] }[] {
  return trustedNetworks.flatMap((entry) =>
    suffixes.filter(({ suffix }) => suffix === entry.value).map((link) => ({ link, entry })),
  );
}
