import assert from 'node:assert/strict';
import { toHex } from '@aovpn/bytes';
import type { EapAction, EapCrypto, EapEvent, EapPeerConfig } from '../src/peer-contract.ts';
import { startEapPeer, stepEap, type EapState } from '../src/peer.ts';
import { testCrypto } from './crypto.ts';

export const trust = { validate: true, serverNames: ['radius.example.com'], trustedRoots: [] };
export const passwordUser: EapPeerConfig = { identity: 'User', method: { kind: 'mschapv2', userName: 'User' } };
export const tlsUser: EapPeerConfig = { identity: 'user@example.com', method: { kind: 'tls', trust } };

/** A peer that remembers its state, so that a test reads as an exchange. */
export class Script {
  state: EapState;
  readonly #crypto: EapCrypto;

  constructor(config: EapPeerConfig, crypto: EapCrypto = testCrypto()) {
    this.state = startEapPeer(config);
    this.#crypto = crypto;
  }

  step(event: EapEvent): readonly EapAction[] {
    const { state, actions } = stepEap(this.#crypto, this.state, event);
    this.state = state;
    return actions.filter((action) => action.kind !== 'trace');
  }

  packet(packet: Uint8Array): readonly EapAction[] {
    return this.step({ kind: 'packet', packet });
  }

  /** The Response to a packet that must yield exactly that. */
  reply(packet: Uint8Array): Uint8Array {
    return onlyReply(this.packet(packet));
  }
}

export function onlyReply(actions: readonly EapAction[]): Uint8Array {
  assert.deepEqual(
    actions.map((action) => action.kind),
    ['reply'],
  );
  return find(actions, 'reply').packet;
}

export function find<K extends EapAction['kind']>(actions: readonly EapAction[], kind: K): Extract<EapAction, { kind: K }> {
  const found = actions.find((action): action is Extract<EapAction, { kind: K }> => action.kind === kind);
  assert.ok(found, `no action "${kind}" among ${actions.map((action) => action.kind).join(', ') || 'none'}`);
  return found;
}

export function assertFailed(actions: readonly EapAction[], kind: string, detail?: RegExp): void {
  const { failure } = find(actions, 'failed');
  assert.equal(failure.kind, kind, failure.detail);
  if (detail) assert.match(failure.detail, detail);
  assert.ok(!actions.some((action) => action.kind === 'succeeded'));
}

export function assertHex(actual: Uint8Array, expected: string): void {
  assert.equal(toHex(actual), expected.replaceAll(' ', ''));
}
