import type { ChildProposalConfig, IkeProposalConfig, NamedPpk } from '../src/machine/contract.ts';
import type { AuthAnnouncement } from '../src/message/auth-announcement.ts';
import type { ConfigAttribute, Identity, Message, Payload, TrafficSelector } from '../src/message/payload.ts';
import type { ResponderCredentials } from './responder-auth.ts';
import type { TicketStore } from './responder-memory.ts';
import type { EapServer } from './tls-method.ts';

/** What a responder speaks, asks for and hands out, and how it misbehaves. Everything may be left out. */
export interface ResponderOptions {
  ikeProposals?: readonly IkeProposalConfig[];
  childProposals?: readonly ChildProposalConfig[];
  cookie?: boolean;
  fragmentation?: boolean;
  mobike?: boolean;
  eap?: boolean;
  /** EAP-MSCHAPv2 without it. */
  eapServer?: EapServer;
  /** Leaves certificate and signature out when the client allows it (RFC 5998), or `always`. */
  eapOnly?: boolean | 'always';
  tsi?: readonly TrafficSelector[];
  tsr?: readonly TrafficSelector[];
  configuration?: readonly ConfigAttribute[];
  credentials?: ResponderCredentials;
  /** Changes what the responder's own AUTH covers of IKE_INTERMEDIATE exchanges. */
  changeIntAuth?: (intAuth: Uint8Array) => Uint8Array;
  /** IDr, when it is not the name of the credentials. */
  identity?: Identity;
  /** Proves itself with it, and wants the same of clients that show no certificate. */
  sharedKey?: Uint8Array;
  /** Sends its key without a certificate (RFC 7670): in a CERT payload, or not at all. */
  rawKey?: 'sent' | 'known';
  /** RFC 4739: a certificate first, then EAP. */
  multipleAuth?: boolean;
  /** RFC 8019: work that it wants done, with the cookie or before IKE_AUTH; the latter without exception (§7.2.4). */
  puzzle?: { readonly where: 'init' | 'auth'; readonly difficulty: number; readonly prf?: number };
  /** RFC 6023 */
  childless?: boolean;
  /** RFC 8784 */
  ppk?: { readonly identity: Uint8Array; readonly key: Uint8Array };
  /** RFC 9867: in IKE_INTERMEDIATE, for clients that can. */
  ppkEarly?: boolean;
  /** RFC 9867 §3.2: what it has for CREATE_CHILD_SA, and whether it offers them in those of its own. */
  freshPpks?: readonly NamedPpk[];
  offersPpks?: boolean;
  /** RFC 6290: what tokens are made from. */
  crashSecret?: Uint8Array;
  /** RFC 5723: what it remembers of tickets, across restarts and IKE SAs. */
  tickets?: TicketStore;
  /** RFC 4478, seconds. */
  authLifetime?: number;
  /** RFC 9593 */
  authMethods?: readonly AuthAnnouncement[];
  /** RFC 4806: OCSP responses for clients that ask. */
  ocspResponses?: readonly Uint8Array[];
  /** Impairs an answer before it is protected; undefined sends nothing. */
  impair?: (payloads: readonly Payload[], request: Message) => readonly Payload[] | undefined;
}
