import type { ExportedSecret, TraceMessage } from './trace.ts';
import type { EnrolmentStatus } from './enrolment.ts';
import type { PortalStatus } from './portal.ts';
import type { Prompt, PromptOutcome } from './prompt.ts';
import type { LockdownStatus } from './lockdown.ts';
import type { FiltersStatus, TrafficStatus } from './traffic.ts';

/** All times are ISO 8601 in UTC; all addresses and prefixes canonical text; all sizes octets. */

/** What one connection is doing. The grammar: what we want, then how far we are. */
export type ConnectionState =
  /** Nobody wants it up, and it is not. */
  | 'down'
  /** A person said `down`; it stays so until `up`. */
  | 'held'
  /** The machine stands in a network of its organisation; it connects on leaving. */
  | 'trusted'
  /** Name look-up, IKE and authentication are under way. */
  | 'connecting'
  /** Traffic flows. */
  | 'up'
  /** It was up; the path is gone or the gateway is silent; the SA is kept and being moved or probed. */
  | 'recovering'
  /** It failed; the next try has a time. */
  | 'waiting'
  /** It cannot work until something is changed (profile, certificate, password); tried again only slowly or on change. */
  | 'blocked'
  | 'disconnecting';

/** Whose side a failure is on, for the person who has to do something. */
export type Side = 'network' | 'gateway' | 'radius' | 'certificate' | 'profile' | 'host' | 'credentials';

/** A failure as people see it. Codes are listed in docs/errors.md. */
export interface Problem {
  readonly code: string;
  /** The number that Windows shows for the same thing, where it has one. */
  readonly windows?: number;
  readonly side: Side;
  /** What happened. */
  readonly message: string;
  /** What to do. */
  readonly cure: string;
  readonly at: string;
}

export interface RouteStatus {
  readonly prefix: string;
  readonly kind: 'tunnel' | 'excluded';
  readonly metric?: number;
  readonly because: string;
}

export interface DnsRuleStatus {
  /** `.corp.example` (suffix), `host.corp.example` (one name) or `.` (all). */
  readonly name: string;
  /** Empty: exemption, answered by the machine's normal resolver. */
  readonly servers: readonly string[];
  /** `10.20.0.53 (TLS, dns.corp.example)`: those of `servers` that are asked by TLS, and only so. */
  readonly encrypted?: readonly string[];
  readonly because: string;
}

/** A resolver that speaks DNS in TLS, HTTPS or QUIC, as the gateway names it (RFC 9464). */
export interface EncryptedDnsStatus {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly protocols: readonly string[];
  readonly port?: number;
  readonly path?: string;
  /** Why no name is asked of it; absent: names are. */
  readonly notAsked?: string;
  /** What it has to prove itself by, in words. */
  readonly provenBy?: string;
  readonly servers?: readonly EncryptedServerStatus[];
}

export interface EncryptedServerStatus {
  readonly address: string;
  /** `unasked`: no question yet; `proven`: it had proven itself when it was spoken to last; `failing`: it had not, or is not there. */
  readonly state: 'unasked' | 'connecting' | 'proven' | 'failing';
  readonly problem?: { readonly code: string; readonly side: Side; readonly message: string; readonly cure: string };
}

export interface CryptoStatus {
  readonly ike: string;
  readonly child: string;
  readonly authentication: string;
  readonly gatewayIdentity: string;
  readonly gatewaySubject: string;
  readonly mobike: boolean;
  readonly fragmentation: boolean;
  readonly natLocal: boolean;
  readonly natRemote: boolean;
  /** How EAP went, where the profile uses it. */
  readonly radius?: RadiusStatus;
}

/** Trust in the RADIUS server, which has nothing to do with trust in the gateway. */
export interface RadiusStatus {
  /** Such as `PEAP, inner EAP-MSCHAPv2`. */
  readonly method: string;
  /** Absent: the method has no TLS (EAP-MSCHAPv2), so the server has proven itself by knowing the password. */
  readonly tls?: {
    readonly version: string;
    /** A session of before was resumed: the server showed its certificate then, not now. */
    readonly resumed: boolean;
    /** Absent: PerformServerValidation=false in the profile, so nobody knows who it is. */
    readonly server?: {
      readonly subject: string;
      readonly names: readonly string[];
      /** Subject of the root that it comes from. */
      readonly root: string;
    };
  };
  /** PEAP only: whether both sides have proven that the tunnel and the inner method belong together. */
  readonly cryptobinding?: boolean;
}

