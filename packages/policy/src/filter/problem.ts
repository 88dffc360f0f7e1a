import type { Position } from '@aovpn/profile';

/** Something wrong with a filter, an app or a route of a profile that only its meaning or the facts of this machine can tell. */
export interface FilterProblem {
  /** Stable, of the form `AOV-POLICY-<number>`; all of them are in docs/errors.md. */
  readonly code: FilterProblemCode;
  /** `error`: the filter lets nothing through. `warning`: not what its author may think. `info`: worth knowing. */
  readonly severity: FilterSeverity;
  readonly profile: string;
  /** {@link nowhere} when it is about the settings and not about the profile's text. */
  readonly at: Position;
  /** Element names from the root, such as `VPNProfile/TrafficFilter[3]/Claims`. */
  readonly path: string;
  readonly message: string;
  readonly cure: string;
}

export type FilterSeverity = 'error' | 'warning' | 'info';

/** What can be wrong, one row each; docs/errors.md is written from it. */
export const filterProblems = {
  unknownApp: {
    code: 'AOV-POLICY-401',
    severity: 'error',
    title: 'Nothing on Linux is known for this application',
    cure: 'Add the application to a file in /etc/aovpn/apps.d (aovpn app learn), or write the absolute Linux path as Id.',
  },
  unusableApp: {
    code: 'AOV-POLICY-402',
    severity: 'error',
    title: 'This is no application id that can be matched exactly',
    cure: 'Write a full path without wildcards or a package family name.',
  },
  badClaims: {
    code: 'AOV-POLICY-403',
    severity: 'error',
    title: 'Claims is not a security descriptor that can be understood',
    cure: 'Write a discretionary list such as D:(A;;CC;;;S-1-5-21-…).',
  },
  unknownSid: {
    code: 'AOV-POLICY-404',
    severity: 'error',
    title: 'No user or group of this machine is known for a SID',
    cure: 'Add the SID to a file in /etc/aovpn/sids.d, or join the machine with SSSD.',
  },
  inboundClaims: {
    code: 'AOV-POLICY-405',
    severity: 'error',
    title: 'Claims cannot be checked for inbound traffic',
    cure: 'Name the application with App instead, or leave Claims out of the inbound filter.',
  },
  systemClaims: {
    code: 'AOV-POLICY-406',
    severity: 'error',
    title: 'SYSTEM and Claims together fit nobody',
    cure: 'Remove one of the two.',
  },
  familyMismatch: {
    code: 'AOV-POLICY-407',
    severity: 'error',
    title: 'Local and remote addresses of a filter have no family in common',
    cure: 'Write addresses of the same family, IPv4 or IPv6, on both sides.',
  },
  badRange: {
    code: 'AOV-POLICY-408',
    severity: 'error',
    title: 'A port or address range cannot be used',
    cure: 'Write addresses, prefixes or ranges a-b; ports only with Protocol 6 or 17.',
  },
  familyWithoutAddress: {
    code: 'AOV-POLICY-409',
    severity: 'info',
    title: 'A filter is about a family that the tunnel does not carry now',
    cure: 'Nothing needs to be done, unless the gateway should assign such an address.',
  },
  localNotAssigned: {
    code: 'AOV-POLICY-410',
    severity: 'warning',
    title: 'No local address of a filter is an address of the tunnel',
    cure: 'Remove LocalAddressRanges, or name the range from which the gateway assigns addresses.',
  },
  filterTwice: {
    code: 'AOV-POLICY-411',
    severity: 'info',
    title: 'A filter is written twice',
    cure: 'Remove the second.',
  },
  filterCovered: {
    code: 'AOV-POLICY-412',
    severity: 'info',
    title: 'Another filter already lets through everything that this one does',
    cure: 'Remove this filter, or narrow the other one if it was not meant to be that wide.',
  },
  contradictoryRouting: {
    code: 'AOV-POLICY-413',
    severity: 'warning',
    title: 'Filters want both split tunnel and force tunnel for the same application',
    cure: 'Write the same RoutingPolicyType in all filters of the application.',
  },
  forcedTwice: {
    code: 'AOV-POLICY-414',
    severity: 'warning',
    title: 'Two profiles want all traffic of the same application',
    cure: 'Leave ForceTunnel for the application in one of the profiles.',
  },
  tooManyForced: {
    code: 'AOV-POLICY-415',
    severity: 'error',
    title: 'More profiles want all traffic of applications than this machine can mark',
    cure: 'Remove profiles that have applications with ForceTunnel.',
  },
  unknownTrigger: {
    code: 'AOV-POLICY-416',
    severity: 'warning',
    title: 'Nothing on Linux is known for the application of a trigger',
    cure: 'Add the application to a file in /etc/aovpn/apps.d (aovpn app learn), or write the absolute Linux path as Id.',
  },
  everythingExcluded: {
    code: 'AOV-POLICY-421',
    severity: 'error',
    title: 'Exclusions of a force tunnel leave nothing for it, and do not count',
    cure: 'Remove the exclusion that is too wide, or write RoutingPolicyType SplitTunnel.',
  },
  localNetworkInside: {
    code: 'AOV-POLICY-422',
    severity: 'warning',
    title: 'A directly attached network lies inside a route of the tunnel and is reached through it',
    cure: 'Nothing, if the network is not known; to reach what is in it, write ByPassForLocal true or an ExclusionRoute.',
  },
  localNetworkDistrusted: {
    code: 'AOV-POLICY-423',
    severity: 'warning',
    title: 'ByPassForLocal does not count for a directly attached network',
    cure: 'Use another network; if this one is right, exclude it with an ExclusionRoute.',
  },
  nameWithoutAddress: {
    code: 'AOV-POLICY-424',
    severity: 'warning',
    title: 'A name of the settings does not resolve',
    cure: 'Check the spelling in aovpn.toml; it is asked again by itself, and what was known of it before stays.',
  },
  namedAddressRefused: {
    code: 'AOV-POLICY-425',
    severity: 'warning',
    title: 'An address of a name of the settings gets no route',
    cure: 'Nothing, if the answer is false; otherwise write a name rule (DomainNameInformation), so that name servers of the company are asked.',
  },
  proxyUnderSplit: {
    code: 'AOV-POLICY-426',
    severity: 'info',
    title: 'Proxy counts under force tunnel only, as in Windows',
    cure: 'Remove Proxy, or write RoutingPolicyType ForceTunnel; for names inside, write WebProxyServers into their DomainNameInformation.',
  },
  webProxyIgnored: {
    code: 'AOV-POLICY-427',
    severity: 'warning',
    title: 'WebProxyServers do not count beside AutoConfigUrl, whose script decides alone',
    cure: 'Let that script name the proxy, or write Manual instead of AutoConfigUrl.',
  },
  unusableProxy: {
    code: 'AOV-POLICY-428',
    severity: 'error',
    title: 'A proxy cannot be used',
    cure: 'Write host:port, or for AutoConfigUrl an http or https address.',
  },
  tooManyProblems: {
    code: 'AOV-POLICY-417',
    severity: 'warning',
    title: 'There is more to say about the filters than is kept',
    cure: 'Cure what is listed first.',
  },
  nameServerExcluded: {
    code: 'AOV-POLICY-440',
    severity: 'warning',
    title: 'A name server of the tunnel is in an excluded network: names inside are asked in the clear, outside the tunnel',
    cure: 'Take the name server out of the exclusion route, or name another one.',
  },
  nameServerNotCarried: {
    code: 'AOV-POLICY-441',
    severity: 'warning',
    title:
      'The negotiated traffic selectors leave a name server of the tunnel out: names inside are asked in the clear (under force tunnel: not at all)',
    cure: 'Let the gateway’s traffic selectors include the name server, or name another one.',
  },
  registersTwice: {
    code: 'AOV-POLICY-442',
    severity: 'warning',
    title: 'Another tunnel registers this machine in DNS already; this one does not',
    cure: 'Leave RegisterDNS in one of the profiles.',
  },
  registersNowhere: {
    code: 'AOV-POLICY-443',
    severity: 'warning',
    title: 'There is no name server to register this machine with',
    cure: 'Let the gateway assign a DNS server, or name one in DomainNameInformation for the domain in DnsSuffix.',
  },
} as const satisfies Record<string, { code: string; severity: FilterSeverity; title: string; cure: string }>;

