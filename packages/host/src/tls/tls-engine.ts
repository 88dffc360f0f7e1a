import type { SecureContext } from 'node:tls';
import type { EapAction, EapEvent, TlsChannel, TlsFailure } from '@aovpn/eap';
import { HostError } from '../host-error.ts';
import type { Credential } from '../keys/credential.ts';
import { AnchorStore } from '../trust/anchor-store.ts';
import type { RevocationChecker, RevocationPolicy } from '../trust/revocation.ts';
import { overwrite, SessionCache, type SessionScope, type TlsSessionCache } from './session-cache.ts';
import { serverMemory } from './server-memory.ts';
import { openTlsContext, TlsConversation, type ConversationOptions } from './tls-conversation.ts';
import { verifyServer, type ServerJudge, type TrustQuestion, type VerifiedServer } from './verify-server.ts';

export interface TlsEngineOptions {
  /** The client certificate of EAP-TLS, outer or inner. */
  readonly credential?: Credential;
  /** DER certificates that may be roots of the EAP server; empty: the roots of the system. The profile narrows them down. */
  readonly roots: readonly Uint8Array[];
  readonly now?: () => Date;
  /** Sessions of this connection; none are resumed without it. */
  readonly sessions?: TlsSessionCache;
  /** Whatever must end resumption when it changes: the profile's version, the user's name. */
  readonly profileVersion?: string;
  /** Called for an unknown root or another name, and only where the profile says `mayAsk`; a rejection is a no. */
  readonly askTrust?: (question: TrustQuestion) => Promise<boolean>;
  /** Called once for each conversation that is established. */
  readonly onServer?: (server: VerifiedServer) => void;
  /** Left out: only an OCSP response that the server itself brings is heeded. No question takes longer than three seconds. */
  readonly revocation?: { readonly policy: RevocationPolicy; readonly checker: RevocationChecker };
}

type TlsAction = Extract<EapAction, { readonly kind: 'tls-start' | 'tls-input' | 'tls-write' | 'tls-close' }>;
type TlsStart = Extract<EapAction, { readonly kind: 'tls-start' }>;

/** TLS for EAP: the other side of the EAP peer's `tls-…` actions. One conversation on each channel; never rejects. */
export interface TlsEngine {
  /** The event to hand to the peer; undefined after `tls-close`. */
  handle(action: TlsAction): Promise<EapEvent | undefined>;
}

/** @throws {HostError} 140, 141 when the roots cannot be used */
export function createTlsEngine(options: TlsEngineOptions): TlsEngine {
  return new Engine(options);
}

interface Channel {
  readonly conversation: TlsConversation;
  readonly scope: SessionScope;
}

class Engine implements TlsEngine {
  readonly #options: TlsEngineOptions;
  readonly #judge: ServerJudge;
  readonly #sessions: SessionCache | undefined;
  readonly #channels = new Map<TlsChannel, Channel>();
  /** The start that counts, until the channel is closed: a person may take a while to give a PIN. */
  readonly #starts = new Map<TlsChannel, TlsStart>();
  readonly #rootsDigest: string;
  /** What was opened before a server waits: for the certificate of a file, or for none. */
  readonly #contexts = new Map<Credential | undefined, SecureContext>();

  constructor(options: TlsEngineOptions) {
    this.#options = options;
    const roots = options.roots.length > 0 ? serverMemory.roots(options.roots) : AnchorStore.fromSystem();
    this.#rootsDigest = roots.digest();
    const { askTrust, revocation } = options;
    const now = options.now ?? ((): Date => new Date());
    this.#judge = { roots, now, ...(askTrust && { askTrust }), ...(revocation && { revocation }) };
    this.#sessions = options.sessions instanceof SessionCache ? options.sessions : undefined;
    const { credential } = options;
    // A token may want its PIN first.
    if (credential?.onToken) return;
    try {
      this.#contexts.set(credential, openTlsContext(credential));
    } catch {
      // Tried again, and told, when a server asks for TLS.
    }
  }

  async handle(action: TlsAction): Promise<EapEvent | undefined> {
    try {
      return await this.#handle(action);
    } catch (error) {
      // A fault of ours or of what we use, perhaps found by a server. It must not end the daemon, and nothing is believed after it.
      this.#close(action.channel, false);
      const detail = `unexpected: ${error instanceof Error ? error.message : String(error)}`;
      return action.kind === 'tls-close' ? undefined : failedOutput(action.request, { reason: 'protocol', detail });
    }
  }