/** What a connection waits for that is not this machine. */
export interface WaitingFor {
  /** `radius`: an answer of the RADIUS server, a second factor perhaps; `person`: an answer to a prompt. */
  readonly who: 'radius' | 'person';
  readonly text: string;
  readonly since: string;
}

/** Whether the network that the machine stands in is one of its organisation (TrustedNetworkDetection). */
export interface NetworkTrust {
  readonly verdict: 'trusted' | 'untrusted' | 'asking';
  /** It rests on a name that any network can hand out. */
  readonly spoofable: boolean;
  readonly why: string;
  /** Each fact that led to it, the conclusion last. */
  readonly trace: readonly string[];
  /** The line of the profile that decided it. */
  readonly because?: string;
}

/** A user of this machine. */
export interface Owner {
  readonly uid: number;
  readonly name: string;
}

export interface ConnectionStatus {
  /** Of a user's connection `USER/NAME`. */
  readonly name: string;
  readonly tunnel: 'device' | 'user';
  /** Whose connection it is; it is there while they are signed in. Absent: the machine's. */
  readonly owner?: Owner;
  /** `user`: it carries the owner's traffic only. */
  readonly scope?: 'user';
  readonly state: ConnectionState;
  /** Why it is in this state, one sentence. */
  readonly reason: string;
  readonly since: string;
  readonly nextTryAt?: string;
  readonly attempts: number;
  readonly problem?: Problem;
  readonly waitingFor?: WaitingFor;
  /** Absent: the profile does not ask. */
  readonly trust?: NetworkTrust;
  readonly gateway: {
    readonly name: string;
    readonly address?: string;
    readonly port?: number;
    /** `tcp`: IKE and ESP in TCP, because UDP is blocked (RFC 9329). */
    readonly transport?: 'udp' | 'tcp';
  };
  readonly device?: string;
  readonly mtu?: number;
  /** What moves its packets: the kernel's own IPsec, or this program; `why` in one sentence. */
  readonly dataPlane?: { readonly kind: 'kernel' | 'userspace'; readonly why: string };
  readonly addresses: readonly string[];
  readonly routing: 'SplitTunnel' | 'ForceTunnel';
  readonly routes: readonly RouteStatus[];
  readonly dns: {
    readonly suffixes: readonly string[];
    readonly rules: readonly DnsRuleStatus[];
    /** Only where the gateway names some. */
    readonly encrypted?: readonly EncryptedDnsStatus[];
    /** `example.com 20326 8 2 E06D…`: trust anchors that the gateway named for names of `dnssec-trust-anchors`. */
    readonly trustAnchors?: readonly string[];
    /** Only of the tunnel that registers this machine in DNS (RegisterDNS). */
    readonly registration?: {
      readonly name: string;
      readonly state: 'pending' | 'registered' | 'failed';
      readonly problem?: { readonly code: string; readonly what: string; readonly cure: string };
    };
  };
  /** Only with traffic filters, and only while the tunnel is up. */
  readonly filters?: FiltersStatus;
  /** Only with LockDown that root has not released: whether all traffic of this machine is held back now, and by which line. */
  readonly lockdown?: { readonly blocked: boolean; readonly because: string };
  /** Keys of the apps that filters and triggers of the profile name. */
  readonly apps?: readonly string[];
  readonly crypto?: CryptoStatus;
  readonly connectedAt?: string;
  readonly traffic?: {
    readonly bytesIn: number;
    readonly bytesOut: number;
    readonly packetsIn: number;
    readonly packetsOut: number;
    readonly dropped: number;
  };
}

export interface ProfileStatus {
  readonly name: string;
  readonly file: string;
  readonly tunnel: 'device' | 'user';
  /** Absent: the machine's. */
  readonly owner?: Owner;
  readonly alwaysOn: boolean;
  /** `in-force`; `refused`: the file has errors and nothing of that name runs; `kept`: the file has errors, the last good version runs on. */
  readonly state: 'in-force' | 'refused' | 'kept';
  readonly loadedAt?: string;
  readonly diagnostics: readonly DiagnosticLine[];
}

export interface DiagnosticLine {
  readonly code: string;
  readonly severity: 'error' | 'warning' | 'info';
  readonly line: number;
  readonly column: number;
  readonly path: string;
  readonly message: string;
  readonly windows?: string;
  readonly here?: string;
  readonly cure?: string;
}

