import type { Endpoint } from '@aovpn/bytes';
import type { EapState } from '@aovpn/eap';
import type { KeyPair, SignatureScheme } from '../crypto/port.ts';
import type { Puzzle } from '../crypto/puzzle.ts';
import type { AuthAnnouncement } from '../message/auth-announcement.ts';
import type { Identity, Payload, Proposal, TrafficSelector } from '../message/payload.ts';
import type { AcceptedChild } from '../message/proposal.ts';
import type { Reassembly } from '../message/reassembly.ts';
import type { ChildSuite, DirectionKeys, IkeSuite } from '../message/suite.ts';
import type { MoveProof } from './move-proof.ts';
import type {
  GatewayPlace,
  IkeEnd,
  IkeFailure,
  IkeSaConfig,
  IkeTimer,
  NamedPpk,
  Path,
  SessionTicket,
  TunnelConfiguration,
} from './contract.ts';

/**
 * The whole of what an IKE SA remembers between two steps: the conversation with one gateway, through all of its rekeys.
 * A value: steps make a new one. (Keys are the exception: they are overwritten in place when what they protect has died.)
 */
export interface IkeSa {
  readonly config: IkeSaConfig;
  readonly phase: Phase;
  /** What the outer flow's ends are now. */
  readonly path: Path;
  /** The ends have changed since the gateway last confirmed them. */
  readonly pathStale: boolean;
  /** We have moved, and no ESP has come to the new address yet. */
  readonly moveProof: MoveProof | undefined;
  readonly associations: readonly Association[];
  readonly children: readonly ChildSa[];
  readonly peerFollowUp: PeerFollowUp | undefined;
  /** Came while the IKE SA was there (RFC 9867 §3.2). */
  readonly freshPpk: NamedPpk | undefined;
  /** What we would like to talk about when the window is free. */
  readonly wanted: readonly Wanted[];
  readonly peer: PeerFacts;
  readonly gateway: GatewayFacts;
  readonly configuration: TunnelConfiguration;
  readonly liveness: Liveness;
  readonly ikeRekeyAt: number;
  /** From then on the peer cannot put its rekey off any more. */
  readonly ikeExpiresAt: number;
  /** When a new authentication is begun (RFC 4478). */
  readonly reauthAt: number;
  /** Made from a ticket, with keys that no key exchange of its own has refreshed yet. */
  readonly resumed: boolean;
  /** When a new ticket is asked for (RFC 5723). */
  readonly ticketAt: number;
  /** Who a ticket is for, and from; known once both sides are authenticated. */
  readonly ticketIdentities: { readonly own: Identity; readonly gateway: Identity } | undefined;
  /** Refused rekeys of the IKE SA in a row. */
  readonly ikeRefusals: number;
  /** What the host was last told about each timer. */
  readonly armed: Readonly<Partial<Record<IkeTimer, number | undefined>>>;
  /** Numbers questions to the host. */
  readonly questions: number;
  /** Numbers associations. */
  readonly made: number;
}

/**
 * State names: TOPIC "-await-" WHOM, or one word for the two states that await nobody in particular.
 *
 *   TOPIC  init      the IKE_SA_INIT exchange           WHOM  response   the gateway, to the request that is out
 *          intermediate  the IKE_INTERMEDIATE exchanges
 *          auth      the first IKE_AUTH exchange              better     the gateway, for something better than what it (or
 *          eap       the EAP rounds                                      somebody in its name) has said
 *          proof     the AUTH payloads from the MSK           signature  the host's key, for our AUTH
 *          resume    the IKE_SESSION_RESUME exchange, and     verdict    the host's certificate check
 *                    the IKE_AUTH exchange after it
 *          round     the next of several authentications
 *          child     the first CHILD_SA
 *          closing   the Delete                               host       the host, for what EAP asked (secret, TLS)
 *                                                             install    the host's data plane
 *   open   everything after that: exchanges are then described by `Association.outstanding`
 *   ended  nothing follows
 */
