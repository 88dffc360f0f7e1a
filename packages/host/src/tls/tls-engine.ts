import type { EapAction, EapEvent } from '@aovpn/eap';
import type { Credential } from '../keys/credential.ts';
import { AnchorStore } from '../trust/anchor-store.ts';
import { TlsConversation } from './tls-conversation.ts';

export interface TlsEngineOptions {
  /** The client certificate of EAP-TLS. */
  readonly credential?: Credential;
  /** DER certificates that may be roots of the EAP server; empty: the roots of the system. The profile narrows them down. */
  readonly roots: readonly Uint8Array[];
  readonly now?: () => Date;
}

type TlsAction = Extract<EapAction, { readonly kind: 'tls-start' | 'tls-input' | 'tls-close' }>;

/** TLS for EAP: the other side of the EAP peer's `tls-…` actions. One conversation at a time; never rejects. */
export interface TlsEngine {
  /** The event to hand to the peer; undefined after `tls-close`. */
  handle(action: TlsAction): Promise<EapEvent | undefined>;
}

/** @throws {HostError} 140, 141 when the roots cannot be used */
export function createTlsEngine(options: TlsEngineOptions): TlsEngine {
  const roots = options.roots.length > 0 ? AnchorStore.fromDer(options.roots) : AnchorStore.fromSystem();
  const now = options.now ?? ((): Date => new Date());
  let conversation: TlsConversation | undefined;
  return {
    async handle(action) {
      switch (action.kind) {
        case 'tls-start': {
          conversation?.close();
          conversation = undefined;
          if (!options.credential) {
            return failedOutput(
              action.request,
              'no-client-certificate',
              'EAP-TLS needs a client certificate, and none is configured',
            );
          }
          conversation = new TlsConversation(options.credential, action.trust, roots, now);
          return conversation.exchange(action.request, undefined);
        }
        case 'tls-input':
          if (!conversation) return failedOutput(action.request, 'protocol', 'TLS has not been started');
          return conversation.exchange(action.request, action.records);
        case 'tls-close':
          conversation?.close();
          conversation = undefined;
          return undefined;
      }
    },
  };
}

function failedOutput(request: number, reason: 'no-client-certificate' | 'protocol', detail: string): EapEvent {
  const none = new Uint8Array();
  return {
    kind: 'tls-output',
    request,
    records: none,
    state: { kind: 'failed', failure: { reason, detail } },
    applicationData: none,
  };
}