  async #handle(action: TlsAction): Promise<EapEvent | undefined> {
    switch (action.kind) {
      case 'tls-start':
        return this.#start(action);
      case 'tls-input':
        return (
          this.#channels.get(action.channel)?.conversation.exchange(action.request, action.records) ?? notStarted(action.request)
        );
      case 'tls-write':
        return this.#channels.get(action.channel)?.conversation.write(action.request, action.data) ?? notStarted(action.request);
      case 'tls-close':
        this.#close(action.channel, action.remember);
        return undefined;
    }
  }

  async #start(action: TlsStart): Promise<EapEvent> {
    this.#close(action.channel, false);
    this.#starts.set(action.channel, action);
    const { credential, onServer } = this.#options;
    if (action.clientCertificate) {
      if (!credential) {
        const detail = 'EAP-TLS needs a client certificate, and none is configured';
        return failedOutput(action.request, { reason: 'no-client-certificate', detail });
      }
      try {
        // Signing inside of the handshake cannot wait for a person, so a token's PIN is asked for now.
        await credential.unlock();
      } catch (error) {
        return failedOutput(action.request, keyFailure(error));
      }
    }
    const scope = this.#scopeOf(action);
    const offer = action.resume ? await this.#offer(action, scope) : undefined;
    if (this.#starts.get(action.channel) !== action) {
      if (offer) overwrite(offer);
      return failedOutput(action.request, { reason: 'protocol', detail: 'TLS was given up before it began' });
    }
    const shown = action.clientCertificate ? credential : undefined;
    let conversation: TlsConversation;
    try {
      conversation = new TlsConversation({
        channel: action.channel,
        trust: action.trust,
        keying: action.keying,
        context: this.#contexts.get(shown) ?? openTlsContext(shown),
        credential: shown,
        offer,
        judge: this.#judge,
        onServer,
      });
    } catch (error) {
      // The key has gone since, or OpenSSL does not take it.
      return failedOutput(action.request, keyFailure(error));
    }
    this.#channels.set(action.channel, { conversation, scope });
    return conversation.exchange(action.request, undefined);
  }

  #close(channel: TlsChannel, remember: boolean): void {
    this.#starts.delete(channel);
    const open = this.#channels.get(channel);
    if (!open) return;
    this.#channels.delete(channel);
    const sessions = remember && this.#sessions ? open.conversation.takeSessions() : undefined;
    if (sessions) this.#sessions?.put(open.scope, sessions, this.#judge.now());
    open.conversation.close();
  }

  /** A session of before whose server would be believed again today: its time may have come, or its root may have gone. */
  async #offer(action: TlsStart, scope: SessionScope): Promise<ConversationOptions['offer']> {
    const remembered = this.#sessions?.take(scope, this.#judge.now());
    if (!remembered) return undefined;
    const question = { certificates: remembered.certificates, stapled: undefined, trust: action.trust };
    const verdict = await verifyServer(question, this.#judge);
    if (verdict.kind === 'believed') return { ...remembered, server: verdict.server };
    overwrite(remembered);
    return undefined;
  }

  #scopeOf(action: TlsStart): SessionScope {
    return {
      channel: action.channel,
      method: action.keying.kind,
      trust: action.trust,
      roots: this.#rootsDigest,
      credential: action.clientCertificate ? this.#options.credential?.id : undefined,
      profile: this.#options.profileVersion,
    };
  }
}

/** The handshake cannot start because the key cannot be used: our side, in the key room's words. */
function keyFailure(error: unknown): TlsFailure {
  const detail = error instanceof HostError ? error.message : `the client certificate cannot be used: ${String(error)}`;
  return { reason: 'no-client-certificate', detail };
}

function notStarted(request: number): EapEvent {
  return failedOutput(request, { reason: 'protocol', detail: 'TLS has not been started' });
}

function failedOutput(request: number, failure: TlsFailure): EapEvent {
  const none = new Uint8Array();
  return { kind: 'tls-output', request, records: none, state: { kind: 'failed', failure }, applicationData: none };
}
