import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Writer } from '@aovpn/bytes';
import { notify } from '../../src/machine/pick.ts';
import { windowsErrorOf } from '../../src/machine/microsoft.ts';
import type { IkeSaConfig } from '../../src/machine/contract.ts';
import type { Payload } from '../../src/message/payload.ts';
import { assertSameChildren, lastHeard } from '../../testkit/assertion.ts';
import { established, talk, toClient, toResponder, type Pair } from '../../testkit/conversation.ts';
import { certificateConfig, childProposals } from '../../testkit/world.ts';

/** As where the profile says nothing of PFS: both will do. */
const either = [...childProposals, { ...childProposals[0]!, ke: [] }];
const config = { ...certificateConfig, dpdMs: 0, childProposals: either };
const plainGateway = { childProposals: [{ ...childProposals[0]!, ke: [] }] };
const windows = (number: number, littleEndian = false): Payload => {
  const data = new Uint8Array(4);
  new DataView(data.buffer).setUint32(0, number, littleEndian);
  return notify(12345, data);
};
/** A gateway that refuses every rekey, or those with a key exchange, and so has not made the pair either. */
function refusing(configuration: IkeSaConfig, answer: Payload, every = false): Pair {
  const pair: Pair = established(configuration, {
    ...plainGateway,
    impair(payloads, { header, payloads: asked }) {
      if (header.exchange !== 36 || !(every || asked.some(({ kind }) => kind === 'KE'))) return payloads;
      pair.responder.children.delete([...pair.responder.children.keys()].at(-1)!);
      return [answer];
    },
  });
  return pair;
}
const firstChild = ({ client }: Pair): number => client.sa.children.find(({ stage }) => stage.name === 'active')!.spiIn;

suite('gateways of Microsoft: rekeys of CHILD_SAs', () => {
  for (const [name, answer] of [
    ['NO_PROPOSAL_CHOSEN', notify(14)],
    ['INVALID_SYNTAX', notify(7)],
    ['INVALID_KE_PAYLOAD that wants none', notify(17, new Uint8Array(2))],
    ['13816 in a private Notify', windows(13816)],
    ['13816 in the other order of octets', windows(13816, true)],
  ] as const) {
    test(`a key exchange where none is expected, refused with ${name}: without one, now and from now on`, () => {
      const pair = refusing(config, answer);
      pair.client.step({ kind: 'rekey-child', spiIn: firstChild(pair) });
      toResponder(pair);
      assert.match(lastHeard(pair), /: N16393 SA NONCE KE TSi TSr$/);
      toClient(pair);
      toResponder(pair);
      assert.match(lastHeard(pair), /: N16393 SA NONCE TSi TSr$/);
      talk(pair);
      assertSameChildren(pair, 1);
      pair.client.advance(6000);
      pair.client.step({ kind: 'rekey-child', spiIn: firstChild(pair) });
      toResponder(pair);
      assert.match(lastHeard(pair), /: N16393 SA NONCE TSi TSr$/);
      talk(pair);
      assertSameChildren(pair, 1);
    });
  }

  test('perfect forward secrecy that the profile asks for is not given up', () => {
    const pair = refusing({ ...config, childProposals }, notify(14));
    pair.client.step({ kind: 'rekey-child', spiIn: firstChild(pair) });
    talk(pair);
    assert.ok(
      pair.responder.heard.every(({ header, payloads }) => header.exchange !== 36 || payloads.some(({ kind }) => kind === 'KE')),
    );
  });

  test('a rekey of the gateway with a KE payload that no proposal speaks of (after some 200 MiB, as Windows does)', () => {
    const pair = established(config, plainGateway);
    pair.responder.rekeyChild([...pair.responder.children.values()][0]!);
    talk(pair);
    assertSameChildren(pair, 1);
  });

  test('13863: it rekeys itself; we go on, and it does', () => {
    const pair = refusing(config, windows(13863), true);
    for (let i = 0; i < 6; i++) {
      pair.client.step({ kind: 'rekey-child', spiIn: firstChild(pair) });
      talk(pair);
      pair.client.advance(16_000);
      talk(pair);
      assert.equal(pair.client.phase, 'open');
    }
    delete pair.responder.options.impair;
    pair.responder.rekeyChild([...pair.responder.children.values()][0]!);
    talk(pair);
    assertSameChildren(pair, 1);
  });

  test('the number in a private Notify', () => {
    assert.equal(windowsErrorOf(12345, new Writer(4).u32(13801).finish()), 13801);
    assert.equal(windowsErrorOf(12345, Uint8Array.of(0xe9, 0x35, 0, 0)), 13801);
    for (const data of [new Uint8Array(0), new Uint8Array(3), new Uint8Array(4), new Uint8Array(4).fill(255)])
      assert.equal(windowsErrorOf(12345, data), undefined);
    assert.equal(windowsErrorOf(12346, new Writer(4).u32(13801).finish()), undefined);
  });
});
