import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { padQuery, unpadAnswer } from '../../src/resolver/query-padding.ts';
import { answerTo, query } from './dns-sample.ts';

/** An OPT record (RFC 6891 §6.1.2) with these options. */
const opt = (...options: readonly number[]): number[] => [
  0,
  0,
  41,
  16,
  0,
  0,
  0,
  128,
  0,
  options.length >> 8,
  options.length & 0xff,
  ...options,
];
const withRecords = (message: Uint8Array, count: number, ...octets: readonly number[]): Uint8Array => {
  const longer = Uint8Array.from([...message, ...octets]);
  longer[11] = count;
  return longer;
};
const cookie = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
const padding = [0, 12, 0, 3, 0, 0, 0];

// RFC 7830, RFC 8467
suite('padding', () => {
  const plain = query('web.corp.example', 7);
  const end = plain.length;

  test('questions are as long as a multiple of 128, whatever their name and options', () => {
    for (let length = 1; length <= 60; length++) {
      const one = query(`${'a'.repeat(length)}.${'b'.repeat(60)}.example`, 7);
      for (const message of [one, withRecords(one, 1, ...opt()), withRecords(one, 1, ...opt(...cookie))]) {
        const padded = padQuery(message, one.length);
        assert.equal(padded.message.length % 128, 0);
        assert.ok(padded.message.length - message.length < 128 + 15);
      }
    }
  });

  test('what the client says in its OPT record stays, and only one padding is in it', () => {
    const own = withRecords(plain, 1, ...opt(...padding, ...cookie));
    const { message, edns } = padQuery(own, end);
    assert.equal(edns, 'client');
    assert.deepEqual([...message.subarray(0, end)], [...own.subarray(0, end)]);
    assert.deepEqual([...message.subarray(end, end + 9)], [0, 0, 41, 16, 0, 0, 0, 128, 0]);
    assert.deepEqual([...message.subarray(end + 11, end + 11 + cookie.length)], cookie);
    assert.deepEqual([...message.subarray(end + 11 + cookie.length).subarray(0, 2)], [0, 12]);
    assert.equal(message.length, 128);
  });

  test('a signed question stays as it is, and so does one with more in it, or with options that do not hold together', () => {
    const signature = [0, 0, 250, 0, 255, 0, 0, 0, 0, 0, 0];
    for (const message of [
      withRecords(plain, 2, ...opt(), ...signature),
      withRecords(plain, 1, ...signature),
      withRecords(plain, 1, ...opt(0, 10, 0, 9, 1)),
      withRecords(plain, 0, 1, 2, 3),
      plain.with(7, 1),
    ])
      assert.deepEqual(padQuery(message, end), { message, edns: 'untouched' });
  });

  test('an answer loses the OPT record that the client did not send, or the padding in its own', () => {
    const answer = answerTo(plain, [10, 0, 0, 1]);
    const padded = withRecords(answer, 1, ...opt(...cookie, ...padding));
    assert.deepEqual(unpadAnswer(padded, end, 'ours'), answer);
    assert.deepEqual(unpadAnswer(padded, end, 'client'), withRecords(answer, 1, ...opt(...cookie)));
    assert.deepEqual(unpadAnswer(padded, end, 'untouched'), padded);
    assert.deepEqual(unpadAnswer(answer, end, 'ours'), answer);
  });

  test('where a record follows, the answer stays', () => {
    const more = withRecords(
      answerTo(plain, [10, 0, 0, 1]),
      2,
      ...opt(...padding),
      0xc0,
      12,
      0,
      1,
      0,
      1,
      0,
      0,
      0,
      1,
      0,
      4,
      1,
      2,
      3,
      4,
    );
    assert.deepEqual(unpadAnswer(more, end, 'ours'), more);
  });

  test('whatever octets come, nothing is read past the end', () => {
    const padded = withRecords(answerTo(plain, [10, 0, 0, 1]), 1, ...opt(...cookie, ...padding));
    for (let cut = end; cut < padded.length; cut++)
      for (const edns of ['ours', 'client'] as const) assert.ok(unpadAnswer(padded.subarray(0, cut), end, edns).length <= cut);
    for (let at = 2; at < padded.length; at++)
      for (const octet of [0, 1, 0x3f, 0xc0, 0xff])
        for (const edns of ['ours', 'client'] as const)
          assert.ok(unpadAnswer(padded.with(at, octet), end, edns).length <= padded.length);
  });
});
