export type * from './contract.ts';
export type { Candidate } from './candidate.ts';
export { problem, problemCatalogue, type ProblemName } from './problem-catalogue.ts';
export { problemOf, problemOfCertificateChoice, problemOfEnd, problemOfHost } from './problem-of.ts';
export { explainRefusal, type SentCertificate, type SentCertificates } from './explain-refusal.ts';
export { authenticationOf, type AuthenticationKind, type AuthenticationPlan } from './authentication.ts';
export type { AlternativeName, CertificateFacts, CredentialFacts, SharedSecrets } from './credential-facts.ts';
export { compileEapConfig } from './compile-eap-config.ts';
export type { Problem, ProblemRow, Retry, Side } from './problem.ts';
export { startSupervisor, stepSupervisor } from './step.ts';
export { nameReadiness } from './name-readiness.ts';
export { supervisorTimes } from './turn.ts';
export {
  approachingConnections,
  isSettled,
  unwantedConnections,
  viewConnection,
  viewSupervisor,
  type ConnectionView,
} from './view.ts';
export { compileIkeConfig, type CompiledIkeConfig } from './compile-ike-config.ts';
export { defaultConnectionSettings, type ConnectionSettings } from './connection-settings.ts';
export { gatewayNamesOf, reviewProfile } from './review-profile.ts';
export {
  reviewAuthentication,
  type AuthenticationCheck,
  type AuthenticationFacts,
  type RootFacts,
} from './review-authentication.ts';
export type { Places } from './memory.ts';
export {
  portalTimes,
  startPortal,
  stepPortal,
  type OpenPortal,
  type PortalAction,
  type PortalEvent,
  type PortalState,
} from './portal/step-portal.ts';
export { wantsPortal } from './portal/wants-portal.ts';
export { decideEnrolment, type EnrolmentFacts, type EnrolmentPlan, type LastTry } from './enrolment/decide-enrolment.ts';
export { problemOfEnrolment } from './enrolment/enrolment-problem.ts';
