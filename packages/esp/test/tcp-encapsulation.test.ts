import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { concat, fromHex, toHex } from '@aovpn/bytes';
import { longestStreamMessage, readStream, streamFrame, streamPrefix } from '@aovpn/esp';

// RFC 9329 §3, §4
suite('the stream of IKE and ESP', () => {
  test('begins with IKETCP', () => assert.equal(toHex(streamPrefix), '494b45544350'));

  test('the length counts itself', () => {
    assert.equal(toHex(streamFrame(fromHex('00000000aabb'))), '000800000000aabb');
    assert.throws(() => streamFrame(new Uint8Array(longestStreamMessage + 1)), RangeError);
    assert.equal(streamFrame(new Uint8Array(longestStreamMessage)).length, 0xffff);
  });

  test('however the stream is cut, the same messages come out', () => {
    const sent = [fromHex('0000000001'), fromHex('c0ffee00ff'), fromHex('ff'), new Uint8Array(3000).fill(7)];
    const stream = concat(...sent.map(streamFrame));
    for (const step of [1, 2, 3, 7, 1000, stream.length]) {
      let buffered: Uint8Array = new Uint8Array(0);
      const got: Uint8Array[] = [];
      for (let at = 0; at < stream.length; at += step) {
        const { messages, rest, problem } = readStream(concat(buffered, stream.subarray(at, at + step)));
        assert.equal(problem, undefined);
        got.push(...messages.map((message) => message.slice()));
        buffered = rest;
      }
      assert.deepEqual(got, sent);
      assert.equal(buffered.length, 0);
    }
  });

  test('an empty message is nothing', () => {
    assert.deepEqual(readStream(fromHex('00020003aa')).messages, [fromHex('aa')]);
  });

  test('a length below two is no such stream: what came before it counts, nothing after it', () => {
    for (const length of ['0000', '0001']) {
      const { messages, problem } = readStream(fromHex(`0003aa${length}0003bb`));
      assert.deepEqual(messages, [fromHex('aa')]);
      assert.match(problem!, /length/);
    }
  });
});
