export {
  formatBecause,
  type Because,
  type EncryptedDnsFacts,
  type HostFacts,
  type LinkMetric,
  type KeyDigest,
  type NamedAddresses,
  type Sourced,
  type TunnelFacts,
} from './facts.ts';
export type { Intent, IntentRoute, NameRule } from './intent.ts';
export { describeProof, formatEncryptedServer, whyNotAsked } from './dns/gateway-servers.ts';
export { automaticMetric } from './dns/other-names.ts';
export { isNameTrigger, type TriggerReadiness } from './dns/name-trigger.ts';
export { resolveProfile } from './resolve-profile.ts';
export { policyDivergences, type Divergence, type DivergenceNote, type PolicyDivergenceId } from './divergence.ts';
export { compilePlan, type LiveTunnel, type PlanInput } from './compile-plan.ts';
export {
  emptyPlan,
  routeKey,
  ruleKey,
  tableOf,
  type AccessEntry,
  type AppKey,
  type AppPlan,
  type DnsPlan,
  type DnsRegistration,
  type DnsRule,
  type EncryptedServer,
  type UserNames,
  type FilterOwner,
  type FilterPlan,
  type FilterRule,
  type ForcedPath,
  type NameTrigger,
  type Plan,
  type RouteKind,
  type RoutePlan,
  type RuleAction,
  type RulePlan,
  type TunnelPlan,
  type UnusableFilter,
} from './plan.ts';
export { neverProxied, printPac } from './proxy/print-pac.ts';
export { proxyEnvironment } from './proxy/proxy-environment.ts';
export type { ProxyPlan } from './proxy/proxy-plan.ts';
export { formatProxyServer } from './proxy/proxy-server.ts';
export {
  guardSetPlaces,
  guardSetsOf,
  guardShape,
  guardTables,
  printGuard,
  printWaitingGuard,
  type GuardSets,
} from './route/print-guard.ts';
export { filterProblems, placeOf, type FilterProblem } from './filter/problem.ts';
export type { FilterIntent, SecurityEntry, TriggerIntent } from './filter/filter-intent.ts';
export { readSidMappings, wellKnownIdentities, type IdentityFacts, type SidFacts, type SidMapping } from './filter/identity.ts';
export { nftTable, printRuleset, type RulesetFacts } from './filter/print-ruleset.ts';
export type { CgroupName } from './filter/ruleset-line.ts';
export type { GatewayEndpoint, LockdownPlan, PortalHole } from './lockdown/lockdown-plan.ts';
export { lockdownRules, type LockdownRule } from './lockdown/lockdown-rule.ts';
export { diffLockdown, type LockdownChange } from './lockdown/diff-lockdown.ts';
export { lockdownTable, printLockdown, printLockdownRemoval, type LockdownStep } from './lockdown/print-lockdown.ts';
export {
  decideTrustedNetwork,
  wantsBeacon,
  type BeaconAnswer,
  type LinkSuffix,
  type TrustInput,
  type TrustVerdict,
} from './trust/decide-trusted-network.ts';
export { emptyCatalogue, readAppCatalogue, type AppCatalogue, type AppFileFault, type KnownApp } from './app/app-catalogue.ts';
export { appNameOf, type AppName } from './app/app-name.ts';
export { matchesExecutable } from './app/executable.ts';
export { listPlan, printPlan, printRoute, printRule, type PlanItem } from './print-plan.ts';
export { describeRule } from './filter/describe-rule.ts';
export { assumeHost, assumeTunnel, assumptionsOf } from './assumed-facts.ts';
export { diffFilters, type FilterChange } from './filter/diff-filters.ts';
export { decidePacket, type Packet, type PacketDecision, type SocketOwner, type Verdict } from './filter/decide-packet.ts';
export { explainApp, explainFlow, explainProgram, type ProgramFacts, type TrafficExplanation } from './explain-traffic.ts';
export { parseFlow, type Flow } from './flow-text.ts';
export { describeChange, diffPlan, printChanges, sameRoute, sameRule, type PlanChange } from './diff-plan.ts';
export { planOfUser } from './scope/plan-of-user.ts';
export { objectionToAddress } from './scope/judge-addresses.ts';
export { lookUpRoute, type RouteVerdict } from './route-lookup.ts';
export {
  explain,
  type AddressExplanation,
  type NameExplanation,
  type PlanExplanation,
  type PlanExplanationStep,
} from './explain.ts';
export { compileNameMatcher, isWithin, normaliseDomain, normaliseRuleName } from './domain-name.ts';
export {
  appMarkMask,
  appMarkOf,
  devicePrefix,
  routeProtocol,
  pacPlace,
  routingTable,
  routingTables,
  rulePriorities,
} from './linux-number.ts';
export type { CertificateCandidate } from './certificate/candidate.ts';
export {
  certificatePurposeOf,
  compileCertificateWish,
  type CertificatePurpose,
  type CertificateWish,
  type ExplicitCertificate,
} from './certificate/certificate-wish.ts';
export {
  chooseCertificate,
  nameOf,
  type CertificateChoice,
  type CriterionResult,
  type JudgedCertificate,
  type NoCertificateCause,
} from './certificate/choose-certificate.ts';
export { dateText } from './certificate/date-text.ts';
export { printCertificateChoice } from './certificate/print-certificate-choice.ts';
export { enrolmentKeys, type CertificateNames, type EnrolmentFailure, type EnrolmentKey } from './enrolment/enrolment.ts';
export { parseSubject, type SubjectPart } from './enrolment/parse-subject.ts';
export { leakPromise, type LeakPromise } from './leak/promise.ts';
export { readPacket, type IpPacket, type WatchedPacket } from './leak/packet.ts';
export {
  createJudge,
  packetSorts,
  type JudgingFacts,
  type PacketJudgement,
  type PacketSort,
  type PortalQuestion,
} from './leak/judge-packet.ts';
export {
  LeakLedger,
  type Leak,
  type LeakFindings,
  type LeakLedgerOptions,
  type LeakStep,
  type LeavingPacket,
} from './leak/leak-ledger.ts';
export { readUri, unrestricted, type Announcement, type AnnouncementSource } from './portal/announcement.ts';
export { encodeDhcpInform, readDhcpPortal } from './portal/dhcp-inform.ts';
export { encodeInformationRequest, readDhcpv6Portal } from './portal/dhcpv6-information.ts';
export { readAdvertisedPortal, routerSolicitation } from './portal/router-advertisement.ts';
export { isWebUrl, maxApiOctets, readPortalApi, webUrl, type PortalApiAnswer, type WebUrl } from './portal/portal-api.ts';
export { judgePortal, type PortalFindings, type PortalVerdict, type ProbeOutcome } from './portal/judge-portal.ts';
export { portalTable, printPortal, printPortalRemoval, type PortalConfinement } from './portal/print-portal.ts';
export {
  decidePlatform,
  type JoinedRealm,
  type KeytabPrincipal,
  type OidcBroker,
  type PlatformDecision,
  type PlatformFacts,
  type SambaMembership,
  type SssdDomain,
} from './platform/decide-platform.ts';
