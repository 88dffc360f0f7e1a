import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { notify, pick } from '../../src/machine/pick.ts';
import type { Payload } from '../../src/message/payload.ts';
import { assertSameChildren, assertSameIke, describe, lastHeard, outline } from '../../testkit/assertion.ts';
import { established, talk, toClient, toResponder } from '../../testkit/conversation.ts';
import type { ResponderOptions } from '../../testkit/responder-options.ts';
import { certificateConfig, otherPath } from '../../testkit/world.ts';

const quiet = { ...certificateConfig, dpdMs: 0 };

suite('IKE SA rekeyed by us', () => {
  /*
   * CREATE_CHILD_SA SK { SAi, Ni, KEi } --> <-- CREATE_CHILD_SA SK { SAr, Nr, KEr }
   * INFORMATIONAL SK { D(IKE) }         --> <-- INFORMATIONAL SK { }
   */
  test('new SPIs and message IDs, the same CHILD_SAs', () => {
    const pair = established();
    const { client, responder } = pair;
    const old = client.last('established')!.facts;
    client.step({ kind: 'rekey-ike' });
    toResponder(pair);
    assert.equal(lastHeard(pair), '36 request 2: SA NONCE KE');
    toClient(pair);
    toResponder(pair);
    assert.equal(lastHeard(pair), '37 request 3: D');
    talk(pair);
    assertSameIke(pair);
    assertSameChildren(pair);
    assert.equal(client.sa.associations.length, 1);
    assert.equal(client.last('rekeyed')!.what, 'ike');
    assert.notEqual(client.last('rekeyed')!.facts.spiI, old.spiI);
    assert.equal(client.count('install-child'), 1);
    client.step({ kind: 'check-liveness' });
    toResponder(pair);
    assert.equal(lastHeard(pair), '37 request 0: N16388 N16389');
    assert.equal(responder.closed, false);
  });

  test('the new keys are used by a CHILD_SA rekey', () => {
    const pair = established();
    pair.client.step({ kind: 'rekey-ike' });
    talk(pair);
    pair.client.step({ kind: 'rekey-child', spiIn: pair.client.sa.children[0]!.spiIn });
    talk(pair);
    assertSameChildren(pair, 1);
  });

  test('old keys are overwritten', () => {
    const pair = established();
    const { skD, skPi, send, receive } = pair.client.sa.associations[0]!.protection!;
    pair.client.step({ kind: 'rekey-ike' });
    talk(pair);
    for (const key of [skD, skPi, send.encryptionKey, receive.encryptionKey]) assert.ok(key.every((octet) => octet === 0));
  });

  test('by time', () => {
    const pair = established(quiet);
    const at = pair.client.timers.get('ike-rekey')! - pair.client.now;
    assert.ok(at >= quiet.ikeRekeyMs * 0.9 && at <= quiet.ikeRekeyMs);
    // The CHILD_SA is rekeyed in between; its messages go their way.
    while (pair.client.last('rekeyed')?.what !== 'ike') {
      const next = pair.client.nextTimer()!;
      pair.client.fire(next.timer, next.at);
      talk(pair);
    }
    talk(pair);
    assertSameIke(pair);
  });

  test('INVALID_KE_PAYLOAD', () => {
    const pair = established();
    pair.responder.options.ikeProposals = [{ ...certificateConfig.ikeProposals[0]!, ke: [19] }];
    pair.client.step({ kind: 'rekey-ike' });
    talk(pair);
    assert.match(pair.client.last('rekeyed')!.facts.ikeSuite, /ECP256/);
    assertSameIke(pair);
  });

  test('refused three times: the SA ends', () => {
    const pair = established(quiet, { impair: inCreate(() => [notify(14)]) });
    pair.client.step({ kind: 'rekey-ike' });
    for (let i = 0; i < 2; i++) {
      talk(pair);
      pair.client.advance(15_000);
      assert.equal(pair.client.phase, 'open');
    }
    talk(pair);
    assert.deepEqual(pair.client.end, { kind: 'failed', failure: { kind: 'no-proposal-chosen', what: 'ike' } });
  });

  test('put off without end: the SA ends a quarter of its time later', () => {
    const ikeRekeyMs = 400_000;
    const pair = established({ ...quiet, ikeRekeyMs }, { impair: inCreate(() => [notify(43)]) });
    const { client } = pair;
    const bornAt = client.now;
    while (!client.end && client.now < bornAt + 2 * ikeRekeyMs) {
      client.advance(1000);
      talk(pair);
    }
    assert.equal(client.end?.kind, 'failed');
    const age = client.now - bornAt;
    assert.ok(age >= 1.25 * ikeRekeyMs && age <= 1.25 * ikeRekeyMs + 20_000, `${age}`);
  });

  for (const [name, change] of Object.entries<(payloads: readonly Payload[]) => readonly Payload[]>({
    'without KE': (payloads) => payloads.filter(({ kind }) => kind !== 'KE'),
    'with KE of zeros': (payloads) => payloads.map((p) => (p.kind === 'KE' ? { ...p, data: new Uint8Array(32) } : p)),
    'with SPI 0': (payloads) =>
      payloads.map((p) =>
        p.kind === 'SA' ? { ...p, proposals: p.proposals.map((q) => ({ ...q, spi: new Uint8Array(8) })) } : p,
      ),
    'without nonce': (payloads) => payloads.filter(({ kind }) => kind !== 'NONCE'),
  })) {
    test(`an answer ${name}: a clear end`, () => {
      const pair = established(quiet, { impair: inCreate(change) });
      pair.client.step({ kind: 'rekey-ike' });
      talk(pair);
      pair.client.advance(2000);
      assert.equal(pair.client.end?.kind, 'failed');
      assert.equal(pair.client.children.size, 0);
    });
  }

  test('the old one is forgotten when nobody confirms its Delete', () => {
    const pair = established(quiet);
    pair.client.step({ kind: 'rekey-ike' });
    toResponder(pair);
    toClient(pair);
    pair.client.take();
    assert.equal(pair.client.sa.associations.length, 2);
    pair.client.advance(31_000);
    assert.equal(pair.client.phase, 'open');
    assert.equal(pair.client.sa.associations.length, 1);
    assert.equal(pair.client.count('unresponsive'), 0);
  });
});

