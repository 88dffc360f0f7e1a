import type { IpAddress } from '@aovpn/bytes';

/** Payloads as values (RFC 7296 §3.2–3.16). `Encrypted` payloads never appear here: a message is opened before it is a message. */
export type Payload =
  | { readonly kind: 'SA'; readonly proposals: readonly Proposal[] }
  | { readonly kind: 'KE'; readonly group: number; readonly data: Uint8Array }
  | { readonly kind: 'IDi' | 'IDr'; readonly identity: Identity }
  | { readonly kind: 'CERT'; readonly encoding: number; readonly data: Uint8Array }
  | { readonly kind: 'CERTREQ'; readonly encoding: number; readonly authorities: Uint8Array }
  | { readonly kind: 'AUTH'; readonly method: number; readonly data: Uint8Array }
  | { readonly kind: 'NONCE'; readonly data: Uint8Array }
  | NotifyPayload
  | { readonly kind: 'D'; readonly protocol: number; readonly spis: readonly Uint8Array[] }
  | { readonly kind: 'V'; readonly data: Uint8Array }
  | { readonly kind: 'TSi' | 'TSr'; readonly selectors: readonly TrafficSelector[] }
  | { readonly kind: 'CP'; readonly type: number; readonly attributes: readonly ConfigAttribute[] }
  | { readonly kind: 'EAP'; readonly packet: Uint8Array }
  | { readonly kind: 'PS'; readonly solution: Uint8Array }
  | { readonly kind: 'unknown'; readonly type: number; readonly critical: boolean; readonly data: Uint8Array };

export interface NotifyPayload {
  readonly kind: 'N';
  /** 0 when no SPI is carried. */
  readonly protocol: number;
  readonly spi: Uint8Array;
  readonly type: number;
  readonly data: Uint8Array;
}

/** RFC 7296 §3.3.1: one proposal; the choices inside a transform type are alternatives. */
export interface Proposal {
  /** 1 for the first, counting up. */
  readonly number: number;
  readonly protocol: number;
  readonly spi: Uint8Array;
  readonly transforms: readonly Transform[];
}

export interface Transform {
  readonly type: number;
  readonly id: number;
  /** Key Length attribute in bits, where one is sent. */
  readonly keyBits?: number;
  /** Set on receipt: an attribute was there that the transform cannot have, so that it must not be chosen (RFC 7296 §3.3.6). */
  readonly foreignAttribute?: boolean;
}

export interface Identity {
  /** RFC 7296 §3.5: 1 IPv4, 2 FQDN, 3 RFC822, 5 IPv6, 9 DER_ASN1_DN, 11 KEY_ID. */
  readonly type: number;
  readonly data: Uint8Array;
}

export interface TrafficSelector {
  /** 0: any protocol. */
  readonly protocol: number;
  readonly fromPort: number;
  readonly toPort: number;
  readonly from: IpAddress;
  readonly to: IpAddress;
}

export interface ConfigAttribute {
  readonly type: number;
  readonly value: Uint8Array;
}

export interface IkeHeader {
  readonly spiI: Uint8Array;
  /** All zero in the first IKE_SA_INIT request. */
  readonly spiR: Uint8Array;
  readonly exchange: number;
  /** Whether the sender is the original initiator of the IKE SA. */
  readonly fromInitiator: boolean;
  readonly response: boolean;
  readonly messageId: number;
}

export interface Message {
  readonly header: IkeHeader;
  readonly payloads: readonly Payload[];
}