export type Phase =
  | { readonly name: 'init-await-response'; readonly init: InitOffer }
  | {
      readonly name: 'init-await-better';
      readonly init: InitOffer;
      readonly failure: IkeFailure;
      /** To be sent back when time is up, instead of failing. */
      readonly cookie: Uint8Array | undefined;
      /** To be followed when time is up. */
      readonly redirect?: GatewayPlace;
      /** To be solved when time is up, before the cookie goes back; and then the question to the host. */
      readonly puzzle?: Puzzle;
      readonly question?: number;
      readonly until: number;
    }
  | { readonly name: 'intermediate-await-response'; readonly run: IntermediateRun }
  | {
      readonly name: 'auth-await-puzzle';
      readonly init: InitOffer;
      readonly nonceR: Uint8Array;
      readonly initResponse: Uint8Array;
      readonly intAuth: Uint8Array;
      readonly question: number;
      readonly until: number;
    }
  | { readonly name: 'resume-await-response'; readonly resume: ResumeOffer }
  | { readonly name: 'resume-await-proof'; readonly handshake: Handshake; readonly ticket: SessionTicket }
  | {
      readonly name: 'auth-await-signature';
      readonly handshake: Handshake;
      readonly question: number;
      readonly choice: SignatureChoice;
      /** The signature without the PPK is being asked for; this one, with it, is there (RFC 8784 §3). */
      readonly withPpk: AuthData | undefined;
    }
  | { readonly name: 'round-await-response'; readonly handshake: Handshake }
  | { readonly name: 'auth-await-response'; readonly handshake: Handshake }
  | {
      readonly name: 'auth-await-verdict';
      readonly handshake: Handshake;
      readonly question: number;
      readonly payloads: readonly Payload[];
    }
  | { readonly name: 'eap-await-host'; readonly handshake: Handshake; readonly eap: EapRun; readonly until: number }
  | { readonly name: 'eap-await-response'; readonly handshake: Handshake; readonly eap: EapRun }
  | { readonly name: 'proof-await-response'; readonly handshake: Handshake; readonly msk: Uint8Array }
  | { readonly name: 'child-await-response' }
  | { readonly name: 'child-await-install' }
  | { readonly name: 'open' }
  | { readonly name: 'closing-await-response'; readonly end: IkeEnd; readonly until: number }
  | { readonly name: 'ended' };

/** AUTH payload without its header (RFC 7296 §3.8). */
export interface AuthData {
  readonly method: number;
  readonly data: Uint8Array;
}

export interface SignatureChoice {
  readonly scheme: SignatureScheme;
  readonly rfc7427: boolean;
}

/** What our IKE_SESSION_RESUME request said. */
export interface ResumeOffer {
  readonly ticket: SessionTicket;
  readonly nonce: Uint8Array;
  readonly request: Uint8Array;
  readonly cookie: Uint8Array | undefined;
  /** When a refusal, which anybody can forge, is believed. */
  readonly refusedAt: number | undefined;
}

/** What our IKE_SA_INIT request said. */
export interface InitOffer {
  readonly proposals: readonly Proposal[];
  readonly nonce: Uint8Array;
  readonly keyPair: KeyPair;
  readonly triedGroups: readonly number[];
  readonly cookie: Uint8Array | undefined;
  readonly cookies: number;
  /** Of the puzzle that came with the cookie (RFC 8019). */
  readonly solution: Uint8Array | undefined;
  /** The request as sent last: AUTH covers it, unless the answer turns out to belong to an earlier one. */
  readonly request: Uint8Array;
  /** What was sent before an unauthenticated answer asked for something else; the newest first. */
  readonly earlier: readonly { readonly request: Uint8Array; readonly keyPair: KeyPair }[];
}

/** IKE_SA_INIT, and what came of the IKE_INTERMEDIATE exchanges so far (RFC 9242 §3.3.2). */
export interface IntermediateRun {
  readonly init: InitOffer;
  readonly nonceR: Uint8Array;
  readonly initResponse: Uint8Array;
  /** Of the exchange that is out, if it is one of keys, and the methods after it. */
  readonly keyPair: KeyPair | undefined;
  readonly rest: readonly number[];
  /** It offers the PPK, and is the last one (RFC 9867). */
  readonly offersPpk: boolean;
  /** IntAuth_i and IntAuth_r: what each side has said; ours counts the exchange that is out. */
  readonly saidByUs: Uint8Array;
  readonly saidByGateway: Uint8Array;
}