suite('IKE SA rekeyed by the peer', () => {
  /*
   *      <-- CREATE_CHILD_SA SK { SAi, Ni, KEi } --> CREATE_CHILD_SA SK { SAr, Nr, KEr }
   *      <-- INFORMATIONAL SK { D(IKE) }         --> INFORMATIONAL SK { }
   */
  test('the new one takes over when the old one is deleted', () => {
    const pair = established();
    const { client, responder } = pair;
    const old = client.sa.associations[0]!;
    responder.rekeyIke();
    toClient(pair);
    responder.receive(...client.take());
    assert.equal(describe(responder.heard.at(-1)!), '36 response 0: SA NONCE KE');
    // Nothing new begins on the old one.
    client.step({ kind: 'rekey-child', spiIn: client.sa.children[0]!.spiIn });
    assert.deepEqual(client.take(), []);
    talk(pair);
    assertSameIke(pair);
    assert.equal(client.last('rekeyed')?.what, 'child');
    assertSameChildren(pair, 1);
    const current = client.sa.associations.find(({ role }) => role === 'current')!;
    assert.equal(current.initiator, false);
    assert.notDeepEqual(current.spiI, old.spiI);
    client.advance(29_000);
    talk(pair);
    client.advance(2_000);
    assert.equal(client.sa.associations.length, 1);
  });

  test('and again, in both directions', () => {
    const pair = established(quiet);
    for (let i = 0; i < 3; i++) {
      pair.responder.rekeyIke();
      talk(pair);
      assertSameIke(pair);
      pair.client.step({ kind: 'rekey-ike' });
      talk(pair);
      assertSameIke(pair);
    }
    assertSameChildren(pair);
  });

  test('a lost answer to its Delete is repeated', () => {
    const pair = established();
    pair.responder.rekeyIke();
    toClient(pair);
    toResponder(pair);
    toClient(pair);
    pair.client.take();
    pair.responder.retransmit();
    talk(pair);
    assertSameIke(pair);
    assert.equal(pair.client.phase, 'open');
  });

  test('NO_PROPOSAL_CHOSEN and INVALID_KE_PAYLOAD', () => {
    const pair = established();
    pair.responder.options.ikeProposals = [{ encr: [{ id: 12, keyBits: 128 }], integ: [2], prf: [2], ke: [31] }];
    pair.responder.rekeyIke();
    talk(pair);
    assert.equal(lastHeard(pair), '36 response 0: N14');
    pair.responder.options.ikeProposals = [{ ...certificateConfig.ikeProposals[0]!, ke: [14, 19] }];
    pair.responder.rekeyIke(14);
    talk(pair);
    assert.equal(lastHeard(pair), '36 response 1: N17');
    assert.equal(pair.client.phase, 'open');
  });

  test('TEMPORARY_FAILURE while a CHILD_SA is being rekeyed (RFC 7296 §2.25.2)', () => {
    const pair = established();
    pair.client.step({ kind: 'rekey-child', spiIn: pair.client.sa.children[0]!.spiIn });
    const ours = pair.client.take();
    pair.responder.rekeyIke();
    toClient(pair);
    const answer = pair.client.take();
    pair.responder.receive(...answer);
    assert.equal(lastHeard(pair), '36 response 0: N43');
    pair.responder.receive(...ours);
    talk(pair);
    assertSameChildren(pair, 1);
  });

  test('a peer that does not delete the old one: we do', () => {
    const pair = established(quiet);
    pair.responder.tidy = false;
    pair.responder.rekeyIke();
    talk(pair);
    assert.equal(pair.client.count('rekeyed'), 0);
    pair.client.advance(36_000);
    talk(pair);
    assertSameIke(pair);
    assert.equal(pair.client.sa.associations.length, 1);
    assert.equal(pair.client.phase, 'open');
  });

  test('we slept through that time: the peer, which may not have our answer yet, gets it anew', () => {
    const pair = established(quiet);
    const { client, responder } = pair;
    responder.rekeyIke();
    toClient(pair);
    client.take();
    const asleep = client.now + 60_000;
    for (let timer = client.nextTimer(); timer && timer.at < asleep; timer = client.nextTimer()) client.fire(timer.timer, asleep);
    assert.equal(client.sent.length, 0, 'no Delete of what the peer still uses');
    responder.retransmit();
    talk(pair);
    assertSameIke(pair);
    assertSameChildren(pair);
  });

  test('a peer that deletes the new one instead: the old one goes on', () => {
    const pair = established(quiet);
    pair.responder.tidy = false;
    pair.responder.rekeyIke();
    talk(pair);
    pair.responder.deleteIke(pair.responder.current);
    talk(pair);
    assert.equal(pair.client.phase, 'open');
    assertSameIke(pair);
    pair.client.step({ kind: 'rekey-child', spiIn: pair.client.sa.children[0]!.spiIn });
    talk(pair);
    assertSameChildren(pair, 1);
  });

  /*
   *      <-- CREATE_CHILD_SA SK1 { SAi, Ni, KEi } --> CREATE_CHILD_SA SK1 { SAr, Nr, KEr } (lost)
   * INFORMATIONAL SK1 { N(UPDATE_SA_ADDRESSES), … } --> <-- INFORMATIONAL SK1 { … }
   *      <-- CREATE_CHILD_SA SK1 (again)          --> …  <-- INFORMATIONAL SK1 { D(IKE) }
   * INFORMATIONAL SK2 { N(UPDATE_SA_ADDRESSES), … } -->
   */
  test('we move in the middle of it: told on the old one at once, where else would it be asked; and on the new one again', () => {
    const pair = established(quiet);
    const { client, responder } = pair;
    responder.rekeyIke();
    toClient(pair);
    client.take();
    client.path = otherPath;
    client.step({ kind: 'path-changed', path: otherPath });
    client.step({ kind: 'rekey-child', spiIn: client.sa.children[0]!.spiIn });
    toResponder(pair);
    assert.equal(lastHeard(pair), '37 request 2: N16400 N16388 N16389');
    toClient(pair);
    assert.equal(client.sent.length, 0, 'nothing else begins on the old one');
    responder.retransmit();
    toClient(pair);
    toResponder(pair);
    toClient(pair);
    toResponder(pair);
    assert.equal(lastHeard(pair), '37 request 0: N16400 N16388 N16389');
    talk(pair);
    assertSameIke(pair);
    assertSameChildren(pair, 1);
    assert.equal(client.sa.pathStale, false);
  });

  // Found by simulation.
  test('the peer dies before it deletes the old one: that is noticed as soon as ever', () => {
    const pair = established({ ...quiet, dpdMs: 10_000 });
    const { client, responder } = pair;
    responder.rekeyIke();
    toClient(pair);
    // Silence, then patience on the old one and on the new one, 15 s each.
    for (let second = 0; second < 41 && !client.end; second++) {
      client.advance(1000);
      client.take();
    }
    assert.equal(client.end?.kind, 'failed');
  });

  test('no answer on the old one any more: the new one, which may be all that the peer has left, is tried', () => {
    const pair = established(quiet);
    const { client, responder } = pair;
    client.step({ kind: 'check-liveness' });
    client.take();
    responder.rekeyIke();
    toClient(pair);
    toResponder(pair);
    // Its Delete is lost, as is the answer to our probe.
    responder.take();
    client.advance(14_999);
    assert.equal(client.count('rekeyed'), 0);
    client.take();
    client.advance(1);
    assert.equal(client.end, undefined);
    toResponder(pair);
    assert.equal(lastHeard(pair), '37 request 0: N16388 N16389');
    talk(pair);
    assertSameIke(pair);
    assert.equal(client.last('unresponsive')!.since, undefined);
  });

  test('what was being asked on the old one is asked again on the new one', () => {
    const pair = established();
    pair.client.step({ kind: 'path-changed', path: { ...pair.client.path, localPort: 5 } });
    pair.client.take();
    pair.responder.rekeyIke();
    toClient(pair);
    toResponder(pair);
    toClient(pair);
    pair.client.take();
    pair.client.advance(0);
    assert.ok(pair.client.sa.associations.find(({ role }) => role === 'current')!.outstanding?.conversation.kind === 'address');
  });
});

