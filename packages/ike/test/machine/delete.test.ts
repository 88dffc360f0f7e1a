import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { notify, pick, spiOctets } from '../../src/machine/pick.ts';
import { assertSameChildren, lastHeard, outline } from '../../testkit/assertion.ts';
import { createPair, established, talk, toClient, toResponder } from '../../testkit/conversation.ts';
import { reachState } from '../../testkit/reach-state.ts';
import { certificateConfig, hybridConfig } from '../../testkit/world.ts';

suite('closing', () => {
  /* INFORMATIONAL SK { D(IKE) } --> <-- INFORMATIONAL SK { } */
  test('with a Delete and its answer', () => {
    const pair = established();
    const keys = pair.client.sa.associations[0]!.protection!;
    pair.client.step({ kind: 'close', why: 'asked' });
    assert.equal(pair.client.phase, 'closing-await-response');
    toResponder(pair);
    assert.equal(lastHeard(pair), '37 request 2: D');
    toClient(pair);
    assert.deepEqual(pair.client.end, { kind: 'closed', why: 'asked' });
    assert.equal(pair.client.children.size, 0);
    assert.equal(pair.client.timers.size, 0);
    assert.equal(pair.client.actions.at(-1)!.kind, 'ended');
    for (const key of [keys.skD, keys.skPi, keys.skPr, keys.send.encryptionKey, keys.receive.encryptionKey]) {
      assert.ok(
        key.every((octet) => octet === 0),
        'keys are overwritten',
      );
    }
  });

  test('a silent gateway is waited for only briefly', () => {
    const pair = established();
    pair.client.step({ kind: 'close', why: 'asked' });
    pair.client.advance(1499);
    assert.equal(pair.client.end, undefined);
    assert.ok(pair.client.take().length >= 2, 'sent more than once');
    pair.client.advance(1);
    assert.deepEqual(pair.client.end, { kind: 'closed', why: 'asked' });
  });

  test('a request that is out is answered first; otherwise the Delete goes out at the end', () => {
    const pair = established();
    pair.client.step({ kind: 'check-liveness' });
    const probe = pair.client.take();
    pair.client.step({ kind: 'close', why: 'asked' });
    assert.deepEqual(pair.client.take(), [], 'one request at a time');
    pair.responder.receive(...probe);
    talk(pair);
    assert.equal(pair.client.end?.kind, 'closed');
    const silent = established();
    silent.client.step({ kind: 'check-liveness' });
    silent.client.step({ kind: 'close', why: 'asked' });
    silent.client.advance(1500);
    assert.equal(silent.client.end?.kind, 'closed');
    toResponder(silent);
    assert.equal(silent.responder.closed, true);
  });

  for (const name of ['auth-await-response', 'auth-await-verdict', 'proof-await-response', 'resume-await-proof'] as const)
    test(`${name}: what only the gateway has made is deleted there, and nothing is awaited`, () => {
      const pair = reachState[name]();
      pair.client.step({ kind: 'close', why: 'asked' });
      assert.deepEqual(pair.client.end, { kind: 'closed', why: 'asked' });
      toResponder(pair);
      assert.match(lastHeard(pair), /^37 request \d+: D$/);
      assert.equal(pair.responder.closed, true);
    });

  for (const name of ['auth-await-signature', 'eap-await-host', 'eap-await-response', 'resume-await-response'] as const)
    test(`${name}: nobody has made anything yet, and nothing is said`, () => {
      const pair = reachState[name]();
      pair.client.take();
      pair.client.step({ kind: 'close', why: 'asked' });
      assert.deepEqual(pair.client.end, { kind: 'closed', why: 'asked' });
      assert.deepEqual(pair.client.take(), []);
    });

  /*
   *      <-- CREATE_CHILD_SA SK1 { SAi, Ni, KEi } --> CREATE_CHILD_SA SK1 { SAr, Nr, KEr }
   *      <-- INFORMATIONAL SK1 { D(IKE) } (lost)
   * INFORMATIONAL SK2 { D(IKE) } -->
   * INFORMATIONAL SK1 { D(IKE) } -->
   */
  test('what the peer’s rekey has made is deleted, too', () => {
    const pair = established();
    pair.responder.rekeyIke();
    toClient(pair);
    toResponder(pair);
    pair.responder.take();
    pair.client.step({ kind: 'close', why: 'asked' });
    talk(pair);
    assert.equal(pair.client.end?.kind, 'closed');
    assert.equal(pair.responder.closed, true);
  });

  /*
   * CREATE_CHILD_SA SK1 { SAi, Ni, KEi } --> (lost)
   *      <-- CREATE_CHILD_SA SK1 { SAi, Ni, KEi } --> CREATE_CHILD_SA SK1 { SAr, Nr, KEr }
   *      <-- INFORMATIONAL SK1 { D(IKE) }         --> INFORMATIONAL SK1 { }
   * INFORMATIONAL SK2 { D(IKE) } -->
   */
  // Found by simulation.
  test('it is, where the peer deletes the old one while a rekey of ours keeps the window', () => {
    const pair = established();
    const { client, responder } = pair;
    client.step({ kind: 'rekey-ike' });
    client.take();
    responder.rekeyIke();
    toClient(pair);
    client.step({ kind: 'close', why: 'asked' });
    toResponder(pair);
    toClient(pair);
    assert.equal(client.end?.kind, 'closed');
    assert.equal(responder.closed, false);
    toResponder(pair);
    assert.equal(responder.closed, true);
  });

  /*
   *      <-- CREATE_CHILD_SA SK1 { SAi, Ni, KEi } --> CREATE_CHILD_SA SK1 { SAr, Nr, KEr } (late)
   * INFORMATIONAL SK2 { D(IKE) } --> (of an SA that the peer does not know)
   * INFORMATIONAL SK1 { D(IKE) } --> (later still)
   *      <-- INFORMATIONAL SK1 { D(IKE) }
   * INFORMATIONAL SK2 { D(IKE) } -->
   */
  // Found by simulation.
  test('it is, where the peer learns of it only after it was told so', () => {
    const pair = established();
    const { client, responder } = pair;
    responder.rekeyIke();
    toClient(pair);
    const answer = client.take();
    client.step({ kind: 'close', why: 'asked' });
    const [ofNew, ...ofOld] = client.take();
    responder.receive(ofNew!);
    responder.receive(...answer);
    toClient(pair);
    assert.equal(client.end?.kind, 'closed');
    toResponder(pair);
    responder.receive(...ofOld);
    assert.equal(responder.closed, true);
  });

  /*
   * CREATE_CHILD_SA SK1 { SAi, Ni, KEi } --> <-- CREATE_CHILD_SA SK1 { SAr, Nr, KEr }
   * INFORMATIONAL SK1 { D(IKE) }         -->
   * INFORMATIONAL SK2 { D(IKE) }         -->
   */
  for (const [name, base, exchanges] of [
    ['one exchange', certificateConfig, 1],
    ['several', hybridConfig, 2],
  ] as const)
    test(`what a rekey of ours, of ${name}, has made there meanwhile is deleted, too`, () => {
      const pair = established(base, { ikeProposals: base.ikeProposals });
      const { client, responder } = pair;
      client.step({ kind: 'rekey-ike' });
      toResponder(pair);
      for (let i = 1; i < exchanges; i++) {
        toClient(pair);
        toResponder(pair);
      }
      assert.equal(responder.ikes.length, 2);
      client.step({ kind: 'close', why: 'asked' });
      talk(pair);
      assert.equal(client.end?.kind, 'closed');
      assert.equal(responder.closed, true);
    });

  test('a rekey of ours that is to be begun anew, or goes on in more exchanges, is not', () => {
    for (const base of [certificateConfig, hybridConfig]) {
      const pair = established(base, { ikeProposals: base.ikeProposals });
      const { client, responder } = pair;
      if (base === certificateConfig) responder.options.ikeProposals = [{ ...base.ikeProposals[0]!, ke: [19] }];
      client.step({ kind: 'rekey-ike' });
      toResponder(pair);
      client.step({ kind: 'close', why: 'asked' });
      toClient(pair);
      toResponder(pair);
      assert.match(lastHeard(pair), /^37 request \d+: D$/);
      talk(pair);
      assert.equal(client.end?.kind, 'closed');
      assert.equal(responder.closed, true);
    }
  });

  test('twice is once', () => {
    const pair = established();
    pair.client.step({ kind: 'close', why: 'first' });
    pair.client.step({ kind: 'close', why: 'second' });
    talk(pair);
    assert.deepEqual(pair.client.end, { kind: 'closed', why: 'first' });
    pair.client.step({ kind: 'close', why: 'third' });
    assert.equal(pair.client.count('ended'), 1);
  });

  test('rekeys of the peer meanwhile: TEMPORARY_FAILURE', () => {
    const pair = established();
    pair.client.step({ kind: 'close', why: 'asked' });
    pair.client.take();
    pair.responder.rekeyChild([...pair.responder.children.values()][0]!);
    toClient(pair);
    toResponder(pair);
    assert.equal(lastHeard(pair), '36 response 0: N43');
    pair.responder.rekeyIke();
    toClient(pair);
    toResponder(pair);
    assert.equal(lastHeard(pair), '36 response 1: N43');
  });
});

