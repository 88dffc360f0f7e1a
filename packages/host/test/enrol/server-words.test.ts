import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { serverWords } from '../../src/enrol/server-words.ts';

const words = (text: string, ...secrets: string[]): string => serverWords(Buffer.from(text), secrets);

suite('what an enrolment server says, for people', () => {
  test('text without its tags, in one line, and not much of it', () => {
    assert.equal(words('<h1>No</h1>\n<p>such\u0007 user</p>'), ': "No such user"');
    assert.equal(words('  \n <br> '), '');
    assert.equal(words('x'.repeat(9000)).length, 204);
  });

  for (const [what, secret, text] of [
    ['as it is', 'hunter2', 'user us, password hunter2, refused'],
    ['with other spaces', 'two  words\t here', 'refused: two words\n here'],
    ['as its own spaces', 'two  words', 'refused: two  words'],
    ['escaped for HTML', 'a<b&"c">', '<p>refused: a&lt;b&amp;&quot;c&quot;&gt;</p>'],
    ['with what looks like a tag', 'a<b>c', '<p>refused: a<b>c</p>'],
  ] as const)
    test(`a secret is not among it: ${what}`, () => {
      const said = words(text, secret);
      assert.match(said, /refused/);
      assert.match(said, /\(secret\)/);
      for (const part of secret.split(/[\s<>&"]+/).filter((one) => one.length > 1)) assert.ok(!said.includes(part), said);
    });

  test('a secret that is cut off where reading stops is not shown in part', () => {
    const secret = 'correct horse battery staple';
    for (let part = 1; part < secret.length; part++) {
      const tags = '<p>'.repeat(1400).slice(0, 4096 - part - 9);
      const said = words(`refused: ${tags}${secret} and so on`, secret);
      assert.doesNotMatch(said, /c[or]*|horse|battery/, said);
    }
  });

  test('a page of opening brackets takes no time', () => {
    const since = performance.now();
    // Read to the end in a number of steps that grows with its square, it would take hours.
    words('<'.repeat(2_000_000));
    assert.ok(performance.now() - since < 30_000);
  });
});
