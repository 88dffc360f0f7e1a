export { HostError, hostErrors, type HostErrorEntry } from './host-error.ts';
export { writeFileAtomically, writeFilesAtomically, type NewFile } from './files/write-file.ts';
export { createIkeCrypto } from './crypto/ike-crypto.ts';
export { createEapCrypto } from './crypto/eap-crypto.ts';
export { solvePuzzle } from './crypto/solve-puzzle.ts';
export { lockInstance, type InstanceLock } from './control/instance-lock.ts';
export type { Peer } from './control/peer.ts';
export { openPolkit, type Polkit } from './control/polkit.ts';
export {
  openControlServer,
  type ControlAnswer,
  type ControlHandling,
  type ControlRequest,
  type ControlServer,
  type ControlServerOptions,
  type LineSink,
} from './control/server.ts';
export { isJournalStream, openJournal, type Journal } from './control/journal.ts';
export { keepServiceWatchdog, notifyService } from './control/service-notification.ts';
export type { AppCgroups } from './cgroup/app-cgroups.ts';
export type { ExecWatchEvent, WatchReport } from './apps/exec-watch.ts';
export { cleanUpFilters, openFilters, type FilterEvent, type Filters, type FiltersOptions } from './filter/filters.ts';
export type { FilteredPlan, FilterReport, RoutesStep } from './filter/apply-filters.ts';
export { isLockdownInForce, openLockdown, removeLockdown, type Lockdown, type LockdownRepair } from './filter/lockdown.ts';
export { readFilterSupport, type FilterSupport } from './filter/filter-support.ts';
export {
  openNetwork,
  toHostFacts,
  type ApplyReport,
  type Network,
  type NetworkFacts,
  type NetworkOptions,
} from './network/network.ts';
export { cleanUp, type CleanUpReport } from './network/clean-up.ts';
export { watchNetwork, type NetworkChange, type NetworkChangeKind } from './network/watch-network.ts';
export type { DefaultRoute, PhysicalNetwork, RouteTo } from './network/network-facts.ts';
export { decideResolver, type ResolverDecision, type ResolverEnvironment } from './resolver/decide-resolver.ts';
export { openStubResolver, type StubConfiguration, type StubResolver } from './resolver/stub-resolver.ts';
export type { PhysicalResolver, ResolverReport } from './resolver/resolver.ts';
export { openPacServer, type PacServer } from './proxy/pac-server.ts';
export type { EncryptedResolverState } from './resolver/encrypted-upstream.ts';
export { createUpstreamAsker, upstreamsOf, type Upstream, type UpstreamAsker, type UpstreamResult } from './resolver/upstream.ts';
export { openUserFiles } from './user-files/open-user-files.ts';
export type { UserFile } from './user-files/limit.ts';
export { readUserSessions, sessionsDirectory, type UserSession, utmpFile } from './session/user-session.ts';
export { openPacketCapture, type CapturedPacket, type PacketCapture } from './capture/packet-capture.ts';
export { injectControl } from './capture/inject-control.ts';
export { closeCanary, sendCanary, type Canary, type CanaryOutcome } from './capture/send-canary.ts';
export { addressOn, readWatchedLinks, type WatchedLinks } from './capture/watched-links.ts';
export { askBeacon, type BeaconQuestion, type BeaconResult } from './probe/beacon.ts';
export { askNetworkForPortal } from './portal/ask-network.ts';
export { fetchMarked, type FetchedPage, type MarkedFetch } from './portal/fetch-marked.ts';
export { openPortalCell, processOwner, type PortalCell, type PortalCellOptions, type PortalLeave } from './portal/portal-cell.ts';
export { registerName, withdrawName, type NameRegistration, type RegisteredName } from './registration/register-name.ts';
export type { UpdateCredential } from './registration/send-update.ts';
export { probeGateway, type ProbeResult } from './probe/gateway-probe.ts';
export { probeGatewayOverTcp } from './probe/tcp-probe.ts';
export { loadCredential, type Credential, type CredentialFiles } from './keys/credential.ts';
export { loadRawKey, readPublicKeys, type RawKey } from './keys/raw-key.ts';
export { openKeyRing, type KeyRing, type KeyRingOptions } from './keys/key-ring.ts';
export type { KeySource, KeySourceProblem } from './keys/key-source.ts';
export type { AskPin, PinQuestion } from './keys/pkcs11/pin.ts';
export { readSecretFile } from './keys/secret-file.ts';
export { openSecretServiceOf, type SecretAttributes, type SecretService } from './password/secret-service.ts';
export { readSystemdCredential } from './password/systemd-credential.ts';
export { readUrlPrefix } from './trust/certificate-url.ts';
export { createGatewayVerifier, type GatewayVerifier, type GatewayVerifierOptions } from './trust/gateway-verifier.ts';
export { createRevocationChecker, type RevocationChecker, type RevocationPolicy } from './trust/revocation.ts';
export { openKernelDataPlane } from './data-plane/kernel-data-plane.ts';
export { openUserspaceDataPlane } from './data-plane/open-userspace.ts';
export { readPathMtu } from './data-plane/outer-socket.ts';
export type { KernelPlaneSupport } from './xfrm/kernel-plane-support.ts';
export { readKernelPlaneSupport } from './xfrm/read-kernel-plane-support.ts';
export { createTlsEngine, type TlsEngine, type TlsEngineOptions } from './tls/tls-engine.ts';
export { createTlsSessionCache, type TlsSessionCache } from './tls/session-cache.ts';
export type { TrustQuestion, VerifiedServer } from './tls/verify-server.ts';
export { askSssd, type SidOwner } from './sys/sssd.ts';
export { watchClock, type ClockJump } from './clock/watch-clock.ts';
export { watchSleep } from './logind/watch-sleep.ts';
export { platformMark, readPlatformFacts } from './platform/read-platform-facts.ts';
export { stackOf } from './platform/stack-trace.ts';
export { releaseProgramFile, returnFreeMemory } from './sys/own-memory.ts';
export { setNoNewPrivileges, setUndumpable } from './sys/process.ts';
export { hasAcmeAccount } from './enrol/acme/acme-state.ts';
export { describeEnrolled, type EnrolledCertificate } from './enrol/describe-enrolled.ts';
export { enrolledFile, pendingFile } from './enrol/enrolled-file.ts';
export { obtainCertificate, type CertificateObtained, type CertificateWanted } from './enrol/obtain-certificate.ts';
