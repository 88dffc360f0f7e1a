import assert from 'node:assert/strict';
import type { Message, Payload } from '../src/message/payload.ts';
import type { Client } from './client.ts';
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
export function assertSameChildren({ client, responder }: Pick<Pair, 'client' | 'responder'>, lingering = 0): void {
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
export function assertSameIke({ client, responder }: Pick<Pair, 'client' | 'responder'>): void {
  const current = client.sa.associations.find(({ role }) => role === 'current')!;
  assert.deepEqual(current.spiI, responder.current.spiI);
  assert.deepEqual(current.spiR, responder.current.spiR);
  assert.deepEqual(current.protection?.skD, responder.current.skD);
}

/** Both ends run our machine: the same IKE SA, the same pairs turned round with the same keys, and each side sends where the other receives. */
export function assertMirrored(a: Client, b: Client): void {
  assert.equal(a.phase, 'open');
  assert.equal(b.phase, 'open');
  const [ours, theirs] = [a, b].map(({ sa }) => sa.associations.find(({ role }) => role === 'current')!);
  assert.deepEqual([ours!.spiI, ours!.spiR], [theirs!.spiI, theirs!.spiR], 'the same IKE SA');
  assert.deepEqual(ours!.protection?.skD, theirs!.protection?.skD);
  assert.notEqual(ours!.initiator, theirs!.initiator);
  const living = (client: Client): Client['sa']['children'] =>
    client.sa.children.filter(({ stage }) => stage.name !== 'lingering');
  const sorted = (pairs: readonly (readonly [number, number])[]): (readonly [number, number])[] =>
    pairs.toSorted((x, y) => x[0] - y[0]);
  assert.deepEqual(
    sorted(living(a).map(({ spiIn, spiOut }) => [spiIn, spiOut] as const)),
    sorted(living(b).map(({ spiIn, spiOut }) => [spiOut, spiIn] as const)),
    'the same pairs on both sides',
  );
  for (const { spiIn, spiOut } of living(a)) {
    const mine = a.children.get(spiIn)!.keys;
    const yours = b.children.get(spiOut)!.keys;
    assert.deepEqual(mine.inbound.encryptionKey, yours.outbound.encryptionKey);
    assert.deepEqual(mine.outbound.encryptionKey, yours.inbound.encryptionKey);
  }
  for (const client of [a, b]) {
    const [sending, ...more] = client.sending;
    assert.ok(sending !== undefined && more.length === 0, 'one pair sends');
    assert.ok(
      living(client).some(({ spiIn }) => spiIn === sending),
      'a living pair sends',
    );
  }
}

/** Nothing of an SA that has ended is left with the host. */
export function assertClean(client: Client): void {
  assert.equal(client.children.size, 0, 'nothing stays installed');
  assert.equal(client.timers.size, 0, 'no timer runs');
  assert.equal(client.sa.associations.length, 0);
}
