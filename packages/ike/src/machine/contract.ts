import type { EapAction, EapEvent, EapFailure, EapPeerConfig } from '@aovpn/eap';
import type { Endpoint, IpAddress, IpPrefix } from '@aovpn/bytes';
import type { SignatureScheme } from '../crypto/port.ts';
import type { Puzzle } from '../crypto/puzzle.ts';
import type { MessageRecord } from '../trace/message-record.ts';
import type { ConfigAttribute, Identity, TrafficSelector } from '../message/payload.ts';
import type { IkeSuite } from '../message/suite.ts';

/** One choice of algorithms by IKEv2 numbers, most wanted first within each list. Weak ones only by the caller's explicit choice. */
export interface IkeProposalConfig {
  readonly encr: readonly { readonly id: number; readonly keyBits: number }[];
  /** Empty with AEAD ciphers. A proposal never mixes AEAD and other ciphers (RFC 7296 §3.3). */
  readonly integ: readonly number[];
  readonly prf: readonly number[];
  readonly ke: readonly number[];
  /** Additional key exchanges (RFC 9370): the choices for ADDKE1, ADDKE2, …, at most seven. Each is then wanted, none may be left out. */
  readonly additionalKe?: readonly (readonly number[])[];
}

export interface ChildProposalConfig {
  readonly encr: readonly { readonly id: number; readonly keyBits: number }[];
  readonly integ: readonly number[];
  /** Groups for perfect forward secrecy in CREATE_CHILD_SA; empty: none; `'ike'`: the IKE SA's own (PFSMM). */
  readonly ke: readonly number[] | 'ike';
  /** As in {@link IkeProposalConfig}; with `ke` only. */
  readonly additionalKe?: readonly (readonly number[])[];
  /** False: extended sequence numbers are not offered, for gateways that may choke on what they do not know. */
  readonly esn?: false;
}

/** Where the other end of the flow is, as far as IKE cares (RFC 7296 §2.23). */
export interface Path {
  readonly local: IpAddress;
  readonly localPort: number;
  readonly remote: IpAddress;
  readonly remotePort: number;
}

/** A certificate, or a bundle of them, that is somewhere else (RFC 7296 §3.6). */
export interface CertificateReference {
  /** Before which of the certificates that came along it stands: 0 for the first. */
  readonly before: number;
  readonly bundle: boolean;
  /** SHA-1 of what is there. */
  readonly hash: Uint8Array;
  readonly url: string;
}

/** How a key of ours proves who we are. */
export interface KeyAuthentication {
  readonly kind: 'certificate';
  /** Schemes that the key can do, most wanted first. */
  readonly schemes: readonly SignatureScheme[];
  /** DER, leaf first; empty for a key without a certificate (RFC 7670). */
  readonly certificates: readonly Uint8Array[];
  /** Where a gateway that fetches certificates finds ours (RFC 7296 §3.6). */
  readonly certificateUrl?: string;
  /** SubjectPublicKeyInfo of a key without a certificate. */
  readonly rawKey?: Uint8Array;
  readonly identity: Identity;
}

/** A post-quantum preshared key, and what both sides call it (RFC 8784). */
export interface NamedPpk {
  /** PPK_ID: type and value as they go into N(PPK_IDENTITY). */
  readonly identity: Uint8Array;
  readonly key: Uint8Array;
}

/** The one that an IKE SA begins with. */
export interface PostquantumKey extends NamedPpk {
  /** Without it there is no connection. */
  readonly required: boolean;
}

/** What resumes an IKE SA (RFC 5723): the gateway's ticket and what both sides know from the SA that it was granted in. Secret. */
export interface SessionTicket {
  readonly ticket: Uint8Array;
  readonly suite: IkeSuite;
  readonly skD: Uint8Array;
  readonly identity: Identity;
  readonly gatewayIdentity: Identity;
  /** For `status`: how the gateway proved itself then. */
  readonly gatewaySubject: string;
}

