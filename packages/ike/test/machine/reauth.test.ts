import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseAddress } from '@aovpn/bytes';
import { notify, pick, pickNotify } from '../../src/machine/pick.ts';
import { writeSeconds } from '../../src/message/ticket.ts';
import { established, talk } from '../../testkit/conversation.ts';
import { certificateConfig, eapConfig } from '../../testkit/world.ts';

const quiet = { dpdMs: 0, ikeRekeyMs: 0, childRekeyMs: 0 } as const;

suite('repeated authentication (RFC 4478)', () => {
  /* <-- IKE_AUTH SK { …, N(AUTH_LIFETIME, 3600) } */
  for (const [name, base] of Object.entries({ certificate: certificateConfig, EAP: eapConfig })) {
    test(`${name}: a new IKE SA is wanted five minutes before time is up, and again when nothing came of it`, () => {
      const { client } = established({ ...base, ...quiet }, { authLifetime: 3600 });
      client.advance(3299_000);
      assert.equal(client.count('replace'), 0);
      client.advance(2_000);
      assert.deepEqual(client.last('replace'), { kind: 'replace', why: 'lifetime' });
      assert.equal(client.count('replace'), 1);
      client.advance(60_000);
      assert.equal(client.count('replace'), 2);
      assert.equal(client.phase, 'open');
    });
  }

  test('of a short time, after half of it', () => {
    const { client } = established({ ...certificateConfig, ...quiet }, { authLifetime: 20 });
    client.advance(9_900);
    assert.equal(client.count('replace'), 0);
    client.advance(200);
    assert.equal(client.count('replace'), 1);
  });

  test('without the word, never; with a word of another length, neither', () => {
    const { client } = established({ ...certificateConfig, ...quiet });
    client.advance(86_400_000);
    assert.equal(client.count('replace'), 0);
    const odd = established(
      { ...certificateConfig, ...quiet },
      { impair: (payloads, { header }) => (header.exchange === 35 ? [...payloads, notify(16403, Uint8Array.of(1))] : payloads) },
    );
    odd.client.advance(86_400_000);
    assert.equal(odd.client.count('replace'), 0);
  });

  /* <-- INFORMATIONAL SK { N(AUTH_LIFETIME, 100) } */
  test('the gateway may say so later, or change its mind', () => {
    const pair = established({ ...certificateConfig, ...quiet }, { authLifetime: 86_400 });
    pair.responder.request(37, [notify(16403, writeSeconds(100))]);
    talk(pair);
    pair.client.advance(51_000);
    assert.equal(pair.client.count('replace'), 1);
  });

  test('the new one asks for the same addresses and does not have the old one thrown away', () => {
    const address = parseAddress('10.9.0.5')!;
    const pair = established({ ...certificateConfig, replaces: [{ address, length: 32 }] });
    const { payloads } = pair.responder.heard[1]!;
    assert.equal(pickNotify(payloads, 16384), undefined, 'no INITIAL_CONTACT');
    const wanted = pick(payloads, 'CP')!.attributes.find(({ type }) => type === 1);
    assert.deepEqual(wanted?.value, address.bytes);
    const first = established();
    assert.ok(pickNotify(first.responder.heard[1]!.payloads, 16384));
    const beside = established({ ...certificateConfig, beside: true });
    assert.equal(pickNotify(beside.responder.heard[1]!.payloads, 16384), undefined, 'a second tunnel does not end the first');
  });
});