/** What IKE_AUTH builds on. */
export interface Handshake {
  readonly initRequest: Uint8Array;
  readonly initResponse: Uint8Array;
  readonly nonceI: Uint8Array;
  readonly nonceR: Uint8Array;
  /** What binds the IKE_INTERMEDIATE exchanges to AUTH (RFC 9242 §3.3.2); empty without any. */
  readonly intAuth: Uint8Array;
  readonly identity: Identity;
  readonly spiIn: number;
  readonly childProposals: readonly Proposal[];
  /** The gateway's IDr, once its certificate and signature were accepted. */
  readonly gatewayIdentity: Identity | undefined;
  /** Who authenticates after this one (RFC 4739). */
  readonly next: Identity | undefined;
  /** Of the puzzle that IKE_SA_INIT brought for IKE_AUTH (RFC 8019 §7.2). */
  readonly solution: Uint8Array | undefined;
  /** Keys with the PPK, whose use is not certain yet (RFC 8784 §3). */
  readonly withPpk: IkeProofKeys | undefined;
}

/** The keys that a PPK changes. */
export interface IkeProofKeys {
  readonly skD: Uint8Array;
  readonly skPi: Uint8Array;
  readonly skPr: Uint8Array;
}

export interface EapRun {
  readonly state: EapState;
  readonly msk: Uint8Array | undefined;
  readonly method: string;
  /** The newest packet of the gateway. */
  readonly heard: Uint8Array | undefined;
  /** The host was told that the gateway keeps quiet since then; packets that merely keep EAP alive do not end that. */
  readonly quietSince: number | undefined;
}

/**
 * One IKE SA in the narrow sense: a pair of SPIs with their keys and message IDs. There is one `current`; rekeys make others:
 * `successor` was made by the peer's rekey and takes over when the peer deletes the current one; `rival` was made by the peer's rekey
 * while our own is under way; `former` is over or on its way out.
 */
export interface Association {
  readonly id: number;
  readonly role: 'current' | 'successor' | 'rival' | 'former';
  readonly spiI: Uint8Array;
  readonly spiR: Uint8Array;
  /** Whether we began the exchange that made it: the I flag and the direction of the keys follow from that. */
  readonly initiator: boolean;
  readonly protection: Protection | undefined;
  readonly nextRequest: number;
  readonly nextExpected: number;
  readonly outstanding: Outstanding | undefined;
  /** The answer to the peer's last request, for its retransmissions. */
  readonly answer: { readonly messageId: number; readonly datagrams: readonly Uint8Array[] } | undefined;
  /** Where the peer's last request came from, if not from where the gateway is for us. */
  readonly askedFrom: Endpoint | undefined;
  /** The peer's request whose answer waits for the host. */
  readonly answering: number | undefined;
  readonly reassembly: Reassembly;
  /** What the gateway would prove with that it has lost this IKE SA (RFC 6290). */
  readonly crashToken: Uint8Array | undefined;
  /** What its SK_d was last mixed with, by itself or by the one that it was rekeyed from. */
  readonly ppk: NamedPpk | undefined;
  /** When a successor takes over unasked, or a former one is forgotten. */
  readonly until: number | undefined;
  /** `until` was over once: it has the last seconds now. */
  readonly lastCall?: true;
  /** We have moved since the peer asked for it: it may have been made with our former address. */
  readonly madeElsewhere?: true;
}

export interface Protection {
  readonly suite: IkeSuite;
  readonly send: DirectionKeys;
  readonly receive: DirectionKeys;
  readonly skD: Uint8Array;
  readonly skPi: Uint8Array;
  readonly skPr: Uint8Array;
}

/** The one request of ours that is out (window 1, RFC 7296 §2.3). */
export interface Outstanding {
  readonly messageId: number;
  readonly exchange: number;
  readonly datagrams: readonly Uint8Array[];
  readonly conversation: Conversation;
  readonly firstSentAt: number;
  readonly dueAt: number;
  /** Retransmissions so far. */
  readonly attempt: number;
  /** Goes on beyond the usual tries until then: a second factor takes its time. */
  readonly patientUntil: number;
}

/** What the outstanding request is about, with everything that its answer needs. */
export type Conversation =
  | { readonly kind: 'init' }
  | { readonly kind: 'intermediate' }
  | { readonly kind: 'auth' }
  | ChildConversation
  | IkeRekeyConversation
  | FollowUpConversation
  | { readonly kind: 'delete-child'; readonly spisIn: readonly number[] }
  | { readonly kind: 'delete-ike' }
  | { readonly kind: 'liveness' }
  | { readonly kind: 'ticket' }
  | { readonly kind: 'address'; readonly path: Path };