/** All that an IKE SA needs to know for its life; compiled from the profile by the supervisor. Times are in milliseconds. */
export interface IkeSaConfig {
  readonly ikeProposals: readonly IkeProposalConfig[];
  readonly childProposals: readonly ChildProposalConfig[];
  readonly auth:
    | KeyAuthentication
    /** A key that both ends share (RFC 7296 §2.15); the gateway proves itself with it too. */
    | { readonly kind: 'shared-key'; readonly key: Uint8Array; readonly identity: Identity }
    | {
        readonly kind: 'eap';
        readonly peer: EapPeerConfig;
        /** undefined: our outer IP address, as Windows does. */ readonly identity?: Identity;
        /**
         * EAP_ONLY_AUTHENTICATION (RFC 5998): the gateway may leave its certificate and signature to the EAP method. Heeded only with a
         * method that proves the server, yields keys and names nobody outside of its TLS; see {@link isFitForEapOnly}.
         */
        readonly allowEapOnly?: boolean;
        /** The machine proves itself before the user does (RFC 4739); a gateway that cannot do that is refused. */
        readonly machine?: KeyAuthentication;
      };
  /** SubjectPublicKeyInfo of keys that the gateway may have without a certificate (RFC 7670). */
  readonly gatewayKeys?: readonly Uint8Array[];
  readonly ppk?: PostquantumKey;
  /** No CHILD_SA in IKE_AUTH (RFC 6023), where the gateway can do without. */
  readonly childless?: boolean;
  /** The host fetches certificates of a gateway from where the gateway says that they are (RFC 7296 §3.6). */
  readonly fetchesCertificates?: boolean;
  /** Ask for OCSP responses of the gateway's certificates (RFC 4806). */
  readonly ocsp?: boolean;
  /** Ask for tickets (RFC 5723). */
  readonly askTicket?: boolean;
  /** Try this first; a full exchange follows when the gateway does not want it. */
  readonly ticket?: SessionTicket;
  /** The addresses of a tunnel that this SA is to replace: they are asked for again, and the gateway keeps the old SA (RFC 4478 §2). */
  readonly replaces?: readonly IpPrefix[];
  /** Other IKE SAs of this machine live, perhaps with the same gateway: INITIAL_CONTACT would have it end them (RFC 7296 §2.4). */
  readonly beside?: boolean;
  /** SHA-1 of the SubjectPublicKeyInfo of each accepted gateway CA, for CERTREQ. */
  readonly certificateAuthorities: readonly Uint8Array[];
  /** Names the gateway may have (from `Servers`); checked by the host against the certificate. */
  readonly gatewayNames: readonly string[];
  /** Who of several behind one address is meant: sent as IDr, and what a gateway with a shared key must call itself. */
  readonly gatewayIdentity?: Identity;
  readonly request: {
    readonly v4: boolean;
    readonly v6: boolean;
    /** Names whose DNSSEC trust anchors may come from the gateway; normally none. */
    readonly dnssecAnchors?: readonly string[];
  };
  readonly trafficSelectors: { readonly tsi: readonly TrafficSelector[]; readonly tsr: readonly TrafficSelector[] };
  readonly fragmentation: boolean;
  /** Largest UDP payload we send before fragmenting, octets. */
  readonly fragmentSize: number;
  readonly mobike: boolean;
  /** Go where the gateway sends us (RFC 5685). */
  readonly redirect: boolean;
  /** Who has sent us here. */
  readonly redirectedFrom?: GatewayPlace;
  /** Claim to sit behind a NAT, so that ESP is always in UDP. */
  readonly forceUdpEncapsulation: boolean;
  readonly retransmit: {
    readonly firstMs: number;
    readonly factor: number;
    /** Retransmissions after the first sending; the wait after the last one belongs to it. */
    readonly tries: number;
    /** Tries in IKE_SA_INIT, when another address waits to be tried; `tries` without it. */
    readonly initTries?: number;
  };
  readonly dpdMs: number;
  readonly ikeRekeyMs: number;
  readonly childRekeyMs: number;
  /** 0: no limit by volume. */
  readonly childRekeyBytes: number;
  /** How long the machine waits for a slow second factor between two EAP messages. */
  readonly eapWaitMs: number;
}

