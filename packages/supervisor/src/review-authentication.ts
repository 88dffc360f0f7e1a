import { readServerName } from '@aovpn/eap';
import type { CertificateChoice, CriterionResult } from '@aovpn/policy';
import type { EapSettings, EapTlsSettings, InnerEapSettings, Profile, ServerValidation } from '@aovpn/profile';
import { authenticationOf, type AuthenticationPlan } from './authentication.ts';
import { outerIdentity } from './compile-eap-config.ts';
import { problem } from './problem-catalogue.ts';
import { problemOfCertificateChoice } from './problem-of.ts';
import type { Problem } from './problem.ts';
import { gatewayNamesOf } from './review-profile.ts';

/** One thing that was looked at without connecting. */
export interface AuthenticationCheck {
  readonly name: string;
  readonly verdict: 'ok' | 'warning' | 'failed';
  readonly found: string;
  readonly cure?: string;
}

/** A root certificate that is known here. Times are milliseconds since 1970. */
export interface RootFacts {
  /** Lower-case hexadecimal. */
  readonly sha1: string;
  readonly subject: string;
  readonly selfSigned: boolean;
  readonly notBefore: number;
  readonly notAfter: number;
}

/** What is there to authenticate with; no secrets. */
export interface AuthenticationFacts {
  /** Milliseconds since 1970. */
  readonly now: number;
  /** From the settings or beside the profile. */
  readonly userName?: string;
  /** Where a password may come from, in the order in which they are asked. */
  readonly passwordPlaces: readonly string[];
  /** Present when the profile uses a client certificate. */
  readonly choice?: CertificateChoice;
  /** Sources of keys that could not be looked into. */
  readonly keyProblems: readonly {
    readonly source: string;
    readonly code: string;
    readonly what: string;
    readonly cure: string;
  }[];
  /** Roots for the RADIUS server: those of `place`, the profile's own or the system's. */
  readonly radiusRoots: { readonly roots: readonly RootFacts[]; readonly place: string; readonly isSystem: boolean };
  readonly gatewayRoots: { readonly roots: readonly RootFacts[]; readonly place: string; readonly isSystem: boolean };
}

const day = 86_400_000;
/** A certificate that ends within this time deserves a warning. */
const soon = 14 * day;

/** Finds what would fail on the way to the RADIUS server, as far as that can be told without asking it. */
export function reviewAuthentication(profile: Profile, facts: AuthenticationFacts): readonly AuthenticationCheck[] {
  const plan = authenticationOf(profile);
  if ('problem' in plan) return [failure('authentication', plan.problem)];
  const checks: AuthenticationCheck[] = [{ name: 'authentication', verdict: 'ok', found: plan.kind }];
  if (facts.choice) checks.push(...checkCertificate(facts.choice, facts));
  if (plan.usesPassword) checks.push(...checkPassword(profile, facts));
  for (const [where, validation] of validationsOf(profile)) {
    const anybody = checkAnybody(where, validation, plan, facts);
    if (anybody) checks.push(anybody);
    else checks.push(...checkRoots(where, validation, facts), ...checkNames(where, validation, profile));
  }
  return checks;
}

function checkCertificate(choice: CertificateChoice, { keyProblems, now }: AuthenticationFacts): readonly AuthenticationCheck[] {
  const name = 'certificate';
  const { outcome } = choice;
  const obstacle = problemOfCertificateChoice(choice);
  const checks: AuthenticationCheck[] = keyProblems.map(({ source, code, what, cure }) => ({
    name: 'key source',
    verdict: obstacle ? 'failed' : 'warning',
    found: `${source}: ${what} [${code}]`,
    cure,
  }));
  if (obstacle || outcome.kind !== 'chosen') return obstacle ? [...checks, failure(name, obstacle)] : checks;
  const { candidate, objections } = outcome;
  const title = candidate.userPrincipalNames[0] ?? candidate.commonName ?? candidate.subject;
  for (const { criterion, reason } of objections) {
    const isFatal = criterion === 'validity';
    checks.push({
      name,
      verdict: isFatal ? 'failed' : 'warning',
      found: `${title} (${candidate.source}) was named, although: ${reason}`,
      cure: isFatal ? problem('certificateExpired').cure : 'See what the profile wants: aovpn explain certificate',
    });
  }
  for (const { criterion, reason, windows } of judgedWarnings(choice)) {
    const found = windows === undefined ? reason : `${reason} [Windows ${windows}]`;
    const cure =
      criterion === 'authorities'
        ? 'Get a certificate from an authority that is valid, with the certificates above it. Or the clock of this machine is wrong.'
        : 'Let the authority put the user principal name into it.';
    checks.push({ name, verdict: 'warning', found, cure });
  }
  if (objections.length > 0) return checks;
  const left = candidate.notAfter - now;
  return [
    ...checks,
    left < soon
      ? {
          name,
          verdict: 'warning',
          found: `${title} (${candidate.source}): valid for ${durationText(left)} more`,
          cure: 'Renew it in time.',
        }
      : { name, verdict: 'ok', found: `${title} (${candidate.source}): valid for ${durationText(left)} more` },
  ];
}

