import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { faultOfAnswer } from '../../src/resolver/check-answer.ts';
import { answerTo, query } from './dns-sample.ts';

const question = query('a.example', 1);
const end = question.length;
/** The name asked for, by a pointer (RFC 1035 §4.1.4). */
const asked = [0xc0, 12];
const name = (text: string): number[] => [...text.split('.').flatMap((label) => [label.length, ...Buffer.from(label)]), 0];
const record = (owner: readonly number[], type: number, data: readonly number[]): number[] => [
  ...owner,
  0,
  type,
  0,
  1,
  0,
  0,
  0,
  9,
  data.length >> 8,
  data.length & 0xff,
  ...data,
];

function answer(...records: readonly (readonly number[])[]): Uint8Array {
  const message = Uint8Array.from([...question, ...records.flat()]);
  message[2] = 0x81;
  message[3] = 0x80;
  message[6] = records.length >> 8;
  message[7] = records.length & 0xff;
  return message;
}

suite('answers that hold together', () => {
  test('what real servers send passes', () => {
    assert.equal(faultOfAnswer(answerTo(question, [10, 0, 0, 1]), end), undefined);
    assert.equal(faultOfAnswer(answer(), end), undefined);
    const alias = record(asked, 5, [3, 0x57, 0x57, 0x57, 0xc0, 14]);
    const owner = [0xc0, end + 12];
    assert.equal(faultOfAnswer(answer(alias, record(owner, 1, [10, 0, 0, 1])), end), undefined);
    assert.equal(faultOfAnswer(answer(record(asked, 15, [0, 10, ...name('mail.example')])), end), undefined);
    assert.equal(faultOfAnswer(answer(record([0], 41, [])), end), undefined, 'OPT');
  });

  test('pointers that lead to themselves, forwards, round in a circle or into the header', () => {
    const at = end;
    const pointers: readonly (readonly number[])[] = [
      [0xc0, at],
      [0xc0, at + 30],
      [1, 0x61, 0xc0, at],
      [0xc0, 0],
      [0xc0, 11],
      [0xff, 0xff],
    ];
    for (const owner of pointers)
      assert.equal(faultOfAnswer(answer(record(owner, 1, [1, 2, 3, 4])), end), 'a record with a bad name');
    // Two that point at each other: the second one backwards, the first one forwards.
    const first = record([0xc0, at + 16], 1, [1, 2, 3, 4]);
    assert.equal(faultOfAnswer(answer(first, record([0xc0, at], 1, [1, 2, 3, 4])), end), 'a record with a bad name');
  });

  test('a name that grows past 255 octets by pointers', () => {
    const long = Array.from({ length: 3 }, () => name('x'.repeat(60)).slice(0, -1)).flat();
    const first = record([...long, 0xc0, 12], 1, [1, 2, 3, 4]);
    assert.equal(faultOfAnswer(answer(first), end), undefined);
    const second = record([...name('y'.repeat(61)).slice(0, -1), 0xc0, end], 1, [1, 2, 3, 4]);
    assert.equal(faultOfAnswer(answer(first, second), end), 'a record with a bad name');
  });

  test('data past the end, more records than there are, names in data that do not fill it', () => {
    const short = answer(record(asked, 1, [1, 2, 3, 4]));
    assert.equal(faultOfAnswer(short.subarray(0, short.length - 1), end), 'a record that is longer than the answer');
    assert.equal(faultOfAnswer(answerTo(question, [1, 2, 3, 4]).with(6, 0xff), end), 'fewer octets than its records need');
    assert.equal(faultOfAnswer(answer(record(asked, 5, [...name('b.example'), 7])), end), 'a record with a bad name in it');
    assert.equal(faultOfAnswer(answer(record(asked, 5, [63, 1])), end), 'a record with a bad name in it');
  });

  test('aliases that come back, also in another case or through a third name', () => {
    const alias = (from: string, to: string): number[] => record(name(from), 5, name(to));
    assert.equal(faultOfAnswer(answer(record(asked, 5, asked)), end), 'an alias of itself');
    assert.equal(
      faultOfAnswer(answer(alias('a.example', 'b.example'), alias('B.example', 'A.EXAMPLE')), end),
      'an alias of itself',
    );
    assert.equal(
      faultOfAnswer(
        answer(alias('c.example', 'b.example'), alias('a.example', 'c.example'), alias('b.example', 'c.example')),
        end,
      ),
      'an alias of itself',
    );
    const chain = Array.from({ length: 40 }, (_, i) => alias(i === 0 ? 'a.example' : `n${i}.example`, `n${i + 1}.example`));
    assert.equal(faultOfAnswer(answer(...chain), end), 'too long a chain of aliases');
    assert.equal(faultOfAnswer(answer(...chain.slice(0, 8)), end), undefined);
    // A circle that the question does not lead into harms nobody.
    assert.equal(faultOfAnswer(answer(alias('x.example', 'x.example')), end), undefined);
  });

  test('any octets: an answer in finite time, never a throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(3), fc.nat(30), (tail, high, low) => {
        const message = Uint8Array.from([...question, ...tail]);
        message[6] = high === 0 ? 0 : high - 1;
        message[7] = low;
        faultOfAnswer(message, end);
        return true;
      }),
      { numRuns: 2000, seed: 5 },
    );
  });
});
