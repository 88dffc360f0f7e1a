import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { IkeSaConfig } from '../../src/machine/contract.ts';
import { notify } from '../../src/machine/pick.ts';
import { assertSameChildren, describe } from '../../testkit/assertion.ts';
import { createPair, established, talk } from '../../testkit/conversation.ts';
import { certificateConfig, eapConfig } from '../../testkit/world.ts';

suite('IKE_AUTH without a CHILD_SA (RFC 6023)', () => {
  for (const [name, base] of Object.entries({ certificate: certificateConfig, EAP: eapConfig })) {
    const config: IkeSaConfig = { ...base, childless: true };
    /*
     *                        <-- IKE_SA_INIT { …, N(CHILDLESS_IKEV2_SUPPORTED) }
     * IKE_AUTH SK { IDi, CERT, AUTH, CP } -->     <-- IKE_AUTH SK { IDr, CERT, AUTH, CP }
     * CREATE_CHILD_SA SK { SA, Ni, KEi, TSi, TSr } -->  <-- CREATE_CHILD_SA SK { SA, Nr, KEr, TSi, TSr }
     */
    test(`${name}: the first CHILD_SA has a key exchange of its own`, () => {
      const pair = established(config, { childless: true });
      const heard = pair.responder.heard.map(describe);
      assert.doesNotMatch(heard[1]!, /SA|TSi/);
      assert.match(heard.at(-1)!, /^36 request \d+: SA NONCE KE TSi TSr$/);
      assertSameChildren(pair);
      assert.equal(pair.client.count('established'), 1);
      assert.equal(pair.client.last('established')!.configuration.addresses.length, 1);
      assert.equal(pair.client.count('rekeyed'), 0);
    });
  }

  test('a gateway that does not offer it gets the usual exchange', () => {
    const pair = established({ ...certificateConfig, childless: true });
    assert.match(describe(pair.responder.heard[1]!), /SA TSi TSr/);
    assertSameChildren(pair);
  });

  test('the CHILD_SA is refused: the SA says goodbye and fails with the reason', () => {
    for (const [type, kind] of [
      [14, 'no-proposal-chosen'],
      [38, 'ts-unacceptable'],
    ] as const) {
      const pair = createPair(
        { ...certificateConfig, childless: true },
        { childless: true, impair: (payloads, { header }) => (header.exchange === 36 ? [notify(type)] : payloads) },
      );
      talk(pair);
      assert.equal(pair.client.end?.kind === 'failed' && pair.client.end.failure.kind, kind);
      assert.equal(pair.responder.closed, true);
    }
  });

  test('INVALID_KE_PAYLOAD is answered with the other group', () => {
    const childProposals = [{ encr: [{ id: 20, keyBits: 256 }], integ: [], ke: [31, 19] }];
    const pair = established(
      { ...certificateConfig, childless: true, childProposals },
      { childless: true, childProposals: [{ ...childProposals[0]!, ke: [19] }] },
    );
    assertSameChildren(pair);
  });
});