function judgedWarnings({ judged, outcome }: CertificateChoice): readonly CriterionResult[] {
  if (outcome.kind !== 'chosen') return [];
  const own = judged.find(({ candidate }) => candidate.id === outcome.candidate.id);
  return own?.criteria.filter(({ met }) => met === 'warning') ?? [];
}

function checkPassword(profile: Profile, { userName, passwordPlaces }: AuthenticationFacts): readonly AuthenticationCheck[] {
  const eap = profile.nativeProfile?.authentication?.eap?.value;
  const anonymous = eap?.method === 'peap' ? eap.anonymousUserName : eap?.method === 'ttls' ? eap.anonymousIdentity : undefined;
  const user: AuthenticationCheck =
    userName === undefined
      ? failure('user name', problem('noUserName'))
      : {
          name: 'user name',
          verdict: 'ok',
          found: anonymous === undefined ? userName : `${userName}; outside of the tunnel ${outerIdentity(anonymous, userName)}`,
        };
  return [
    user,
    passwordPlaces.length === 0
      ? failure('password', problem('noPassword'))
      : { name: 'password', verdict: 'ok', found: `from ${passwordPlaces.join(', then ')}` },
  ];
}

/** Every trust in a RADIUS server that the profile speaks of. */
function validationsOf(profile: Profile): readonly (readonly [where: string, validation: ServerValidation])[] {
  const eap: EapSettings | undefined = profile.nativeProfile?.authentication?.eap?.value;
  if (!eap || eap.method === 'mschapv2' || eap.method === 'unsupported') return [];
  const inner =
    eap.method === 'peap' ? eap.inner : eap.method === 'ttls' && eap.phase2.kind === 'eap' ? eap.phase2.inner : undefined;
  const outer = ['RADIUS server', eap.serverValidation] as const;
  return isTls(inner) ? [outer, ['RADIUS server, inner TLS', inner.serverValidation]] : [outer];
}

function isTls(inner: InnerEapSettings | undefined): inner is EapTlsSettings {
  return inner?.method === 'tls';
}

/** Validation is on, and nothing narrows it down. */
function checkAnybody(
  where: string,
  { performServerValidation, trustedRootCa, serverNames, acceptServerName }: ServerValidation,
  { usesPassword }: AuthenticationPlan,
  { radiusRoots, gatewayRoots }: AuthenticationFacts,
): AuthenticationCheck | undefined {
  const isNamed = serverNames.length > 0 && acceptServerName !== false;
  if (performServerValidation === false || trustedRootCa.length > 0 || isNamed) return undefined;
  if (!radiusRoots.isSystem || radiusRoots.roots.length === 0) return undefined;
  const risk = usesPassword ? ', and can work out the password' : '';
  return {
    name: `${where}: trust`,
    verdict: 'warning',
    found: `whoever has a certificate of any of the system's ${radiusRoots.roots.length} authorities is believed${risk}: there is neither TrustedRootCA nor ServerNames nor NAME.radius-ca.pem${confusion(gatewayRoots)}`,
    cure: 'Add TrustedRootCA and ServerNames to the profile, or put the root of the RADIUS server into NAME.radius-ca.pem.',
  };
}

function confusion({ isSystem, place }: AuthenticationFacts['gatewayRoots']): string {
  return isSystem ? '' : `; ${place} counts for the gateway only`;
}

function checkRoots(where: string, validation: ServerValidation, facts: AuthenticationFacts): readonly AuthenticationCheck[] {
  const name = `${where}: root`;
  const { radiusRoots, gatewayRoots, now } = facts;
  if (validation.performServerValidation === false) {
    return [
      {
        name,
        verdict: 'warning',
        found: 'its certificate is not checked: PerformServerValidation is false',
        cure: 'Set PerformServerValidation to true, with TrustedRootCA and ServerNames.',
      },
    ];
  }
  const line = validation.at ? `, line ${validation.at.line}` : '';
  if (validation.trustedRootCa.length === 0) return [checkAnyRoot(name, facts)];
  const known = radiusRoots.roots.filter(({ sha1 }) => validation.trustedRootCa.includes(sha1));
  if (known.length === 0) {
    const elsewhere = gatewayRoots.roots.find(({ sha1 }) => validation.trustedRootCa.includes(sha1));
    if (elsewhere) {
      return [
        {
          name,
          verdict: 'failed',
          found: `TrustedRootCA (${elsewhere.sha1}${line}) is ${elsewhere.subject}, which is known for the gateway (${gatewayRoots.place}), not for RADIUS (${radiusRoots.place})`,
          cure: 'Trust in the two is separate: put that root into NAME.radius-ca.pem as well.',
        },
      ];
    }
    return [
      {
        name,
        verdict: 'failed',
        found: `none of ${radiusRoots.roots.length} roots in ${radiusRoots.place} has a thumbprint of TrustedRootCA (${validation.trustedRootCa.join(', ')}${line})`,
        cure: 'Put the root above the certificate of the RADIUS server into NAME.radius-ca.pem, and check that TrustedRootCA is its SHA-1 thumbprint.',
      },
    ];
  }
  return known.map((root) => checkRoot(name, root, now));
}

