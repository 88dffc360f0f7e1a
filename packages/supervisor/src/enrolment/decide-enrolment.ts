import type { EnrolmentFailure } from '@aovpn/policy';

/** Milliseconds since the epoch, everywhere here. */
type Moment = number;

/** What is known of one enrolment. */
export interface EnrolmentFacts {
  /** The certificate that is in use. */
  readonly certificate?: { readonly notBefore: Moment; readonly notAfter: Moment };
  /** There is a secret to enrol with, besides the certificate. */
  readonly hasSecret: boolean;
  /** Of the certificate's lifetime, the part at its end in which it is renewed: more than 0, less than 1. */
  readonly renewBefore: number;
  /** 0 to 1, the same for as long as the certificate is: so that not everybody comes at the same moment. */
  readonly spread: number;
  /** The last try, if it brought no certificate and nothing that it rests on has changed since. */
  readonly last?: LastTry;
}

export interface LastTry {
  readonly at: Moment;
  /** `pending`: the authority has the request and has not decided. */
  readonly outcome: EnrolmentFailure | 'pending';
  /** Tries with this outcome in a row. */
  readonly times: number;
  /** 0 to 1, drawn for this try. */
  readonly random: number;
  /** What the server asked for, milliseconds. */
  readonly retryAfter?: number;
}

export type EnrolmentPlan =
  /** `at`: from then on; it may be over. */
  | { readonly kind: 'enrol' | 'renew'; readonly at: Moment; readonly why: string }
  /** Nothing is done until somebody changes something. */
  | { readonly kind: 'stuck'; readonly reason: 'no-secret' | 'secret-refused' | 'expired'; readonly why: string };

/** Our own choices, milliseconds. */
const enrolmentLimits = {
  /** First time between two tries; doubled each time. */
  retry: 60_000,
  longestRetry: 6 * 3_600_000,
  /** However soon the certificate ends. */
  shortestRetry: 5_000,
  /** However long the server says. */
  longestRetryAfter: 24 * 3_600_000,
} as const;
/** Of the time in which a certificate is renewed, the part over which machines spread. */
const spreadPart = 0.25;
/** Of the time that is left to the certificate, what may pass until the next try: several more come before it ends. */
const retryPart = 0.2;

/**
 * When a certificate is asked for next, and with what. One that is valid is renewed by itself (RFC 7030 §3.3.2); one that has expired proves nothing any more, so
 * that only a secret helps. A secret that was refused is not tried again: it may be locked, or be known to be guessed.
 */
export function decideEnrolment(facts: EnrolmentFacts, now: Moment): EnrolmentPlan {
  const { certificate, hasSecret, last } = facts;
  if (!certificate || certificate.notAfter <= now) {
    const what = certificate ? 'the certificate has expired' : 'there is no certificate yet';
    if (!hasSecret)
      return certificate
        ? { kind: 'stuck', reason: 'expired', why: `${what}, and there is no secret to enrol with` }
        : { kind: 'stuck', reason: 'no-secret', why: `${what}, and no secret to enrol with` };
    if (last?.outcome === 'secret-refused')
      return { kind: 'stuck', reason: 'secret-refused', why: `${what}, and the secret was refused` };
    if (!last) return { kind: 'enrol', at: now, why: what };
    return { kind: 'enrol', at: last.at + pause(last), why: `${what}; ${outcomeText[last.outcome]}` };
  }
  const due = renewalTime(certificate, facts);
  if (!last) return { kind: 'renew', at: due, why: 'the certificate is in order' };
  const left = certificate.notAfter - last.at;
  const next = last.at + Math.max(enrolmentLimits.shortestRetry, Math.min(pause(last), left * retryPart), askedFor(last, left));
  return { kind: 'renew', at: Math.max(due, next), why: `the certificate is still valid; ${outcomeText[last.outcome]}` };
}

function renewalTime(
  { notBefore, notAfter }: NonNullable<EnrolmentFacts['certificate']>,
  { renewBefore, spread }: EnrolmentFacts,
): Moment {
  const window = (notAfter - notBefore) * renewBefore;
  return Math.round(notAfter - window + window * spreadPart * spread);
}

/** Exponential, between half and one and a half of it; not before the server wants it. */
function pause(last: LastTry): number {
  const nominal = Math.min(enrolmentLimits.longestRetry, enrolmentLimits.retry * 2 ** Math.min(30, last.times - 1));
  const asked = Math.min(last.retryAfter ?? 0, enrolmentLimits.longestRetryAfter);
  // What is pending is asked for when the server said, not more seldom each time.
  if (last.outcome === 'pending' && last.retryAfter !== undefined) return Math.max(enrolmentLimits.shortestRetry, asked);
  return Math.max(asked, Math.round(nominal * (0.5 + last.random)));
}

/** What the server asked for, as long as the certificate lives on after it. */
function askedFor({ retryAfter }: LastTry, left: number): number {
  return retryAfter !== undefined && retryAfter < left ? Math.min(retryAfter, enrolmentLimits.longestRetryAfter) : 0;
}

const outcomeText: { readonly [O in LastTry['outcome']]: string } = {
  unreachable: 'the server could not be reached',
  untrusted: 'the server has not proven who it is',
  'secret-refused': 'the server refused the secret',
  refused: 'the server refused the request',
  unproven: 'the name could not be proven to the authority',
  unusable: "the server's answer could not be used",
  host: 'this machine could not do it',
  pending: 'the authority has not decided yet',
};