/** What the configuration payload and the selectors gave us. */
export interface TunnelConfiguration {
  readonly addresses: readonly IpPrefix[];
  readonly dns: readonly IpAddress[];
  readonly dnsDomains: readonly string[];
  /** Trust anchors for names whose anchors were asked for, and for nothing else (RFC 8598 §4.2). */
  readonly dnssecAnchors: readonly DnssecAnchor[];
  /** By priority, the most wanted first (RFC 9464). */
  readonly encryptedDns: readonly EncryptedDns[];
  /** The families that the gateway hands out, where it says so (RFC 8983). */
  readonly allowedFamilies?: readonly (4 | 6)[];
  readonly subnets: readonly IpPrefix[];
  /** Attributes that we have no word for. */
  readonly other: readonly ConfigAttribute[];
}

/** A DS record's data for an internal name (RFC 4034 §5.1). */
export interface DnssecAnchor {
  readonly domain: string;
  readonly keyTag: number;
  readonly algorithm: number;
  readonly digestType: number;
  readonly digest: Uint8Array;
}

/** A resolver that speaks DNS in TLS, HTTPS or QUIC (RFC 9464). */
export interface EncryptedDns {
  /** Lower is better; never 0. */
  readonly priority: number;
  /** The name that its certificate must have. */
  readonly name: string;
  readonly addresses: readonly IpAddress[];
  /** Such as `dot`, `h2`, `doq` (RFC 9461 §4). */
  readonly protocols: readonly string[];
  /** Absent: the protocol's own. */
  readonly port?: number;
  /** Of DNS over HTTPS: a URI template such as `/dns-query{?dns}`. */
  readonly path?: string;
  /** Any of these is the digest of its key (RFC 9464 §3.2); absent: the gateway says nothing of it. */
  readonly digests?: readonly KeyDigest[];
}

/** Of a SubjectPublicKeyInfo in DER (RFC 9464 §5). */
export interface KeyDigest {
  readonly hash: 'sha256' | 'sha384' | 'sha512';
  readonly octets: Uint8Array;
}

export type IkeTimer = 'retransmit' | 'dpd' | 'ike-rekey' | 'child-rekey' | 'eap-wait' | 'linger' | 'half-open' | 'reauth';

export interface ChildSaKeys {
  readonly suite: { readonly encr: number; readonly keyBits: number; readonly integ: number };
  readonly inbound: { readonly spi: number; readonly encryptionKey: Uint8Array; readonly integrityKey: Uint8Array };
  readonly outbound: { readonly spi: number; readonly encryptionKey: Uint8Array; readonly integrityKey: Uint8Array };
  readonly tsi: readonly TrafficSelector[];
  readonly tsr: readonly TrafficSelector[];
  /** Extended sequence numbers (RFC 4303 §2.2.1). */
  readonly esn: boolean;
  readonly sendNow: boolean;
}

export type IkeEvent =
  | { readonly kind: 'datagram'; readonly datagram: Uint8Array; readonly from: IpAddress; readonly fromPort: number }
  | { readonly kind: 'timer'; readonly timer: IkeTimer }
  | { readonly kind: 'signed'; readonly request: number; readonly signature: Uint8Array | undefined; readonly problem?: string }
  | { readonly kind: 'gateway-verdict'; readonly request: number; readonly verdict: GatewayVerdict }
  /** Answer to `solve-puzzle`; undefined when it was too much. */
  | { readonly kind: 'puzzle-solved'; readonly request: number; readonly solution: Uint8Array | undefined }
  | { readonly kind: 'eap'; readonly event: EapEvent }
  /** The host installed (or failed to install) a pair named by its inbound SPI. */
  | { readonly kind: 'child-installed'; readonly spiIn: number; readonly problem?: string }
  /** Answer to `ask-traffic`, or volunteered. Milliseconds of the same clock as `now`. */
  | {
      readonly kind: 'traffic';
      readonly lastInboundAt: number | undefined;
      readonly children: readonly { readonly spiIn: number; readonly bytesIn: number; readonly bytesOut: number }[];
    }
  | { readonly kind: 'rekey-child'; readonly spiIn: number }
  | { readonly kind: 'rekey-ike' }
  /** There is another PPK than the one that the IKE SA was made with: for CREATE_CHILD_SA from now on (RFC 9867 §3.2). */
  | { readonly kind: 'fresh-ppk'; readonly ppk: NamedPpk }
  /** The outer flow now has these ends (already moved by the data plane). */
  | { readonly kind: 'path-changed'; readonly path: Path }
  | { readonly kind: 'check-liveness' }
  /** ESP has left, and none has come in for seconds; a time of the same clock as `now`. */
  | { readonly kind: 'unanswered'; readonly lastInboundAt: number | undefined }
  /** Answer to `probe-gateway`: something on the gateway's address answered a stranger's IKE_SA_INIT. Nothing of it is proven. */
  | { readonly kind: 'gateway-answers-strangers' }
  | { readonly kind: 'close'; readonly why: string };

