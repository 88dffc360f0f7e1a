import assert from 'node:assert/strict';
import type { Message, Payload } from '../src/message/payload.ts';
import type { Pair } from './conversation.ts';

/** Payload kinds in order, Notify payloads by number: `SA KE NONCE N16388`. */
export function outline(payloads: readonly Payload[]): string {
  return payloads.map((payload) => (payload.kind === 'N' ? `N${payload.type}` : payload.kind)).join(' ');
}

/** The newest message that the responder has read, as `35 request 1: IDi CERT …`. */
export function lastHeard({ responder }: Pair): string {
  const message = responder.heard.at(-1);
  return message ? describe(message) : 'nothing';
}

export function describe({ header, payloads }: Message): string {
  return `${header.exchange} ${header.response ? 'response' : 'request'} ${header.messageId}: ${outline(payloads)}`.trimEnd();
}

/** Both sides have the same pairs with the same keys, and the client sends on one of them. */
export function assertSameChildren({ client, responder }: Pair, lingering = 0): void {
  const living = client.sa.children.filter(({ stage }) => stage.name !== 'lingering');
  assert.equal(client.sa.children.length - living.length, lingering, 'lingering pairs');
  assert.deepEqual(
    living.map(({ spiIn }) => spiIn).toSorted((a, b) => a - b),
    [...responder.children.values()].map(({ spiOut }) => spiOut).toSorted((a, b) => a - b),
    'the same pairs on both sides',
  );
  for (const { spiIn, spiOut } of living) {
    const ours = client.children.get(spiIn)!.keys;
    const theirs = responder.children.get(spiOut)!;
    assert.deepEqual(ours.inbound.encryptionKey, theirs.outbound.encryptionKey);
    assert.deepEqual(ours.outbound.encryptionKey, theirs.inbound.encryptionKey);
    assert.notDeepEqual(ours.inbound.encryptionKey, ours.outbound.encryptionKey);
  }
  const [sending, ...more] = client.sending;
  assert.ok(sending !== undefined && more.length === 0, 'one pair sends');
  assert.ok(
    living.some(({ spiIn }) => spiIn === sending),
    'a living pair sends',
  );
}

/** Both sides use the same IKE SA. */
export function assertSameIke({ client, responder }: Pair): void {
  const current = client.sa.associations.find(({ role }) => role === 'current')!;
  assert.deepEqual(current.spiI, responder.current.spiI);
  assert.deepEqual(current.spiR, responder.current.spiR);
  assert.deepEqual(current.protection?.skD, responder.current.skD);
}
