import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { encodeUtf8 } from '@aovpn/bytes';
import type { IkeSaConfig } from '../../src/machine/contract.ts';
import { notify, pick } from '../../src/machine/pick.ts';
import type { Identity, Payload } from '../../src/message/payload.ts';
import { assertSameChildren } from '../../testkit/assertion.ts';
import { createPair, established, talk } from '../../testkit/conversation.ts';
import type { ResponderOptions } from '../../testkit/responder-options.ts';
import { certificateConfig, eapConfig, sharedKey, sharedKeyConfig } from '../../testkit/world.ts';

/** 12345 with the number of a Windows error, as Microsoft's peers say it. */
const microsoft = notify(12345, Uint8Array.of(0x36, 0x27, 0, 0));
const adds =
  (exchange: number, ...more: readonly Payload[]): NonNullable<ResponderOptions['impair']> =>
  (payloads, { header }) =>
    header.exchange === exchange ? [...payloads, ...more] : payloads;

suite('peculiarities of gateways (docs/interoperability.md)', () => {
  test("a vendor's own error beside everything that was asked for does no harm", () => {
    assertSameChildren(established(certificateConfig, { impair: adds(35, microsoft) }));
  });

  test("a vendor's own error instead of an answer is the end, and is named", () => {
    const pair = createPair(certificateConfig, {
      impair: (payloads, { header }) => (header.exchange === 35 ? [microsoft] : payloads),
    });
    talk(pair);
    assert.deepEqual(pair.client.end, {
      kind: 'failed',
      failure: { kind: 'notify', type: 12345, name: 'notify(12345)', phase: 'IKE_AUTH' },
    });
  });

  test('an error that an RFC knows beside everything else is believed', () => {
    const pair = createPair(certificateConfig, { impair: adds(35, notify(38)) });
    talk(pair);
    assert.equal(pair.client.end?.kind === 'failed' && pair.client.end.failure.kind, 'ts-unacceptable');
  });

  test("a rekey that is refused by a vendor's own error is tried again; traffic goes on", () => {
    let refusals = 0;
    const pair = established(
      { ...certificateConfig, dpdMs: 0 },
      {
        impair: (payloads, { header }) => (header.exchange === 36 && refusals++ === 0 ? [microsoft] : payloads),
      },
    );
    const [first] = pair.client.sending;
    pair.client.step({ kind: 'rekey-child', spiIn: first! });
    talk(pair);
    assert.deepEqual(pair.client.sending, [first]);
    pair.client.advance(20_000);
    talk(pair);
    assert.notDeepEqual(pair.client.sending, [first]);
    assert.equal(pair.client.phase, 'open');
  });

  test('vendor IDs and notifications of anybody are passed over, wherever they stand', () => {
    const noise: readonly Payload[] = [
      { kind: 'V', data: encodeUtf8('CISCO-DELETE-REASON') },
      { kind: 'V', data: new Uint8Array(16).fill(7) },
      notify(40_960, new Uint8Array(300)),
      { kind: 'unknown', type: 200, critical: false, data: new Uint8Array(4) },
    ];
    for (const config of [certificateConfig, eapConfig]) {
      const pair = established(config, { impair: (payloads) => [...noise, ...payloads, ...noise] });
      pair.client.step({ kind: 'rekey-child', spiIn: pair.client.sending[0]! });
      talk(pair);
      assertSameChildren(pair, 1);
    }
  });

  /** The gateway calls itself something. */
  const calledIn = (identity: Identity, config: IkeSaConfig) => {
    const pair = createPair(config, { sharedKey, identity });
    talk(pair);
    return pair.client;
  };
  const group: Identity = { type: 11, data: encodeUtf8('branch') };

  test('with a shared key a gateway may call itself by an address, also one that only it knows', () => {
    assert.equal(calledIn({ type: 1, data: Uint8Array.of(10, 0, 0, 4) }, sharedKeyConfig).phase, 'open');
  });

  test('a key ID is one that the settings name', () => {
    assert.equal(calledIn(group, { ...sharedKeyConfig, gatewayIdentity: group }).phase, 'open');
    const { end } = calledIn(group, sharedKeyConfig);
    assert.equal(end?.kind === 'failed' && end.failure.kind === 'gateway-refused' && end.failure.refusal, 'wrong-name');
    const other = calledIn({ type: 1, data: Uint8Array.of(10, 0, 0, 4) }, { ...sharedKeyConfig, gatewayIdentity: group });
    assert.equal(other.end?.kind, 'failed', 'and then nothing else will do');
  });

  test('IDr is sent where the settings name the gateway, and nowhere else', () => {
    const named = established({ ...certificateConfig, gatewayIdentity: group });
    assert.deepEqual(pick(named.responder.heard[1]!.payloads, 'IDr')?.identity, group);
    assert.equal(pick(established().responder.heard[1]!.payloads, 'IDr'), undefined);
  });
});
