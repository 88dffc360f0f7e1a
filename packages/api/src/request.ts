import type { EnrolmentStatus } from './enrolment.ts';
import type { OpenPortal, PortalOpened, PortalStatus } from './portal.ts';
import type { Prompt, PromptAnswer } from './prompt.ts';
import type { CertificateReport } from './certificate-report.ts';
import type { AppsReport, AppWhich, DiffProfile, PlanDiff, PlanText } from './traffic.ts';
import type { ConnectionStatus, DaemonStatus, DiagnosticLine, DoctorReport, Explanation, ProfileStatus } from './status.ts';

/** Where the daemon listens unless told otherwise. */
export const defaultSocketPath = '/run/aovpn/control.sock';
/** Beside it, for root alone: a queue of its own, which nobody else can fill. */
export const rootSocketName = 'root.sock';
/** Largest request body: a ProfileXML and some room, octets. */
export const maxRequestBytes = 8 * 1024 * 1024;

/**
 * The closed list of requests. Path parameters are URL-encoded; bodies and answers are JSON; an error answer is {@link ErrorAnswer}.
 * Who may ask is in {@link accessTable}.
 * `GET /v1/events`, `GET /v1/logs?follow=1&connection=NAME` and `GET /v1/trace?follow=1&connection=NAME&since=TIME&lines=COUNT` answer with NDJSON of DaemonEvent and stay open.
 */
export interface Requests {
  'GET /v1/status': { answer: DaemonStatus };
  'GET /v1/profiles': { answer: readonly ProfileStatus[] };
  'GET /v1/profiles/:name': { answer: { readonly profile: ProfileStatus; readonly xml: string } };
  /** Body: the ProfileXML as base64 of its bytes (encodings survive), and optional files to put beside it. */
  'PUT /v1/profiles/:name': { body: PutProfile; answer: ProfileStatus };
  'DELETE /v1/profiles/:name': { answer: { readonly removed: string } };
  /** Answers with the state that it is in from then on. */
  'POST /v1/connections/:name/up': { answer: ConnectionStatus };
  'POST /v1/connections/:name/down': { answer: { readonly accepted: true } };
  /** New keys for a connection that is up: first for its traffic, then for IKE itself. */
  'POST /v1/connections/:name/rekey': { answer: { readonly accepted: true } };
  /** Root's way out of LockDown, and back; both survive restarts. */
  'POST /v1/lockdown/:name/release': { answer: { readonly accepted: true } };
  'POST /v1/lockdown/:name/engage': { answer: { readonly accepted: true } };
  /** Query: `target=` a name, an address, a connection in any usual form, `app:NAME` or `pid:NUMBER`; optionally `app=NAME`, `pid=NUMBER` or `user=NAME` for whose it is. */
  'GET /v1/explain': { answer: Explanation };
  /** Query: `profile=NAME` for the items of one profile. */
  'GET /v1/plan': { answer: PlanText };
  /** What would change if this profile were in force; nothing is changed. */
  'POST /v1/diff': { body: DiffProfile; answer: PlanDiff };
  'GET /v1/apps': { answer: AppsReport };
  /** Query: `pid=NUMBER`. */
  'GET /v1/apps/which': { answer: AppWhich };
  /** Query: `connection=NAME`, all connections without it. */
  'GET /v1/doctor': { answer: DoctorReport };
  /** Query: `connection=NAME`, the only connection without it. */
  'GET /v1/certificates': { answer: CertificateReport };
  'GET /v1/enrolments': { answer: readonly EnrolmentStatus[] };
  /** Has a certificate issued now, in the place of one that is there. Body: nothing, or a one-time secret as `application/octet-stream`. What became of it is in the answer. */
  'POST /v1/enrolments/:name/enrol': { body: Uint8Array | undefined; answer: EnrolmentStatus };
  /** Renews a valid certificate now. */
  'POST /v1/enrolments/:name/renew': { answer: EnrolmentStatus };
  /** Query: `look=1` looks anew first. */
  'GET /v1/portal': { answer: PortalStatus };
  /** Lets one program of whoever asks out to the portal. */
  'POST /v1/portal/open': { body: OpenPortal; answer: PortalOpened };
  'POST /v1/portal/close': { answer: { readonly accepted: true } };
  /** A session that no file of logind tells of begins or ends: one's own; with `user`, which only root may say, somebody's (from PAM). */
  'POST /v1/session/open': { body: AnnounceSession; answer: { readonly accepted: true } };
  'POST /v1/session/close': { body: AnnounceSession; answer: { readonly accepted: true } };
  /** What waits for a person now, oldest first. */
  'GET /v1/prompts': { answer: readonly Prompt[] };
  /** The first answer wins. Secrets as `application/octet-stream`, everything else as JSON. */
  'POST /v1/prompts/:id': { body: PromptAnswer | Uint8Array; answer: { readonly accepted: true } };
}

export interface AnnounceSession {
  /** Name of a user; absent: whoever asks. */
  readonly user?: string;
}

export interface PutProfile {
  readonly xmlBase64: string;
  readonly credentials?: {
    readonly certificatePem?: string;
    readonly keyPem?: string;
    readonly pkcs12Base64?: string;
    readonly pkcs12Password?: string;
    readonly gatewayCaPem?: string;
    readonly userName?: string;
    readonly password?: string;
  };
}

export interface ErrorAnswer {
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly cure: string;
    readonly diagnostics?: readonly DiagnosticLine[];
    /** Present while LockDown holds back all traffic: that it does, and which line of which profile. */
    readonly blocked?: string;
  };
}