/** The profile names no root. */
function checkAnyRoot(name: string, { radiusRoots, gatewayRoots }: AuthenticationFacts): AuthenticationCheck {
  if (radiusRoots.roots.length === 0) {
    return {
      name,
      verdict: 'failed',
      found: `no root is known for it (${radiusRoots.place})`,
      cure: 'Put the root above the certificate of the RADIUS server into NAME.radius-ca.pem.',
    };
  }
  if (!radiusRoots.isSystem) return { name, verdict: 'ok', found: `any of ${radiusRoots.roots.length} in ${radiusRoots.place}` };
  return {
    name,
    verdict: 'warning',
    found: `any of the system's ${radiusRoots.roots.length} roots will do${confusion(gatewayRoots)}`,
    cure: 'Add TrustedRootCA to the profile, or put the root of the RADIUS server into NAME.radius-ca.pem.',
  };
}

function checkRoot(name: string, { subject, selfSigned, notBefore, notAfter }: RootFacts, now: number): AuthenticationCheck {
  if (now > notAfter || now < notBefore) {
    return {
      name,
      verdict: 'failed',
      found: `${subject} is ${now > notAfter ? 'past its time' : 'not valid yet'}`,
      cure: 'Use the root that has replaced it, in the profile and in NAME.radius-ca.pem. Or the clock of this machine is wrong.',
    };
  }
  if (/Microsoft VPN root CA/i.test(subject)) {
    return {
      name,
      verdict: 'warning',
      found: `${subject} issues short-lived client certificates, no certificates of RADIUS servers`,
      cure: 'TrustedRootCA must be the root above the certificate of the RADIUS server.',
    };
  }
  if (!selfSigned) {
    return {
      name,
      verdict: 'warning',
      found: `${subject} is no root, but an intermediate authority`,
      cure: 'Windows wants a root in TrustedRootCA.',
    };
  }
  return { name, verdict: 'ok', found: subject };
}

function checkNames(where: string, validation: ServerValidation, profile: Profile): readonly AuthenticationCheck[] {
  const name = `${where}: names`;
  const { serverNames, performServerValidation, acceptServerName } = validation;
  if (performServerValidation === false) return [];
  if (serverNames.length === 0 || acceptServerName === false) {
    const why = serverNames.length === 0 ? 'ServerNames is empty' : 'AcceptServerName is false';
    return [
      {
        name,
        verdict: 'warning',
        found: `any name will do: ${why}`,
        cure: 'Write the names of the RADIUS servers into ServerNames.',
      },
    ];
  }
  const faults = serverNames.flatMap((entry) => {
    const reading = readServerName(entry);
    if (reading.kind === 'unusable') return [`"${entry}" is not understood: ${reading.fault.why}`];
    if (reading.kind === 'expression' && !reading.canMatch) return [`"${entry}" can match no name`];
    return [];
  });
  const gateways = new Set(gatewayNamesOf(profile).map((gateway) => gateway.toLowerCase()));
  if (faults.length > 0) {
    return [
      {
        name,
        verdict: faults.length === serverNames.length ? 'failed' : 'warning',
        found: faults.join('; '),
        cure: 'Write the host names that are in the certificates of the RADIUS servers.',
      },
    ];
  }
  if (serverNames.every((entry) => gateways.has(entry.toLowerCase()))) {
    return [
      {
        name,
        verdict: 'warning',
        found: `${serverNames.join('; ')} is the name of the gateway`,
        cure: 'ServerNames must be the names of the RADIUS servers, unless the gateway is one itself.',
      },
    ];
  }
  return [{ name, verdict: 'ok', found: serverNames.join('; ') }];
}

function failure(name: string, { message, code, windows, cure }: Problem): AuthenticationCheck {
  return { name, verdict: 'failed', found: `${message} [${code}${windows === undefined ? '' : `, Windows ${windows}`}]`, cure };
}

function durationText(milliseconds: number): string {
  const minutes = Math.max(0, Math.floor(milliseconds / 60_000));
  if (milliseconds >= 2 * day) return `${Math.floor(milliseconds / day)} days`;
  return minutes >= 120 ? `${Math.floor(minutes / 60)} hours` : `${minutes} minutes`;
}
