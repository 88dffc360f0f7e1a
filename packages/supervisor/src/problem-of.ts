import type { GatewayRefusal, IkeEnd, IkeFailure } from '@aovpn/ike';
import { problem, type ProblemName } from './problem-catalogue.ts';
import type { Problem, Retry, Side } from './problem.ts';

type EapFailure = Extract<IkeFailure, { readonly kind: 'eap' }>['failure'];
type TlsFailure = NonNullable<EapFailure['tls']>;

/** What the same failure means depends on how we authenticate. */
export type AuthenticationKind = 'certificate' | 'eap';

/** An IKE SA's end in people's words; undefined when we closed it ourselves. */
export function problemOfEnd(end: IkeEnd, authentication: AuthenticationKind): Problem | undefined {
  switch (end.kind) {
    case 'closed':
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
      const name = ({ init: 'noAnswerInit', auth: 'noAnswerAuth', established: 'noAnswerEstablished' } as const)[failure.phase];
      return problem(name, `${Math.round(failure.seconds)} seconds of silence`);
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
    case 'authentication-failed':
      return problem(authentication === 'certificate' ? 'refusedCertificate' : 'refusedAfterEap', failure.detail);
    case 'eap':
      return problemOfEap(failure.failure);
    case 'ts-unacceptable':
      return problem('tsUnacceptable');
    case 'no-address':
      return problem('noAddress');
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

function problemOfEap(failure: EapFailure): Problem {
  if (failure.tls) return problem(tlsProblems[failure.tls.reason], failure.tls.detail);
  const name = eapProblems[failure.kind];
  const number = failure.number;
  // The method's own number says more than ours (646 hours, 647 disabled, 649 no permission): show that one.
  return problem(name, failure.detail, number !== undefined && number >= 600 && number < 1000 ? { windows: number } : undefined);
}

/** An error of the host room in people's words. `code`, `what` and `cure` are those of its own table. */
export function problemOfHost(error: { readonly code: string; readonly what: string; readonly cure: string }): Problem {
  const number = Number(/^AOV-HOST-(\d+)$/.exec(error.code)?.[1] ?? Number.NaN);
  const isCredential = number >= 100 && number < 200;
  // 205: no route to the gateway.
  const side: Side = isCredential ? 'certificate' : number === 205 ? 'network' : 'host';
  const retry: Retry = isCredential ? 'never' : 'soon';
  return {
    code: error.code,
    ...(number >= 110 && number < 140 && { windows: 13806 }),
    side,
    message: error.what,
    cure: error.cure,
    retry,
  };
}

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
  'out-of-order': 'eapOutOfOrder',
  malformed: 'eapMalformed',
  tls: 'eapTlsProtocol',
};

const tlsProblems: { readonly [R in TlsFailure['reason']]: ProblemName } = {
  untrusted: 'eapTlsUntrusted',
  expired: 'eapTlsExpired',
  'wrong-name': 'eapTlsWrongName',
  revoked: 'eapTlsRevoked',
  'no-client-certificate': 'eapTlsNoClientCertificate',
  'client-certificate-refused': 'eapTlsClientCertificateRefused',
  alert: 'eapTlsAlert',
  protocol: 'eapTlsProtocol',
};
