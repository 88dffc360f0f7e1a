import { unrestricted, type Announcement } from './announcement.ts';
import { isWebUrl, type PortalApiAnswer } from './portal-api.ts';

/** What was found out about a network. Everything in it comes from whoever runs that network, except that the API is who its certificate says. */
export interface PortalFindings {
  readonly announcements: readonly Announcement[];
  /** What each API said that was asked, by its URI. */
  readonly apis: readonly { readonly uri: string; readonly answer: PortalApiAnswer | { readonly problem: string } }[];
  /** Absent: no probe is set. */
  readonly probe?: ProbeOutcome;
}

export type ProbeOutcome =
  /** The very answer that was expected. */
  | { readonly kind: 'expected' }
  | { readonly kind: 'redirect'; readonly location: string }
  /** Something else: a page put in its place. */
  | { readonly kind: 'other'; readonly what: string }
  | { readonly kind: 'failed'; readonly why: string };

export interface PortalVerdict {
  /** `captive`: a sign-in is wanted. `open`: the internet is there. `unknown`: nobody said. */
  readonly kind: 'captive' | 'open' | 'unknown';
  /** Where a person signs in; http or https. Absent: whatever page is asked for shows it. */
  readonly portalUrl?: string;
  readonly trace: readonly string[];
}

/**
 * Whether this network wants a sign-in. The probe weighs more than what an API says: it is what programs will meet. Nothing that a network says
 * opens anything; the verdict tells a person.
 */
export function judgePortal(findings: PortalFindings): PortalVerdict {
  const trace: string[] = [];
  let said: 'captive' | 'open' | undefined;
  let portalUrl: string | undefined;
  for (const { source, device, uri } of findings.announcements) {
    const where = `${sourceNames[source]} on ${device}`;
    if (uri === unrestricted) {
      trace.push(`${where}: no portal here`);
      said ??= 'open';
      continue;
    }
    const asked = findings.apis.find((api) => api.uri === uri);
    if (!isWebUrl(uri, ['https:'])) trace.push(`${where}: ${uri} is no https URL, not asked`);
    else if (!asked) trace.push(`${where}: ${uri}, not asked`);
    else if ('problem' in asked.answer) trace.push(`${where}: ${uri}: ${asked.answer.problem}`);
    else {
      const { captive, userPortalUrl } = asked.answer;
      trace.push(
        `${where}: ${uri} says ${captive ? 'captive' : 'not captive'}${userPortalUrl ? `, sign in at ${userPortalUrl}` : ''}`,
      );
      if (captive) {
        said = 'captive';
        portalUrl ??= userPortalUrl;
      } else said ??= 'open';
    }
  }
  if (findings.announcements.length === 0) trace.push('no DHCP server and no router names a portal (RFC 8910)');
  const { probe } = findings;
  switch (probe?.kind) {
    case undefined:
      trace.push('no probe is set ([portal] probe-url)');
      break;
    case 'expected':
      trace.push('the probe got its answer: the internet is there');
      return { kind: 'open', trace };
    case 'redirect': {
      const usable = isWebUrl(probe.location);
      trace.push(usable ? `the probe was sent to ${probe.location}` : 'the probe was sent to something that is no web page');
      return verdict('captive', portalUrl ?? (usable ? probe.location : undefined), trace);
    }
    case 'other':
      trace.push(`the probe got something else: ${probe.what}`);
      return verdict('captive', portalUrl, trace);
    case 'failed':
      trace.push(`the probe failed: ${probe.why}`);
      break;
  }
  return verdict(said ?? 'unknown', portalUrl, trace);
}

function verdict(kind: PortalVerdict['kind'], portalUrl: string | undefined, trace: readonly string[]): PortalVerdict {
  return { kind, ...(kind === 'captive' && portalUrl !== undefined && { portalUrl }), trace };
}

const sourceNames = {
  dhcpv4: 'DHCP (option 114)',
  dhcpv6: 'DHCPv6 (option 103)',
  ra: 'router advertisement (option 37)',
} as const;
