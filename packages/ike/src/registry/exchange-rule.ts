import type { Message } from '../message/payload.ts';
import type { PayloadKind } from './payload-type.ts';

/** What a message is about; IKE_AUTH and CREATE_CHILD_SA have several forms. */
export type ExchangeTopic =
  | 'ike-sa-init'
  | 'ike-auth-first'
  | 'ike-auth-eap'
  | 'ike-auth-final'
  | 'create-child'
  | 'rekey-child'
  | 'rekey-ike'
  | 'informational';

export interface PayloadRule {
  readonly payload: PayloadKind;
  readonly min: number;
  readonly max: number;
}

export interface ExchangeRule {
  readonly topic: ExchangeTopic;
  readonly exchange: number;
  readonly response: boolean;
  readonly payloads: readonly PayloadRule[];
  readonly reference: string;
}

export interface ExchangeViolation {
  readonly payload: string;
  readonly count: number;
  readonly what: string;
  readonly reference: string;
}

/** Violations of the rules of the topic in the message's direction; an answer that is an error alone lacks nothing. */
export function checkExchange(message: Message, topic: ExchangeTopic): ExchangeViolation[] {
  throw new Error(`not filled in yet ${message} ${topic}`);
}

/** Which form of CREATE_CHILD_SA a request is. */
export function createChildTopic(message: Message): 'create-child' | 'rekey-child' | 'rekey-ike' {
  throw new Error(`not filled in yet ${message}`);
}