/*
 * CREATE_CHILD_SA SK { SAi, Ni1, KEi } --> X <-- CREATE_CHILD_SA SK { SAi, Ni2, KEi }
 * CREATE_CHILD_SA SK { SAr, Nr2, KEr } --> X <-- CREATE_CHILD_SA SK { SAr, Nr1, KEr }
 * The SA made with the lowest of the four nonces is deleted by the one who asked for it (RFC 7296 §2.8.2).
 */
suite('IKE SA rekeyed by both at once', () => {
  const names = ['Ni1', 'Nr1', 'Ni2', 'Nr2'] as const;
  for (const lowest of names) {
    for (const order of ['both', 'our answer late'] as const) {
      test(`${lowest} is the lowest nonce, ${order}`, () => {
        const pair = established(quiet);
        const { client, responder } = pair;
        const nonce = (name: (typeof names)[number]): Uint8Array =>
          new Uint8Array(32).fill(name === lowest ? 1 : 2 + names.indexOf(name));
        pair.clientCrypto.nonces.push(nonce('Ni1'), nonce('Nr2'));
        pair.responderCrypto.nonces.push(nonce('Ni2'), nonce('Nr1'));
        client.step({ kind: 'rekey-ike' });
        responder.rekeyIke();
        const ours = client.take();
        const theirs = responder.take();
        responder.receive(...ours);
        client.receive(...theirs);
        if (order === 'our answer late') {
          const late = responder.take();
          toResponder(pair);
          // The peer acts on the outcome; only then do we hear its answer.
          toClient(pair);
          toResponder(pair);
          client.receive(...late);
        }
        talk(pair);
        assert.equal(client.phase, 'open', JSON.stringify(client.end));
        client.advance(31_000);
        talk(pair);
        assertSameIke(pair);
        assertSameChildren(pair);
        assert.equal(client.sa.associations.length, 1);
        if (order === 'both') assert.equal(client.sa.associations[0]!.initiator, lowest.endsWith('2'));
        client.step({ kind: 'rekey-child', spiIn: client.sa.children[0]!.spiIn });
        talk(pair);
        assertSameChildren(pair, 1);
      });
    }
  }

  /*
   * CREATE_CHILD_SA SK1 { SAi, Ni1, KEi } --> X <-- CREATE_CHILD_SA SK1 { SAi, Ni2, KEi }
   *                                             <-- CREATE_CHILD_SA SK1 { SAr, Nr1, KEr }
   * CREATE_CHILD_SA SK2 { SAi, Ni3, KEi } -->
   * CREATE_CHILD_SA SK1 { SAr, Nr2, KEr } --> (late)
   * What is lower than Nr2 and Ni2 is compared within SK1 alone.
   */
  test('ours, which stays, is rekeyed again before the peer knows that its own has lost', () => {
    const pair = established(quiet);
    const { client, responder } = pair;
    pair.clientCrypto.nonces.push(...[3, 4, 0].map((octet) => new Uint8Array(32).fill(octet)));
    pair.responderCrypto.nonces.push(new Uint8Array(32).fill(1), new Uint8Array(32).fill(2));
    client.step({ kind: 'rekey-ike' });
    responder.rekeyIke();
    const theirs = responder.take();
    toResponder(pair);
    client.receive(...theirs);
    const late = client.take();
    toClient(pair);
    const deleteOld = client.take();
    client.step({ kind: 'rekey-ike' });
    toResponder(pair);
    assert.equal(lastHeard(pair), '36 request 0: SA NONCE KE');
    responder.receive(...late, ...deleteOld);
    talk(pair);
    assertSameIke(pair);
    client.advance(31_000);
    talk(pair);
    assertSameIke(pair);
    assertSameChildren(pair);
    assert.equal(client.sa.associations.length, 1);
  });

  test('CHILD_SA rekey of the peer while we rekey the IKE SA: TEMPORARY_FAILURE', () => {
    const pair = established(quiet);
    pair.client.step({ kind: 'rekey-ike' });
    const ours = pair.client.take();
    pair.responder.rekeyChild([...pair.responder.children.values()][0]!);
    toClient(pair);
    toResponder(pair);
    assert.equal(outline(pair.responder.heard.at(-1)!.payloads), 'N43');
    pair.responder.receive(...ours);
    talk(pair);
    assertSameIke(pair);
  });

  test('the payloads of a rekey name a new SPI of 8 octets', () => {
    const pair = established(quiet);
    pair.client.step({ kind: 'rekey-ike' });
    toResponder(pair);
    const { proposals } = pick(pair.responder.heard.at(-1)!.payloads, 'SA')!;
    assert.ok(proposals.every(({ spi, protocol }) => spi.length === 8 && protocol === 1));
  });
});

function inCreate(change: (payloads: readonly Payload[]) => readonly Payload[]): NonNullable<ResponderOptions['impair']> {
  return (payloads, { header }) => (header.exchange === 36 ? change(payloads) : payloads);
}
