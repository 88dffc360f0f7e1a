import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { emptyAnswer, isAnswerTo, rcode, readQuery, writeId } from '../../src/resolver/dns-message.ts';
import { query } from './dns-sample.ts';

suite('DNS messages', () => {
  test('a question is read without its case, kept with it', () => {
    const message = query('WwW.Corp.Example', 0x1234);
    assert.deepEqual(readQuery(message), {
      kind: 'query',
      query: { id: 0x1234, name: 'www.corp.example', questionEnd: message.length },
    });
    assert.deepEqual(readQuery(query('', 1)), { kind: 'query', query: { id: 1, name: '', questionEnd: 17 } });
  });

  test('answers are never answered; what is no single plain question is refused', () => {
    const message = query('a.example', 7);
    const change = (at: number, value: number): Uint8Array => message.with(at, value);
    assert.equal(readQuery(change(2, 0x81)).kind, 'ignore');
    assert.equal(readQuery(message.subarray(0, 11)).kind, 'ignore');
    assert.deepEqual(readQuery(change(2, 0x28)), { kind: 'refuse', rcode: rcode.notImplemented });
    assert.deepEqual(readQuery(change(5, 2)), { kind: 'refuse', rcode: rcode.formatError });
    assert.deepEqual(readQuery(change(5, 0)), { kind: 'refuse', rcode: rcode.formatError });
    // A compression pointer, a label beyond the end, a label of the reserved kinds.
    for (const octet of [0xc0, 0x40, 63])
      assert.deepEqual(readQuery(change(12, octet)), { kind: 'refuse', rcode: rcode.formatError });
    assert.deepEqual(readQuery(message.subarray(0, message.length - 1)), { kind: 'refuse', rcode: rcode.formatError });
    assert.equal(readQuery(query(Array.from({ length: 5 }, () => 'x'.repeat(60)).join('.'), 1)).kind, 'refuse');
  });

  test('a dot inside a label is no boundary', () => {
    const message = query('evil-corp', 1).with(12 + 5, 0x2e);
    const reading = readQuery(message);
    assert.equal(reading.kind === 'query' && reading.query.name, 'evil\\.corp');
  });

  test('an answer belongs to its question only with the same id, question and case', () => {
    const question = query('Www.example', 0x4242);
    const answer = question.with(2, 0x81);
    assert.ok(isAnswerTo(answer, question, question.length));
    assert.ok(!isAnswerTo(question, question, question.length), 'a question is no answer');
    assert.ok(!isAnswerTo(answer.with(1, 0x43), question, question.length), 'id');
    assert.ok(!isAnswerTo(answer.with(13, 'w'.charCodeAt(0)), question, question.length), 'case');
    assert.ok(!isAnswerTo(answer.with(question.length - 3, 28), question, question.length), 'type');
    assert.ok(!isAnswerTo(answer.with(5, 0), question, question.length), 'no question');
    assert.ok(!isAnswerTo(answer.with(2, 0xa9), question, question.length), 'opcode');
    assert.ok(!isAnswerTo(answer.subarray(0, 20), question, question.length), 'cut');
  });

  test('any octets: no throw, no name longer than the message', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (octets) => {
        const reading = readQuery(octets);
        if (reading.kind === 'query')
          assert.ok(reading.query.questionEnd <= octets.length && reading.query.name.length <= 2 * octets.length);
        if (reading.kind === 'refuse') assert.equal(emptyAnswer(octets, reading.rcode).length, 12);
        isAnswerTo(octets, octets, Math.min(octets.length, 20));
      }),
      { numRuns: 2000 },
    );
  });

  test('an empty answer', () => {
    const message = query('a.example', 9);
    const answer = emptyAnswer(message, rcode.serverFailure, message.length);
    assert.ok(isAnswerTo(answer, message, message.length));
    assert.equal(answer[3], 0x82);
    writeId(answer, 0xabcd);
    assert.deepEqual([...answer.subarray(0, 2)], [0xab, 0xcd]);
  });
});