/** A CREATE_CHILD_SA request for a CHILD_SA: a new one, or one that replaces another. */
export interface ChildConversation {
  readonly kind: 'child';
  readonly replaces: number | undefined;
  readonly spiIn: number;
  readonly proposals: readonly Proposal[];
  readonly nonce: Uint8Array;
  readonly keyPair: KeyPair | undefined;
  readonly triedGroups: readonly number[];
  readonly tsi: readonly TrafficSelector[];
  readonly tsr: readonly TrafficSelector[];
  /** Offered to the peer (RFC 9867 §3.2). */
  readonly ppk: NamedPpk | undefined;
  /** How often the peer has put it off, where it replaces nothing. */
  readonly putOff: number;
  /** SPIs that the peer has deleted meanwhile and that we do not know: one of them may be what its answer, still on its way, speaks of. */
  readonly deletedUnseen?: readonly number[];
  /** The peer rekeyed the same CHILD_SA meanwhile (RFC 7296 §2.8.1). */
  readonly rival: { readonly spiIn: number; readonly lowestNonce: Uint8Array } | undefined;
}

export interface IkeRekeyConversation {
  readonly kind: 'ike-rekey';
  readonly spi: Uint8Array;
  readonly proposals: readonly Proposal[];
  readonly nonce: Uint8Array;
  readonly keyPair: KeyPair;
  readonly triedGroups: readonly number[];
  /** Offered to the peer (RFC 9867 §3.2). */
  readonly ppk: NamedPpk | undefined;
  /** The peer rekeyed the same IKE SA meanwhile (RFC 7296 §2.8.2). */
  readonly rival: { readonly association: number; readonly lowestNonce: Uint8Array } | undefined;
}

/** The IKE_FOLLOWUP_KE exchanges of a rekey of ours (RFC 9370 §2.2.4). */
export interface FollowUpConversation {
  readonly kind: 'follow-up';
  /** Of the exchange that is out, and the methods after it. */
  readonly keyPair: KeyPair;
  readonly rest: readonly number[];
  /** What the exchanges before it gave. */
  readonly secrets: readonly Uint8Array[];
  readonly rekey:
    | { readonly kind: 'child'; readonly conversation: ChildConversation; readonly agreed: AgreedChild }
    | { readonly kind: 'ike'; readonly conversation: IkeRekeyConversation; readonly agreed: AgreedIke };
}

/** What an answer to our CREATE_CHILD_SA for a CHILD_SA settled. */
export interface AgreedChild {
  readonly child: AcceptedChild;
  readonly tsi: readonly TrafficSelector[];
  readonly tsr: readonly TrafficSelector[];
  readonly nonceR: Uint8Array;
  readonly sharedSecret: Uint8Array | undefined;
  /** The peer has it too (RFC 9867 §3.2). */
  readonly ppk: NamedPpk | undefined;
}

/** What an answer to our rekey of the IKE SA settled. */
export interface AgreedIke {
  readonly suite: IkeSuite;
  readonly spiR: Uint8Array;
  readonly nonceR: Uint8Array;
  readonly sharedSecret: Uint8Array;
  /** The peer has it too (RFC 9867 §3.2). */
  readonly ppk: NamedPpk | undefined;
}

/** A rekey of the peer that is answered and goes on in IKE_FOLLOWUP_KE exchanges. One at a time. */
export interface PeerFollowUp {
  readonly association: number;
  /** Comes back in every request that belongs to it. */
  readonly link: Uint8Array;
  /** Methods to come. */
  readonly rest: readonly number[];
  readonly secrets: readonly Uint8Array[];
  readonly until: number;
  readonly rekey: PeerChildRekey | PeerIkeRekey;
}

export interface PeerChildRekey {
  readonly kind: 'child';
  readonly old: number;
  readonly spiIn: number;
  readonly accepted: AcceptedChild;
  readonly tsi: readonly TrafficSelector[];
  readonly tsr: readonly TrafficSelector[];
  readonly nonceI: Uint8Array;
  readonly nonceR: Uint8Array;
  readonly sharedSecret: Uint8Array | undefined;
  readonly ppk: NamedPpk | undefined;
}