export type FilterProblemName = keyof typeof filterProblems;
export type FilterProblemCode = (typeof filterProblems)[FilterProblemName]['code'];

/** Problems kept for one profile: a profile may have 50,000 filters. */
const limit = 200;

/** Collects the problems of one profile, up to a limit. */
export class FilterProblems {
  readonly #profile: string;
  readonly #found: FilterProblem[];

  constructor(profile: string, known: readonly FilterProblem[] = []) {
    this.#profile = profile;
    this.#found = [...known];
  }

  /** By line. */
  get list(): readonly FilterProblem[] {
    return this.#found.toSorted((a, b) => a.at.line - b.at.line || a.at.column - b.at.column);
  }

  add(name: FilterProblemName, at: Position, path: string, particulars: string): void {
    if (this.#found.length > limit) return;
    const full = this.#found.length === limit;
    const { code, severity, title, cure } = filterProblems[full ? 'tooManyProblems' : name];
    const message = full ? title : `${title}: ${particulars}`;
    this.#found.push({ code, severity, profile: this.#profile, at, path, message, cure });
  }
}

/** Not in the profile: in aovpn.toml, which `path` then names. */
export const nowhere: Position = { line: 0, column: 0 };

/** Such as `line 12 VPNProfile/Route`. */
export function placeOf({ at, path }: Pick<FilterProblem, 'at' | 'path'>): string {
  return at.line === 0 ? path : `line ${at.line} ${path}`;
}

/** The path of a child of the n-th filter, from 1. */
export function filterPath(number: number, element?: string): string {
  return `VPNProfile/TrafficFilter[${number}]${element === undefined ? '' : `/${element}`}`;
}

/** Text from a profile, short and on one line. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 120 ? `${text.slice(0, 120)}…` : text);
}