export type GatewayVerdict =
  | { readonly accepted: true; readonly spki: Uint8Array; readonly subject: string; readonly trace: readonly string[] }
  | { readonly accepted: false; readonly reason: GatewayRefusal; readonly detail: string; readonly trace: readonly string[] };

export type GatewayRefusal =
  | 'no-certificate'
  | 'untrusted'
  | 'expired'
  | 'not-yet-valid'
  | 'wrong-name'
  | 'wrong-eku'
  | 'revoked'
  | 'revocation-unknown'
  | 'weak'
  | 'malformed';

export type IkeAction =
  /** To the gateway, where `to` does not say that an answer goes back to where its request came from (RFC 7296 §2.11). */
  | { readonly kind: 'send'; readonly datagram: Uint8Array; readonly to?: Endpoint }
  /** (Re)arms a timer; there is one of each name. */
  | { readonly kind: 'arm'; readonly timer: IkeTimer; readonly at: number }
  | { readonly kind: 'disarm'; readonly timer: IkeTimer }
  | { readonly kind: 'sign'; readonly request: number; readonly scheme: SignatureScheme; readonly data: Uint8Array }
  | {
      readonly kind: 'verify-gateway';
      readonly request: number;
      readonly certificates: readonly Uint8Array[];
      /** What the host is to fetch first, if it may; octets of a stranger like the rest. Empty without `fetchesCertificates`. */
      readonly references: readonly CertificateReference[];
      readonly identity: Identity;
      readonly names: readonly string[];
      /** OCSP responses that came along (RFC 4806): octets of a stranger like the certificates. */
      readonly ocspResponses: readonly Uint8Array[];
    }
  /** Work for the gateway's sake (RFC 8019), see `PuzzleSearch`; to be given up after `puzzleMs` at the latest. */
  | { readonly kind: 'solve-puzzle'; readonly request: number; readonly puzzle: Puzzle; readonly text: Uint8Array }
  /** IKE_SA_INIT is answered: something is there. Nothing of it is proven. */
  | { readonly kind: 'answered' }
  | { readonly kind: 'eap'; readonly action: EapAction }
  /** The method is complete, EAP-Success was heard and there is a key: what was typed in was right. */
  | { readonly kind: 'eap-succeeded'; readonly method: string }
  /** The gateway keeps quiet in the middle of EAP since then: somebody behind it takes time, a second factor perhaps. Undefined: no more. */
  | { readonly kind: 'eap-waiting'; readonly since: number | undefined }
  | { readonly kind: 'install-child'; readonly child: ChildSaKeys }
  /** From now on this installed pair sends. */
  | { readonly kind: 'use-child'; readonly spiIn: number }
  | { readonly kind: 'remove-child'; readonly spiIn: number }
  | { readonly kind: 'ask-traffic' }
  /** First CHILD_SA is installed: the tunnel carries traffic. */
  | { readonly kind: 'established'; readonly configuration: TunnelConfiguration; readonly facts: IkeFacts }
  | { readonly kind: 'rekeyed'; readonly what: 'ike' | 'child'; readonly facts: IkeFacts }
  /** The peer answered on the new path (MOBIKE or plain), or cannot move: it says so, or its ESP stays away for good. */
  | { readonly kind: 'moved' }
  | { readonly kind: 'cannot-move' }
  /** Liveness is in doubt: a request goes unanswered (true), or was answered after all (false). */
  | { readonly kind: 'unresponsive'; readonly since: number | undefined }
  /** Ask the gateway for an IKE_SA_INIT as if we were nobody, on a flow of its own; said again at every retransmission, one at a time is enough. */
  | { readonly kind: 'probe-gateway' }
  /** A ticket for later, good for `lifetimeMs`; or none: what was kept is good for nothing any more. */
  | { readonly kind: 'ticket'; readonly ticket: SessionTicket | undefined; readonly lifetimeMs: number }
  /**
   * A new IKE SA is wanted in place of this one, which stays until the new one is there: the authentication runs out (RFC 4478), or the
   * gateway has proven that it lost the SA (RFC 6290). Said again when that has not happened after a while.
   */
  | { readonly kind: 'replace'; readonly why: 'lifetime' | 'crash' }
  /** The end of this SA; nothing follows. */
  | { readonly kind: 'ended'; readonly end: IkeEnd }
  | { readonly kind: 'trace'; readonly level: 'info' | 'debug'; readonly what: string }
  /** A message was sent or came in; for traces only. */
  | { readonly kind: 'message'; readonly record: MessageRecord };

