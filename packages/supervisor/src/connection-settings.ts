import type { TcpUse } from './candidate.ts';

/** What ProfileXML has no word for and the connection's IKE SA needs to know; from aovpn.toml. */
export interface ConnectionSettings {
  /** Offer algorithms that are too weak to be used unasked, where the profile (or a gateway at its defaults) wants them. */
  readonly allowWeak: boolean;
  /** ML-KEM beside the usual key exchange: offered where the offer is ours, demanded always, or never. */
  readonly postQuantum: 'offer' | 'require' | 'off';
  /** User name for EAP; for EAP-TLS the certificate has one as a rule. */
  readonly userName?: string;
  /** `subject` or one of the certificate's subject alternative names, to be sent as IDi; any name without a certificate. */
  readonly identity?: string;
  /** What the gateway is to call itself, and what we ask for. */
  readonly gatewayIdentity?: string;
  /** Where a gateway that fetches certificates finds ours (RFC 7296 §3.6). */
  readonly certificateUrl?: string;
  /** URLs below which the gateway's certificates may be fetched; none: nothing is fetched. */
  readonly certificateUrls: readonly string[];
  /** PPK_ID of the post-quantum preshared key. */
  readonly ppkIdentity?: string;
  /** Without that key there is no connection. */
  readonly ppkRequired?: boolean;
  readonly childless?: boolean;
  /** Tickets are asked for and used. */
  readonly sessionResumption?: boolean;
  /** EAP alone may prove the gateway (RFC 5998), where the method is fit for it. */
  readonly allowEapOnly?: boolean;
  /** Names whose DNSSEC trust anchors may come from the gateway (RFC 8598 §4.2). */
  readonly dnssecAnchors: readonly string[];
  /** Go where a gateway sends us (RFC 5685). */
  readonly redirect: boolean;
  /** TCP encapsulation (RFC 9329): where UDP is blocked, never, or always. */
  readonly tcp: TcpUse;
  readonly dpdMs: number;
  readonly ikeLifetimeMs: number;
  readonly childLifetimeMs: number;
  /** 0: no limit by volume. */
  readonly childLifetimeBytes: number;
  /** Patience for a second factor between two EAP messages. */
  readonly eapWaitMs: number;
}

/** In force where aovpn.toml says nothing. */
export const defaultConnectionSettings: ConnectionSettings = {
  allowWeak: false,
  postQuantum: 'offer',
  certificateUrls: [],
  dnssecAnchors: [],
  redirect: true,
  tcp: 'fallback',
  ppkRequired: true,
  childless: false,
  sessionResumption: true,
  dpdMs: 10_000,
  ikeLifetimeMs: 8 * 3_600_000,
  childLifetimeMs: 3_600_000,
  childLifetimeBytes: 0,
  eapWaitMs: 120_000,
};
