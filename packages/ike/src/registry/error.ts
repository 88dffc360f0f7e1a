import { concat } from '@aovpn/bytes';
import type { NotifyPayload } from '../message/payload.ts';
import { NotifyType, nameOfNotify } from './notify.ts';
import { ProtocolId } from './protocol.ts';

/**
 * The errors that two IKEv2 peers tell each other (RFC 7296 §3.10.1), one shape each, with the data that its Notify carries.
 * Values, never thrown past the room: what a peer did wrong is not a fault of ours.
 */
export type IkeProtocolError =
  | { readonly kind: 'UNSUPPORTED_CRITICAL_PAYLOAD'; readonly payloadType: number }
  | { readonly kind: 'INVALID_IKE_SPI' }
  | { readonly kind: 'INVALID_MAJOR_VERSION'; readonly version: number }
  /** `detail` is for our own trace; it does not travel. */
  | { readonly kind: 'INVALID_SYNTAX'; readonly detail: string }
  | { readonly kind: 'INVALID_MESSAGE_ID'; readonly messageId: number }
  | { readonly kind: 'INVALID_SPI'; readonly spi: Uint8Array }
  | { readonly kind: 'NO_PROPOSAL_CHOSEN' }
  | { readonly kind: 'INVALID_KE_PAYLOAD'; readonly group: number }
  | { readonly kind: 'AUTHENTICATION_FAILED' }
  | { readonly kind: 'SINGLE_PAIR_REQUIRED' }
  | { readonly kind: 'NO_ADDITIONAL_SAS' }
  | { readonly kind: 'INTERNAL_ADDRESS_FAILURE' }
  | { readonly kind: 'FAILED_CP_REQUIRED' }
  | { readonly kind: 'TS_UNACCEPTABLE' }
  | { readonly kind: 'INVALID_SELECTORS'; readonly packet: Uint8Array }
  | { readonly kind: 'STATE_NOT_FOUND' }
  | { readonly kind: 'TEMPORARY_FAILURE' }
  | { readonly kind: 'CHILD_SA_NOT_FOUND'; readonly protocol: number; readonly spi: Uint8Array };

/** The error's number in the registry. */
export function errorNumber(error: IkeProtocolError): number {
  return NotifyType[error.kind];
}

/** The Notify payload that tells the peer. */
export function errorNotify(error: IkeProtocolError): NotifyPayload {
  const type = errorNumber(error);
  const plain = { kind: 'N', protocol: ProtocolId.NONE, spi: new Uint8Array(0), type, data: new Uint8Array(0) } as const;
  switch (error.kind) {
    case 'UNSUPPORTED_CRITICAL_PAYLOAD':
      return { ...plain, data: Uint8Array.of(error.payloadType) };
    case 'INVALID_MAJOR_VERSION':
      return { ...plain, data: Uint8Array.of(error.version) };
    case 'INVALID_MESSAGE_ID':
      return { ...plain, data: u32(error.messageId) };
    case 'INVALID_SPI':
      return { ...plain, data: error.spi };
    case 'INVALID_KE_PAYLOAD':
      return { ...plain, data: Uint8Array.of(error.group >> 8, error.group & 0xff) };
    case 'INVALID_SELECTORS':
      return { ...plain, data: error.packet };
    case 'CHILD_SA_NOT_FOUND':
      return { ...plain, protocol: error.protocol, spi: error.spi };
    case 'INVALID_IKE_SPI':
    case 'INVALID_SYNTAX':
    case 'NO_PROPOSAL_CHOSEN':
    case 'AUTHENTICATION_FAILED':
    case 'SINGLE_PAIR_REQUIRED':
    case 'NO_ADDITIONAL_SAS':
    case 'INTERNAL_ADDRESS_FAILURE':
    case 'FAILED_CP_REQUIRED':
    case 'TS_UNACCEPTABLE':
    case 'STATE_NOT_FOUND':
    case 'TEMPORARY_FAILURE':
      return plain;
  }
}

/** For traces: the name and whatever is known beyond it. */
export function describeError(error: IkeProtocolError): string {
  const name = nameOfNotify(errorNumber(error));
  switch (error.kind) {
    case 'INVALID_SYNTAX':
      return `${name} (${error.detail})`;
    case 'UNSUPPORTED_CRITICAL_PAYLOAD':
      return `${name} (payload type ${error.payloadType})`;
    case 'INVALID_KE_PAYLOAD':
      return `${name} (group ${error.group})`;
    case 'INVALID_MAJOR_VERSION':
      return `${name} (version ${error.version})`;
    case 'INVALID_MESSAGE_ID':
      return `${name} (message ID ${error.messageId})`;
    case 'INVALID_IKE_SPI':
    case 'INVALID_SPI':
    case 'NO_PROPOSAL_CHOSEN':
    case 'AUTHENTICATION_FAILED':
    case 'SINGLE_PAIR_REQUIRED':
    case 'NO_ADDITIONAL_SAS':
    case 'INTERNAL_ADDRESS_FAILURE':
    case 'FAILED_CP_REQUIRED':
    case 'TS_UNACCEPTABLE':
    case 'INVALID_SELECTORS':
    case 'STATE_NOT_FOUND':
    case 'TEMPORARY_FAILURE':
    case 'CHILD_SA_NOT_FOUND':
      return name;
  }
}

function u32(value: number): Uint8Array {
  return concat(Uint8Array.of(value >>> 24, (value >>> 16) & 0xff), Uint8Array.of((value >>> 8) & 0xff, value & 0xff));
}
