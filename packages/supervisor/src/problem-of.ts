import type { EapFailure, Proof, TlsFailure } from '@aovpn/eap';
import type { GatewayRefusal, IkeEnd, IkeFailure } from '@aovpn/ike';
import type { CertificateChoice, NoCertificateCause } from '@aovpn/policy';
import type { AuthenticationKind } from './authentication.ts';
import { problem, type ProblemName } from './problem-catalogue.ts';
import type { Problem, Retry, Side } from './problem.ts';

/** A silent RADIUS server: gateways ask it again for about 14 s, and a refusal never takes so long. */
const radiusSilenceMs = 8000;
/** Longer than all retransmissions of IKE itself (about 11 s), shorter than the patience for a second factor. */
const eapSilenceSeconds = 20;

/** An IKE SA's end in people's words; undefined when we closed it ourselves. What a failure means depends on how we authenticate. */
export function problemOfEnd(end: IkeEnd, authentication: AuthenticationKind): Problem | undefined {
  switch (end.kind) {
    case 'closed':
    case 'redirected':
      return undefined;
    case 'peer-closed':
      return problem('peerClosed');
    case 'failed':
      return problemOf(end.failure, authentication);
  }
}

/** A failure of the IKE machine in people's words. */
export function problemOf(failure: IkeFailure, authentication: AuthenticationKind): Problem {
  switch (failure.kind) {
    case 'no-answer': {
      const detail = `${Math.round(failure.seconds)} seconds of silence`;
      if (failure.phase === 'auth' && !isWithoutEap(authentication) && failure.seconds >= eapSilenceSeconds) {
        return problem('eapRadiusSilent', detail);
      }
      const name = ({ init: 'noAnswerInit', auth: 'noAnswerAuth', established: 'noAnswerEstablished' } as const)[failure.phase];
      return problem(name, detail);
    }
    case 'no-proposal-chosen':
      return problem(failure.what === 'ike' ? 'noProposalIke' : 'noProposalChild');
    case 'invalid-ke':
      return problem('invalidKe', `group ${failure.wanted}`);
    case 'invalid-syntax':
      return problem('invalidSyntax', failure.detail);
    case 'gateway-refused':
      return problem(gatewayProblems[failure.refusal], failure.detail);
    case 'gateway-signature':
      return problem('gatewaySignature');
    case 'authentication-failed': {
      if (authentication === 'certificate' || failure.machine) return problem('refusedCertificate', failure.detail);
      if (authentication === 'shared-key') return problem('refusedSharedKey', failure.detail);
      const silence = silenceOf(failure);
      return silence ? problem('eapRadiusSilent', silence) : problem('refusedAfterEap', failure.detail);
    }
    case 'eap': {
      const silence = failure.failure.kind === 'rejected' ? silenceOf(failure) : undefined;
      return silence ? problem('eapRadiusSilent', silence) : problemOfEap(failure.failure);
    }
    case 'ts-unacceptable':
      return problem('tsUnacceptable');
    case 'no-address':
      return problem('noAddress');
    case 'not-supported':
      return problem(failure.what === 'ppk' ? 'ppkNotSpoken' : 'multipleAuthenticationNotSpoken');
    case 'signing':
      return problem('signing', failure.problem);
    case 'install':
      return problem('install', failure.problem);
    case 'notify':
      return problem('notify', `${failure.name} (${failure.type}) during ${failure.phase}`);
    case 'protocol':
      return problem('protocol', failure.detail);
  }
}

function isWithoutEap(authentication: AuthenticationKind): boolean {
  return authentication === 'certificate' || authentication === 'shared-key';
}

/** The gateway gave up only after a long silence: it waited for somebody itself. */
function silenceOf(failure: object): string | undefined {
  const quietMs = 'quietMs' in failure && typeof failure.quietMs === 'number' ? failure.quietMs : 0;
  if (quietMs < radiusSilenceMs) return undefined;
  return `the gateway gave up after ${Math.round(quietMs / 1000)} seconds of silence`;
}

function problemOfEap(failure: EapFailure): Problem {
  if (failure.tls) return problemOfTls(failure.tls);
  const { number, detail, kind } = failure;
  const numbered = number === undefined ? undefined : numberedProblems[number];
  if (numbered) return problem(numbered, detail);
  const name = failure.unexplained ? unexplainedProblems[failure.unexplained] : eapProblems[kind];
  return problem(name, detail, number !== undefined && number >= 600 && number < 1000 ? { windows: number } : undefined);
}

function problemOfTls({ reason, detail, alert }: TlsFailure): Problem {
  const byAlert = alert === undefined ? undefined : clientAlertProblems[alert];
  const isAboutUs = reason === 'client-certificate-refused' || reason === 'alert';
  return problem((isAboutUs && byAlert) || tlsProblems[reason], detail);
}

/** Why no certificate speaks for us; undefined when one does. */
export function problemOfCertificateChoice({ wish, outcome }: CertificateChoice): Problem | undefined {
  switch (outcome.kind) {
    case 'chosen':
      return undefined;
    case 'ambiguous':
      return problem('severalCertificates', outcome.why);
    case 'none': {
      // IKE has one number for everything that is wrong with a machine certificate.
      const changes = wish.purpose === 'ike' ? { windows: 13806 } : undefined;
      const name = outcome.cause === 'no-candidate' && wish.purpose === 'ike' ? 'noCertificate' : choiceProblems[outcome.cause];
      return problem(name, outcome.why, changes);
    }
  }
}