suite('deleted by the peer', () => {
  /* <-- INFORMATIONAL SK { D(IKE) } --> INFORMATIONAL SK { } */
  test('the IKE SA', () => {
    const pair = established();
    pair.responder.deleteIke();
    talk(pair);
    assert.deepEqual(pair.client.end, { kind: 'peer-closed' });
    assert.equal(lastHeard(pair), '37 response 0:');
    assert.equal(pair.client.children.size, 0);
  });

  test('while we close', () => {
    const pair = established();
    pair.client.step({ kind: 'close', why: 'asked' });
    pair.client.take();
    pair.responder.deleteIke();
    talk(pair);
    assert.deepEqual(pair.client.end, { kind: 'closed', why: 'asked' });
  });

  test('while we rekey it', () => {
    const pair = established();
    pair.client.step({ kind: 'rekey-ike' });
    pair.client.take();
    pair.responder.deleteIke();
    talk(pair);
    assert.deepEqual(pair.client.end, { kind: 'peer-closed' });
  });

  /*
   * <-- INFORMATIONAL SK { D(ESP, spi) } --> INFORMATIONAL SK { D(ESP, spi) }
   * CREATE_CHILD_SA SK { SAi, Ni, KEi, TSi, TSr } -->
   */
  test('the only CHILD_SA: a new one is made', () => {
    const pair = established();
    const [child] = [...pair.responder.children.values()];
    pair.responder.deleteChild(child!.spiIn);
    toClient(pair);
    assert.equal(pair.client.children.size, 0);
    const [answer, request] = pair.client.take();
    pair.responder.receive(answer!);
    assert.deepEqual(pick(pair.responder.heard.at(-1)!.payloads, 'D')!.spis, [spiOctets(child!.spiOut)]);
    pair.responder.receive(request!);
    assert.equal(lastHeard(pair), '36 request 2: SA NONCE KE TSi TSr');
    talk(pair);
    assertSameChildren(pair);
  });

  test('and refuses a new one: the end', () => {
    const pair = established(certificateConfig, {
      impair: (payloads, { header }) => (header.exchange === 36 ? [notify(35)] : payloads),
    });
    pair.responder.deleteChild([...pair.responder.children.keys()][0]!);
    talk(pair);
    assert.equal(pair.client.end?.kind, 'failed');
    assert.equal(pair.responder.closed, true);
  });

  // Found by simulation: a gateway that rekeys the IKE SA at that moment lost us the whole tunnel.
  test('and puts a new one off: asked for again, and the end only if that never stops', () => {
    for (const times of [2, 3]) {
      let left = times;
      const pair = established(
        { ...certificateConfig, dpdMs: 0 },
        { impair: (payloads, { header }) => (header.exchange === 36 && left-- > 0 ? [notify(43)] : payloads) },
      );
      const { client, responder } = pair;
      responder.deleteChild([...responder.children.keys()][0]!);
      talk(pair);
      // The responder makes what it then does not answer for.
      responder.children.clear();
      for (let i = 0; i < 3; i++) {
        assert.equal(client.sent.length, 0, 'not at once');
        client.advance(1000);
        talk(pair);
        if (left >= 0) responder.children.clear();
      }
      if (times === 2) assertSameChildren(pair);
      else assert.deepEqual(client.end?.kind, 'failed');
    }
  });

  // Found by simulation: we sent into a CHILD_SA that only we had, until the next rekey.
  for (const [name, base, exchanges] of [
    ['one exchange', certificateConfig, 1],
    ['several', hybridConfig, 2],
  ] as const)
    test(`what it has just made for us, in ${name}, before we have its answer: another one is made`, () => {
      const pair = established({ ...base, dpdMs: 0 }, { ikeProposals: base.ikeProposals, childProposals: base.childProposals });
      const { client, responder } = pair;
      responder.deleteChild([...responder.children.keys()][0]!);
      for (let i = 0; i < exchanges; i++) {
        toClient(pair);
        toResponder(pair);
      }
      const late = responder.take();
      const [made] = responder.children.keys();
      responder.deleteChild(made!);
      toClient(pair);
      toResponder(pair);
      client.receive(...late);
      talk(pair);
      assert.equal(client.phase, 'open');
      assert.equal(responder.children.size, 1);
      assert.notEqual([...responder.children.keys()][0], made);
      assertSameChildren(pair);
    });

  test('what does not exist, and what is not ESP', () => {
    const pair = established();
    for (const payload of [
      { kind: 'D', protocol: 3, spis: [spiOctets(4711)] },
      { kind: 'D', protocol: 2, spis: [spiOctets([...pair.responder.children.keys()][0]!)] },
    ] as const) {
      pair.responder.request(37, [payload]);
      talk(pair);
      assert.equal(outline(pair.responder.heard.at(-1)!.payloads), '');
    }
    assertSameChildren(pair);
  });

  test('what we delete ourselves: answered without Delete (RFC 7296 §2.25.1)', () => {
    const pair = established();
    const { client, responder } = pair;
    client.step({ kind: 'rekey-child', spiIn: client.sa.children[0]!.spiIn });
    const old = [...responder.children.keys()][0]!;
    toResponder(pair);
    toClient(pair);
    const ours = client.take();
    responder.deleteChild(old);
    toClient(pair);
    toResponder(pair);
    assert.equal(outline(responder.heard.at(-1)!.payloads), '');
    responder.receive(...ours);
    talk(pair);
    assertSameChildren(pair, 1);
  });

  test('what we rekey: answered with Delete, our rekey then finds nothing', () => {
    const pair = established();
    const { client, responder } = pair;
    client.step({ kind: 'rekey-child', spiIn: client.sa.children[0]!.spiIn });
    const ours = client.take();
    responder.deleteChild([...responder.children.keys()][0]!);
    toClient(pair);
    toResponder(pair);
    assert.match(lastHeard(pair), /37 response 0: D/);
    responder.receive(...ours);
    talk(pair);
    assertSameChildren(pair);
    assert.equal(client.phase, 'open');
  });

  test('the first CHILD_SA, before the host has installed it', () => {
    const pair = createPair();
    pair.client.host.install = false;
    talk(pair);
    pair.responder.deleteChild([...pair.responder.children.keys()][0]!);
    talk(pair);
    assert.deepEqual(pair.client.end, { kind: 'peer-closed' });
    assert.equal(pair.client.count('established'), 0);
    assert.equal(pair.client.children.size, 0);
  });

  test('AUTHENTICATION_FAILED after the fact', () => {
    const pair = established();
    pair.responder.request(37, [notify(24)]);
    talk(pair);
    assert.equal(pair.client.end?.kind, 'failed');
  });
});
