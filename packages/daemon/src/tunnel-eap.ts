import type { RadiusStatus } from '@aovpn/api';
import { wipe } from '@aovpn/bytes';
import type { EapAction, EapEvent, EapPeerConfig } from '@aovpn/eap';
import type { TlsEngine, VerifiedServer } from '@aovpn/host';
import type { Log } from './log.ts';
import type { SecretQuestion } from './passwords.ts';

/** What EAP has others do. */
export interface EapPorts {
  readonly log: Log;
  /** Octets that EAP overwrites; undefined: there is no answer. */
  answerSecret(question: SecretQuestion): Promise<Uint8Array | undefined>;
  /** A fresh TLS engine for one EAP conversation; it tells whom it has ended at. */
  createTlsEngine(onServer: (server: VerifiedServer) => void): TlsEngine;
  /** What was given was right. */
  secretAccepted(): Promise<void>;
  /** `refused`: what was given was wrong; otherwise nobody knows. */
  secretUndecided(refused: boolean): void;
}

type TlsAction = Parameters<TlsEngine['handle']>[0];

/** What the RADIUS side keeps us waiting for. */
export interface RadiusWait {
  readonly text: string;
  /** ISO 8601. */
  readonly since: string;
}

/** The host's side of EAP in one attempt: secrets, TLS, and what is known of the RADIUS server. */
export class TunnelEap {
  readonly #name: string;
  readonly #ports: EapPorts;
  #engine: TlsEngine | undefined;
  #server: VerifiedServer | undefined;
  #tls: { readonly version: string; readonly resumed: boolean } | undefined;
  #method: string | undefined;
  #said: string | undefined;
  #quietSince: string | undefined;
  #asked = false;

  constructor(name: string, ports: EapPorts) {
    this.#name = name;
    this.#ports = ports;
  }

  /** Undefined until EAP has ended well. */
  get radius(): RadiusStatus | undefined {
    if (this.#method === undefined) return undefined;
    const binding = /\b(no )?cryptobinding\b/.exec(this.#method);
    const server = this.#server;
    return {
      method: this.#method,
      ...(this.#tls && {
        tls: {
          ...this.#tls,
          ...(server?.validated === true && {
            server: {
              subject: server.subject,
              names: server.names,
              root: server.rootSubject ?? (server.asked ? 'none: a person said that it is the right one' : 'unknown'),
            },
          }),
        },
      }),
      ...(binding && { cryptobinding: binding[1] === undefined }),
    };
  }

  get wait(): RadiusWait | undefined {
    if (this.#quietSince === undefined) return undefined;
    const hint = this.#said === undefined ? 'a second factor?' : `it says: ${this.#said}`;
    return { text: `waiting for the RADIUS server (${hint})`, since: this.#quietSince };
  }

  /** `since`: milliseconds of the monotonic clock; undefined: no more. */
  quiet(since: number | undefined): void {
    this.#quietSince = since === undefined ? undefined : new Date(Date.now() + since - performance.now()).toISOString();
  }

  /** Does what can be done before the gateway waits for us: opening all roots of the system takes tens of milliseconds. */
  prepare({ method }: EapPeerConfig): void {
    if (method.kind === 'mschapv2') return;
    try {
      this.#openEngine();
    } catch {
      // It is told when TLS is truly wanted: the server may choose otherwise.
    }
  }

  /** The event to hand to the machine, if any. Never rejects for what a server did. */
  async handle(action: EapAction): Promise<EapEvent | undefined> {
    switch (action.kind) {
      case 'need-secret': {
        this.#asked = true;
        const { request, what, userName, message, retry } = action;
        const secret = await this.#ports.answerSecret({ what, userName, retry, ...(message !== undefined && { message }) });
        return { kind: 'secret', request, secret };
      }
      case 'tls-start':
        return await this.#handleTls(this.#openEngine(), action);
      case 'tls-input':
      case 'tls-write':
      case 'tls-close':
        return this.#engine && (await this.#handleTls(this.#engine, action));
      case 'notification':
        this.#said = action.text;
        this.#ports.log.info(`the RADIUS server says: ${action.text}`, this.#name);
        return undefined;
      case 'trace':
        this.#ports.log.debug(action.what, this.#name);
        return undefined;
      case 'reply':
      case 'succeeded':
      case 'failed':
        // The IKE machine takes these itself; they never come out of it.
        return undefined;
    }
  }

  async succeeded(method: string): Promise<void> {
    this.#method = method;
    this.#asked = false;
    await this.#ports.secretAccepted();
  }

  /** The attempt is over. `refused`: because the server did not like what it was given. */
  async end(refused: boolean): Promise<void> {
    this.#quietSince = undefined;
    if (this.#asked) this.#ports.secretUndecided(refused);
    this.#asked = false;
    for (const channel of ['inner', 'outer'] as const)
      await this.#engine?.handle({ kind: 'tls-close', channel, remember: false });
    this.#engine = undefined;
  }

  /** Overwrites an answer that nobody wants any more. */
  static discard(event: EapEvent): void {
    if (event.kind === 'secret') wipe(event.secret);
    if (event.kind === 'tls-output' && event.state.kind === 'established') wipe(event.state.keyMaterial, event.state.challenge);
  }

  #openEngine(): TlsEngine {
    return (this.#engine ??= this.#ports.createTlsEngine((server) => {
      if (server.channel === 'outer') this.#server = server;
    }));
  }

  async #handleTls(engine: TlsEngine, action: TlsAction): Promise<EapEvent | undefined> {
    const event = await engine.handle(action);
    if (event?.kind === 'tls-output' && event.state.kind === 'established' && action.channel === 'outer') {
      const { version, resumed } = event.state;
      this.#tls = { version, resumed };
    }
    return event;
  }
}