/** Facts for `status`; never keys. */
export interface IkeFacts {
  readonly spiI: string;
  readonly spiR: string;
  /** Such as `AES-GCM-16-256 / PRF-HMAC-SHA2-256 / X25519`. */
  readonly ikeSuite: string;
  readonly childSuite: string;
  readonly gatewayIdentity: string;
  readonly gatewaySubject: string;
  readonly authentication: string;
  readonly mobike: boolean;
  readonly fragmentation: boolean;
  readonly natLocal: boolean;
  readonly natRemote: boolean;
  readonly tsi: readonly string[];
  readonly tsr: readonly string[];
}

/** A gateway by address or name (RFC 5685 §9.2). */
export type GatewayPlace =
  | { readonly kind: 'address'; readonly address: IpAddress }
  | { readonly kind: 'name'; readonly name: string };

export type IkeEnd =
  | { readonly kind: 'closed'; readonly why: string }
  | { readonly kind: 'peer-closed' }
  /** The gateway sends us elsewhere. `proven`: it had authenticated itself before; without that anybody on the way may have said so. */
  | { readonly kind: 'redirected'; readonly to: GatewayPlace; readonly proven: boolean }
  | { readonly kind: 'failed'; readonly failure: IkeFailure };

/** Why an SA could not be made or kept. The daemon maps each to an `AOV-IKE-…` code with side, Windows number and cure. */
export type IkeFailure =
  | { readonly kind: 'no-answer'; readonly phase: 'init' | 'auth' | 'established'; readonly seconds: number }
  | { readonly kind: 'no-proposal-chosen'; readonly what: 'ike' | 'child' }
  | { readonly kind: 'invalid-ke'; readonly wanted: number }
  | { readonly kind: 'invalid-syntax'; readonly detail: string }
  | { readonly kind: 'gateway-refused'; readonly refusal: GatewayRefusal; readonly detail: string }
  | { readonly kind: 'gateway-signature' }
  /** `machine`: of two authentications it was the machine's that was refused. */
  | { readonly kind: 'authentication-failed'; readonly detail: string; readonly machine?: true }
  | { readonly kind: 'eap'; readonly failure: EapFailure }
  | { readonly kind: 'ts-unacceptable' }
  /** The settings demand what the gateway does not speak. */
  | { readonly kind: 'not-supported'; readonly what: 'ppk' | 'multiple-authentication' }
  | { readonly kind: 'no-address' }
  | { readonly kind: 'signing'; readonly problem: string }
  | { readonly kind: 'install'; readonly problem: string }
  | { readonly kind: 'notify'; readonly type: number; readonly name: string; readonly phase: string }
  | { readonly kind: 'protocol'; readonly detail: string };
