import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { exercise, fuzz, readCorpus } from './ike-message.ts';

suite('the corpus', () => {
  const corpus = readCorpus();

  test('is there', () => assert.ok(corpus.length >= 12));

  for (const { name, message } of corpus) {
    test(`${name}: whole, and cut at every length`, () => {
      const counts = new Map<string, number>();
      for (let length = message.length; length >= 0; length--) exercise(message.subarray(0, length), () => 0.5, counts);
      if (!name.startsWith('crash-'))
        assert.ok((counts.get('message, protected') ?? 0) >= 2, 'a good message is read in every way');
    });
  }
});

test('mutations of it: no throw, and every kind of outcome comes up', () => {
  const counts = fuzz(2000, 20261122);
  const wanted = [
    'message, unprotected',
    'message, protected',
    'partial',
    'ignore',
    'refuse, INVALID_SYNTAX',
    'refuse, UNSUPPORTED_CRITICAL_PAYLOAD',
  ];
  for (const what of wanted) assert.ok((counts.get(what) ?? 0) > 20, `${what}: ${counts.get(what)}`);
});