/** An error of the host room in people's words. `code`, `what` and `cure` are those of its own table. */
export function problemOfHost(error: { readonly code: string; readonly what: string; readonly cure: string }): Problem {
  const number = Number(/^AOV-HOST-(\d+)$/.exec(error.code)?.[1] ?? Number.NaN);
  const windows = number === 130 ? 13820 : number >= 110 && number < 140 ? 13806 : tokenGone.has(number) ? 798 : undefined;
  return {
    code: error.code,
    ...(windows !== undefined && { windows }),
    side: sideOfHost(number),
    message: error.what,
    cure: error.cure,
    retry: retryOfHost(number),
    ...(isOfMachine(number) && { everywhere: true }),
  };
}

/** 200–204: the tunnel's device; 300–329: routes, names and the proxy of a tunnel that a gateway has agreed to already. */
function isOfMachine(number: number): boolean {
  return (number >= 200 && number < 205) || (number >= 300 && number < 330);
}

/** 1xx: keys, trust, TLS; 152–154 and 157: the PIN of a token; 205, 212: no way to the gateway; 5xx: sources of passwords. */
function sideOfHost(number: number): Side {
  if (pinErrors.has(number) || (number >= 500 && number < 600)) return 'credentials';
  if (number >= 100 && number < 200) return 'certificate';
  return number === 205 || number === 212 ? 'network' : 'host';
}

function retryOfHost(number: number): Retry {
  // A token comes back, a keyring is unlocked, and a person may answer the next time; a wrong PIN must not be tried again.
  if (tokenGone.has(number) || number === 154 || (number >= 500 && number < 600)) return 'slow';
  return number >= 100 && number < 200 ? 'never' : 'soon';
}

const tokenGone: ReadonlySet<number> = new Set([151, 155]);
const pinErrors: ReadonlySet<number> = new Set([152, 153, 154, 157]);

const gatewayProblems: { readonly [R in GatewayRefusal]: ProblemName } = {
  'no-certificate': 'gatewayNoCertificate',
  untrusted: 'gatewayUntrusted',
  expired: 'gatewayExpired',
  'not-yet-valid': 'gatewayNotYetValid',
  'wrong-name': 'gatewayWrongName',
  'wrong-eku': 'gatewayWrongEku',
  revoked: 'gatewayRevoked',
  'revocation-unknown': 'gatewayRevocationUnknown',
  weak: 'gatewayWeak',
  malformed: 'gatewayMalformed',
};

const eapProblems: { readonly [K in EapFailure['kind']]: ProblemName } = {
  rejected: 'eapRejected',
  'wrong-password': 'eapWrongPassword',
  'password-expired': 'eapPasswordExpired',
  'account-restricted': 'eapAccountRestricted',
  'no-secret': 'eapNoSecret',
  'method-mismatch': 'eapMethodMismatch',
  'server-not-proven': 'eapServerNotProven',
  'cryptobinding-missing': 'eapCryptobindingMissing',
  'cryptobinding-invalid': 'eapCryptobindingInvalid',
  'identity-mismatch': 'eapIdentityMismatch',
  'out-of-order': 'eapOutOfOrder',
  malformed: 'eapMalformed',
  tls: 'eapTlsProtocol',
};

/** RADIUS often has no word for a wrong password or a certificate that it does not like: it rejects, and that is all. */
const unexplainedProblems: { readonly [P in Proof]: ProblemName } = {
  secret: 'eapSecretRefused',
  certificate: 'eapTlsClientCertificateRefused',
};

const tlsProblems: { readonly [R in TlsFailure['reason']]: ProblemName } = {
  untrusted: 'eapTlsUntrusted',
  expired: 'eapTlsExpired',
  'not-yet-valid': 'eapTlsNotYetValid',
  'wrong-eku': 'eapTlsWrongEku',
  weak: 'eapTlsWeak',
  'invalid-root': 'eapTlsInvalidRoot',
  'revocation-unknown': 'eapTlsRevocationUnknown',
  'wrong-name': 'eapTlsWrongName',
  revoked: 'eapTlsRevoked',
  'no-client-certificate': 'eapTlsNoClientCertificate',
  'client-certificate-refused': 'eapTlsClientCertificateRefused',
  alert: 'eapTlsAlert',
  protocol: 'eapTlsProtocol',
};

/** What the method itself says (RFC 2759 §6), in numbers that Windows shows too. */
const numberedProblems: Readonly<Record<number, ProblemName>> = {
  646: 'eapHours',
  647: 'eapDisabled',
  648: 'eapPasswordExpired',
  649: 'eapNoDialIn',
  691: 'eapWrongPassword',
  709: 'eapPasswordNotChanged',
};

/** TLS alerts (RFC 8446 §6.2) that speak of the client's certificate. */
const clientAlertProblems: Readonly<Record<number, ProblemName>> = {
  42: 'eapTlsClientCertificateRefused',
  43: 'eapTlsClientOther',
  44: 'eapTlsClientRevoked',
  45: 'eapTlsClientExpired',
  46: 'eapTlsClientOther',
  48: 'eapTlsClientUnknownAuthority',
  49: 'eapTlsClientOther',
  116: 'eapTlsNoClientCertificate',
};

const choiceProblems: { readonly [C in NoCertificateCause]: ProblemName } = {
  'no-candidate': 'noUserCertificate',
  expired: 'certificateExpired',
  'not-yet-valid': 'certificateNotYetValid',
  'no-key': 'certificateWithoutKey',
  'no-token': 'noTokenCertificate',
  filter: 'noFittingCertificate',
};