/** Whether this machine is a member of a domain, signs people of a provider in, or belongs to nobody, and how that is known. */
export interface PlatformStatus {
  readonly kind: 'domain' | 'oidc' | 'workgroup';
  /** Domain, issuer of the provider, or name of the workgroup. */
  readonly joinedTo?: string;
  /** Of Kerberos. */
  readonly realm?: string;
  /** What keeps the membership, such as `SSSD (ad)`. */
  readonly by?: string;
  /** The machine's account, such as `LAPTOP$@CORP.EXAMPLE`. */
  readonly account?: string;
  /** The machine's full name. */
  readonly hostName?: string;
  /** Domains in which its organisation's names are. */
  readonly suffixes: readonly string[];
  /** What could not be read, and why. */
  readonly unread: readonly string[];
  /** Each fact a line, the conclusion last. */
  readonly trace: readonly string[];
}

export interface DaemonStatus {
  readonly version: string;
  readonly pid: number;
  readonly startedAt: string;
  readonly resolver: string;
  /** Why the resolver is that one, each fact a line. */
  readonly resolverTrace: readonly string[];
  /** Where this machine belongs. */
  readonly platform: PlatformStatus;
  /** Who is signed in, as far as the daemon knows. */
  readonly signedIn: readonly Owner[];
  readonly connections: readonly ConnectionStatus[];
  readonly profiles: readonly ProfileStatus[];
  /** Absent: nobody needs to know. */
  readonly portal?: PortalStatus;
  /** Absent: filters and apps are not needed by any profile. */
  readonly traffic?: TrafficStatus;
  /** Absent: no profile has LockDown. */
  readonly lockdown?: LockdownStatus;
  /** Absent: no certificate is had from an enrolment server. */
  readonly enrolments?: readonly EnrolmentStatus[];
}

/** Answer to `explain`: each line is one step of the decision, the last one its outcome. */
export interface Explanation {
  readonly target: string;
  /** Addresses the target stands for (itself, or what the resolver said). */
  readonly addresses: readonly {
    readonly address: string;
    readonly path: 'tunnel' | 'physical' | 'unreachable';
    readonly connection?: string;
    readonly device?: string;
    readonly steps: readonly ExplanationStep[];
  }[];
  readonly dns?: {
    readonly servers: readonly string[];
    readonly via: 'tunnel' | 'physical';
    readonly connection?: string;
    /** The question itself brings the tunnel up and waits for it (AutoTrigger). */
    readonly waits?: true;
    /** Programs are told at once that there is no answer (SERVFAIL), and why; `servers` is empty. */
    readonly refused?: string;
    readonly steps: readonly ExplanationStep[];
  };
  readonly summary: string;
  /** What filters say of one connection, app or process; `accept` where none applies. */
  readonly verdict?: 'accept' | 'refuse';
  /** What would turn that round, most likely first. */
  readonly changes?: readonly ExplanationStep[];
}

export interface ExplanationStep {
  readonly text: string;
  readonly profile?: string;
  readonly line?: number;
}

/** Lines of `GET /v1/events` and `GET /v1/logs`, one JSON object a line (NDJSON). */
export type DaemonEvent =
  | { readonly kind: 'status'; readonly connection: ConnectionStatus }
  | { readonly kind: 'removed'; readonly name: string }
  | { readonly kind: 'profile'; readonly profile: ProfileStatus }
  | { readonly kind: 'prompt'; readonly prompt: Prompt }
  | { readonly kind: 'prompt-over'; readonly id: string; readonly connection: string; readonly outcome: PromptOutcome }
  /** Only in answers to `GET /v1/trace`. */
  | TraceMessage
  | { readonly kind: 'portal'; readonly portal: PortalStatus }
  /** Only in answers to `GET /v1/secrets`. */
  | ExportedSecret
  | { readonly kind: 'log'; readonly at: string; readonly level: LogLevel; readonly connection?: string; readonly text: string };

export type LogLevel = 'error' | 'warn' | 'info' | 'debug';

/** One check of `aovpn doctor`: what was looked at, what was found, and the cure when it is not good. */
export interface DoctorCheck {
  readonly name: string;
  readonly connection?: string;
  readonly verdict: 'ok' | 'warning' | 'failed' | 'skipped';
  readonly found: string;
  readonly cure?: string;
}

export interface DoctorReport {
  readonly checks: readonly DoctorCheck[];
}