export interface PeerIkeRekey {
  readonly kind: 'ike';
  readonly suite: IkeSuite;
  readonly spiI: Uint8Array;
  readonly spiR: Uint8Array;
  readonly nonceI: Uint8Array;
  readonly nonceR: Uint8Array;
  readonly sharedSecret: Uint8Array;
  readonly ppk: NamedPpk | undefined;
}

/** In order of urgency. */
export type Wanted =
  | { readonly kind: 'address' }
  | { readonly kind: 'liveness' }
  | { readonly kind: 'delete-child'; readonly spiIn: number }
  | { readonly kind: 'ticket' }
  | {
      readonly kind: 'child-create';
      readonly tsi: readonly TrafficSelector[];
      readonly tsr: readonly TrafficSelector[];
      /** How often the peer has put it off, and until when it is to be left alone. */
      readonly putOff?: { readonly times: number; readonly until: number };
    }
  | { readonly kind: 'child-rekey'; readonly spiIn: number }
  | { readonly kind: 'ike-rekey' };

export interface ChildSa {
  readonly spiIn: number;
  /** 0 while the peer's SPI is unknown. */
  readonly spiOut: number;
  readonly suite: ChildSuite;
  readonly esn: boolean;
  readonly tsi: readonly TrafficSelector[];
  readonly tsr: readonly TrafficSelector[];
  readonly stage: ChildStage;
  readonly rekeyAt: number;
  /** From then on the peer cannot put its rekey off any more. */
  readonly expiresAt: number;
  readonly refusals: number;
}

export type ChildStage =
  | { readonly name: 'installing'; readonly after: AfterInstall }
  | { readonly name: 'active' }
  /** Made by the peer's rekey: receives, and sends once the peer has deleted the one that it replaces. */
  | { readonly name: 'standby'; readonly replaces: number; readonly until: number; readonly lastCall?: true }
  /** We delete it, or are about to; it may still receive. */
  | { readonly name: 'replaced' }
  /** Gone from IKE's point of view; receives what was in flight. */
  | { readonly name: 'lingering'; readonly until: number };

export type AfterInstall =
  | { readonly kind: 'establish' }
  | { readonly kind: 'replace'; readonly old: number | undefined }
  /** Answer the peer's request; `payloads` is the answer. */
  | {
      readonly kind: 'answer';
      readonly exchange: number;
      readonly association: number;
      readonly messageId: number;
      readonly payloads: readonly Payload[];
      readonly replaces: number;
    };

export interface PeerFacts {
  /** It refuses rekeys of CHILD_SAs that have a key exchange of their own; those without are allowed by us. */
  readonly plainRekeys: boolean;
  /** Both sides know RFC 6311. */
  readonly messageIdSync: boolean;
  readonly mobike: boolean;
  readonly fragmentation: boolean;
  readonly hashes: readonly number[] | undefined;
  /** N(SUPPORTED_AUTH_METHODS) of RFC 9593. */
  readonly authMethods: readonly AuthAnnouncement[] | undefined;
  readonly multipleAuth: boolean;
  /** It fetches certificates from where we say that they are (RFC 7296 §3.6). */
  readonly fetchesCertificates: boolean;
  readonly childless: boolean;
  /** It speaks of PPKs; whether it has ours shows in IKE_AUTH. */
  readonly ppk: boolean;
  /** It mixes the PPK in before IKE_AUTH (RFC 9867). */
  readonly ppkEarly: boolean;
  /** It wants work before IKE_AUTH (RFC 8019 §7.2). */
  readonly puzzle: Puzzle | undefined;
  readonly natLocal: boolean;
  readonly natRemote: boolean;
  /** What the gateway last said about where it sees us (a hash over the SPIs too, so it counts within one association only). */
  readonly seenAs: { readonly association: number; readonly hash: Uint8Array } | undefined;
}

export interface GatewayFacts {
  readonly identity: string;
  readonly subject: string;
  readonly authentication: string;
}

export interface Liveness {
  /** When an authenticated message or packet last came in. */
  readonly heardAt: number;
  /** `ask-traffic` is out until then. */
  readonly askedUntil: number | undefined;
  readonly unresponsiveSince: number | undefined;
}
