import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { assertSameChildren, assertSameIke, lastHeard } from '../../testkit/assertion.ts';
import { established, talk, toClient, toResponder, type Pair } from '../../testkit/conversation.ts';
import type { ResponderChild } from '../../testkit/responder-sa.ts';
import { certificateConfig } from '../../testkit/world.ts';

const lingerMs = 5000;

/*
 * CREATE_CHILD_SA SK { N(REKEY_SA), …, Ni1, … } --> X <-- CREATE_CHILD_SA SK { N(REKEY_SA), …, Ni2, … }
 * CREATE_CHILD_SA SK { …, Nr2, … }              --> X <-- CREATE_CHILD_SA SK { …, Nr1, … }
 * The pair made with the lowest of the four nonces is deleted by the one who asked for it (RFC 7296 §2.8.1).
 */
suite('CHILD_SA rekeyed by both at once', () => {
  for (const lowest of ['Ni1', 'Nr1', 'Ni2', 'Nr2'] as const) {
    for (const first of ['requests', 'our answer late', 'their answer late'] as const) {
      test(`${lowest} is the lowest nonce, ${first}`, () => {
        const pair = established({ ...certificateConfig, dpdMs: 0 });
        const { client, responder } = pair;
        chooseNonces(pair, lowest);
        client.step({ kind: 'rekey-child', spiIn: spis(pair)[0]! });
        responder.rekeyChild(only(pair));
        const ours = client.take();
        const theirs = responder.take();
        responder.receive(...ours);
        client.receive(...theirs);
        if (first === 'our answer late') {
          // The peer knows the outcome, and acts on it, before we do.
          const late = responder.take();
          toResponder(pair);
          toClient(pair);
          toResponder(pair);
          client.receive(...late);
        } else if (first === 'their answer late') {
          const late = client.take();
          toClient(pair);
          const next = client.take();
          responder.receive(...late, ...next);
        }
        talk(pair);
        const winner = client.sa.children.find(({ stage }) => stage.name === 'active')!;
        const weMadeIt =
          client.last('install-child')!.child.sendNow && client.last('install-child')!.child.inbound.spi === winner.spiIn;
        assert.equal(weMadeIt, lowest.endsWith('2'), 'the pair with the lowest nonce goes');
        client.advance(lingerMs);
        talk(pair);
        assertSameChildren(pair);
        assert.equal(client.children.size, 1);
        client.advance(100_000);
        talk(pair);
        assertSameChildren(pair);
        assert.equal(client.phase, 'open');
      });
    }
  }

  // Found by simulation: two rekeys of one pair, of which neither knew that it had a rival.
  test('new keys are wanted while those of their rekey are being installed: theirs are enough', () => {
    const pair = established();
    const { client, responder } = pair;
    const [old] = spis(pair);
    client.host.install = false;
    responder.rekeyChild(only(pair));
    toClient(pair);
    client.step({ kind: 'rekey-child', spiIn: old! });
    assert.equal(client.sent.length, 0, 'no rekey of our own');
    client.host.install = true;
    client.answer(client.last('install-child')!);
    talk(pair);
    client.advance(lingerMs);
    assertSameChildren(pair);
    assert.equal(client.children.size, 1);
  });

  test('the same when ours was wanted before and waited for the window', () => {
    const pair = established();
    const { client, responder } = pair;
    client.step({ kind: 'check-liveness' });
    client.step({ kind: 'rekey-child', spiIn: spis(pair)[0]! });
    responder.rekeyChild(only(pair));
    client.host.install = false;
    toClient(pair);
    toResponder(pair);
    toClient(pair);
    assert.equal(client.sent.length, 0, 'no rekey of our own');
    client.host.install = true;
    client.answer(client.last('install-child')!);
    talk(pair);
    client.advance(lingerMs);
    assertSameChildren(pair);
  });

  // Found by simulation: nothing sent any more until the next rekey.
  test('theirs, long installed, does not take over from ours that is being installed', () => {
    const pair = established({ ...certificateConfig, dpdMs: 0 });
    const { client, responder } = pair;
    chooseNonces(pair, 'Ni2');
    client.host.install = false;
    client.step({ kind: 'rekey-child', spiIn: spis(pair)[0]! });
    responder.rekeyChild(only(pair));
    const ours = client.take();
    const theirs = responder.take();
    responder.receive(...ours);
    client.receive(...theirs);
    const theirPair = client.last('install-child')!;
    toClient(pair);
    const ourPair = client.last('install-child')!;
    assert.notEqual(ourPair.child.inbound.spi, theirPair.child.inbound.spi);
    client.answer(ourPair);
    // Ours is in use; it is rekeyed in turn, and while that is being installed the host gets to theirs.
    toResponder(pair);
    toClient(pair);
    client.step({ kind: 'rekey-child', spiIn: ourPair.child.inbound.spi });
    toResponder(pair);
    toClient(pair);
    const newest = client.last('install-child')!;
    client.answer(theirPair);
    assert.deepEqual(client.sending, [newest.child.inbound.spi]);
    client.host.install = true;
    client.answer(newest);
    talk(pair);
    assert.deepEqual(client.sending, [newest.child.inbound.spi]);
  });

  test('their request arrives only after our rekey is complete: TEMPORARY_FAILURE, one pair stays', () => {
    const pair = established();
    const { client, responder } = pair;
    client.step({ kind: 'rekey-child', spiIn: spis(pair)[0]! });
    responder.rekeyChild(only(pair));
    const theirs = responder.take();
    responder.receive(...client.take());
    client.receive(...responder.take());
    client.receive(...theirs);
    talk(pair);
    client.advance(lingerMs);
    talk(pair);
    assertSameChildren(pair);
  });

  test('our request arrives only after their rekey is complete: CHILD_SA_NOT_FOUND, one pair stays', () => {
    const pair = established();
    const { client, responder } = pair;
    client.step({ kind: 'rekey-child', spiIn: spis(pair)[0]! });
    const ours = client.take();
    responder.rekeyChild(only(pair));
    talk(pair);
    responder.receive(...ours);
    talk(pair);
    client.advance(lingerMs);
    talk(pair);
    assertSameChildren(pair);
    assertSameIke(pair);
    assert.equal(client.sa.children.length, 1);
  });

  test('the peer rekeys what we are deleting: TEMPORARY_FAILURE', () => {
    const pair = established();
    const { client, responder } = pair;
    client.step({ kind: 'rekey-child', spiIn: spis(pair)[0]! });
    toResponder(pair);
    toClient(pair);
    const deletion = client.take();
    responder.rekeyChild([...responder.children.values()][0]!);
    toClient(pair);
    toResponder(pair);
    assert.equal(lastHeard(pair), '36 response 0: N43');
    responder.receive(...deletion);
    talk(pair);
    assertSameChildren(pair, 1);
  });
});

function spis({ client }: Pair): number[] {
  return client.sa.children.filter(({ stage }) => stage.name !== 'lingering').map(({ spiIn }) => spiIn);
}

function only({ responder }: Pair): ResponderChild {
  const [child] = [...responder.children.values()];
  return child!;
}

/** The next nonces of both sides: each sends one as initiator (1: ours, 2: theirs) and one as responder. */
function chooseNonces({ clientCrypto, responderCrypto }: Pair, lowest: 'Ni1' | 'Nr1' | 'Ni2' | 'Nr2'): void {
  const nonce = (name: string): Uint8Array =>
    new Uint8Array(32).fill(name === lowest ? 1 : 2 + ['Ni1', 'Nr1', 'Ni2', 'Nr2'].indexOf(name));
  clientCrypto.nonces.push(nonce('Ni1'), nonce('Nr2'));
  responderCrypto.nonces.push(nonce('Ni2'), nonce('Nr1'));
}
