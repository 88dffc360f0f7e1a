import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { notify } from '../../src/machine/pick.ts';
import { assertSameChildren, lastHeard } from '../../testkit/assertion.ts';
import { established, talk, type Pair } from '../../testkit/conversation.ts';
import { certificateConfig, otherPath } from '../../testkit/world.ts';

suite('after a move, ESP that stays away', () => {
  /*
   * INFORMATIONAL SK { N(UPDATE_SA_ADDRESSES), … } -->
   *                                    <-- INFORMATIONAL SK { … }
   * ESP --> X
   * CREATE_CHILD_SA SK { N(REKEY_SA), SA, Ni, … } -->
   */
  test('new CHILD_SAs first; the tunnel anew when they bring nothing either', () => {
    const pair = moved();
    const [before] = pair.client.sending;
    silence(pair);
    assert.match(lastHeard(pair), /^37 request \d+: D/, 'the one that was replaced is deleted');
    assert.notDeepEqual(pair.client.sending, [before]);
    assertSameChildren(pair, 1);
    assert.equal(pair.client.count('cannot-move'), 0);
    silence(pair);
    assert.equal(pair.client.count('cannot-move'), 1);
    assert.equal(pair.client.phase, 'open', 'what becomes of it is not decided here');
  });

  test('new CHILD_SAs that carry are the end of the matter', () => {
    const pair = moved();
    silence(pair);
    const { count } = spis(pair);
    pair.client.advance(1_000);
    const arrived = pair.client.now;
    silence(pair, arrived);
    silence(pair, arrived);
    assert.equal(count(), 0);
    assert.equal(pair.client.count('cannot-move'), 0);
    assert.equal(lastHeard(pair).split(':')[0]!.split(' ')[0], '37', 'the gateway is asked, as without a move');
  });

  test('ESP that has come to the new address proves it, whatever comes later', () => {
    const pair = moved();
    const { count } = spis(pair);
    pair.client.advance(4_500);
    const arrived = pair.client.now;
    for (let turn = 0; turn < 5; turn++) silence(pair, arrived);
    assert.equal(count(), 0);
    assert.equal(pair.client.count('cannot-move'), 0);
  });

  test('what came before the move proves nothing, nor does what was under way to the old address', () => {
    const pair = established();
    const before = pair.client.now;
    pair.client.advance(1_000);
    move(pair);
    const { count } = spis(pair);
    silence(pair, before);
    assert.equal(count(), 1);

    const other = moved();
    const made = spis(other);
    other.client.advance(3_000);
    const underWay = other.client.now;
    silence(other, underWay);
    assert.equal(made.count(), 1);
  });

  test('nothing is sent: nothing happens, however long, and no timer waits for it', () => {
    const pair = moved();
    const timers = [...pair.client.timers.keys()].toSorted();
    assert.deepEqual(timers, [...established().client.timers.keys()].toSorted());
    const { count } = spis(pair);
    for (let hour = 0; hour < 3; hour++) {
      pair.client.advance(3_600_000);
      talk(pair);
    }
    assert.equal(count(), 0);
    assert.equal(pair.client.count('cannot-move'), 0);
  });

  test('without a move it is only asked whether the gateway is there', () => {
    const pair = established();
    const { count } = spis(pair);
    for (let turn = 0; turn < 5; turn++) silence(pair);
    assert.equal(count(), 0);
    assert.equal(pair.client.count('cannot-move'), 0);
    assert.match(lastHeard(pair), /^37 request/);
  });

  test('too early to tell', () => {
    const pair = moved();
    const { count } = spis(pair);
    pair.client.advance(2_900);
    pair.client.step({ kind: 'unanswered', lastInboundAt: undefined });
    talk(pair);
    assert.equal(count(), 0);
  });

  test('a gateway that does not answer IKE either is given up as ever', () => {
    const pair = moved();
    for (let turn = 0; turn < 3; turn++) {
      pair.client.advance(5_000);
      pair.client.step({ kind: 'unanswered', lastInboundAt: undefined });
    }
    assert.equal(pair.client.count('cannot-move'), 0);
    assert.equal(pair.client.count('unresponsive'), 1);
    pair.client.take();
    pair.client.advance(120_000);
    assert.deepEqual(pair.client.end?.kind, 'failed');
  });

  test('a gateway that refuses the rekey: the tunnel anew', () => {
    const pair = moved({ impair: (payloads, { header }) => (header.exchange === 36 ? [notify(35)] : payloads) });
    silence(pair);
    assert.equal(pair.client.count('cannot-move'), 0);
    silence(pair);
    assert.equal(pair.client.count('cannot-move'), 1);
  });

  test('moved again meanwhile: it begins anew', () => {
    const pair = moved();
    silence(pair);
    move(pair);
    silence(pair);
    assert.equal(pair.client.count('cannot-move'), 0);
    silence(pair);
    assert.equal(pair.client.count('cannot-move'), 1);
  });
});

function moved(options: Parameters<typeof established>[1] = {}): Pair {
  const pair = established(certificateConfig, options);
  pair.client.advance(10);
  move(pair);
  return pair;
}

function move(pair: Pair): void {
  const { path } = pair.client.sa;
  const to = { ...otherPath, localPort: path.localPort + 1 };
  pair.client.path = to;
  pair.client.step({ kind: 'path-changed', path: to });
  talk(pair);
}

/** Packets leave for a while, and the last one that came in came then. */
function silence(pair: Pair, lastInboundAt?: number): void {
  pair.client.advance(5_000);
  talk(pair);
  pair.client.step({ kind: 'unanswered', lastInboundAt });
  talk(pair);
}

/** How many pairs have been made since. */
function spis(pair: Pair): { readonly count: () => number } {
  const made = (): number => pair.client.actions.filter(({ kind }) => kind === 'install-child').length;
  const before = made();
  return { count: () => made() - before };
}
