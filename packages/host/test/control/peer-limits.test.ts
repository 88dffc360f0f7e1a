import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { PeerLimits } from '../../src/control/peer-limits.ts';

const limits = (): PeerLimits =>
  new PeerLimits({
    connectionsOfRoot: 3,
    connectionsOfUsers: 4,
    connectionsPerUser: 2,
    requestsUnderWay: 2,
    requestsPerSecond: 10,
    requestBurst: 5,
  });

suite('what each user takes of the control socket', () => {
  test('nobody has more connections than one may, all together not what is root’s, and what ends is free again', () => {
    const one = limits();
    const leave = one.enter(1)!;
    assert.ok(one.enter(1));
    assert.equal(one.enter(1), undefined);
    assert.ok(one.enter(2) && one.enter(3));
    assert.equal(one.enter(4), undefined, 'the crowd is complete');
    for (let i = 0; i < 3; i++) assert.ok(one.enter(0), 'root is not of it');
    assert.equal(one.enter(0), undefined);
    leave();
    assert.ok(one.enter(4));
  });

  test('requests are rationed by time and by how many are under way, root’s are not', () => {
    const one = limits();
    const start = performance.now() + 1000;
    const first = one.ask(1, start)!;
    const second = one.ask(1, start)!;
    assert.equal(one.ask(1, start), undefined, 'two are under way');
    first();
    second();
    for (let i = 0; i < 3; i++) one.ask(1, start)!();
    assert.equal(one.ask(1, start), undefined, 'five at once');
    one.ask(1, start + 100)!();
    assert.equal(one.ask(1, start + 100), undefined, 'then one each tenth of a second');
    assert.ok(one.ask(2, start + 100), 'each user by themselves');
    for (let i = 0; i < 100; i++) assert.ok(one.ask(0, start));
  });

  test('coming anew is no way to new requests', () => {
    const one = limits();
    const start = performance.now() + 1000;
    for (let i = 0; i < 5; i++) {
      const leave = one.enter(1)!;
      one.ask(1, start)!();
      leave();
    }
    assert.ok(one.enter(1));
    assert.equal(one.ask(1, start), undefined);
  });
});
