import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { compilePattern } from '../../src/tls/server-name-pattern.ts';

suite('ServerNames patterns', () => {
  const cases: readonly (readonly [pattern: string, name: string, matches: boolean])[] = [
    ['nps1.example.com', 'nps1.example.com', true],
    ['nps1.example.com', 'NPS1.Example.COM', true],
    ['nps1.example.com', 'xnps1.example.com', false],
    ['nps1.example.com', 'nps1.example.com.evil.test', false],
    ['*.example.com', 'nps.example.com', true],
    ['*.example.com', 'a.b.example.com', false],
    ['*.example.com', 'example.com', false],
    ['nps\\d+\\.example\\.com', 'nps12.example.com', true],
    ['nps\\d+\\.example\\.com', 'npsx.example.com', false],
    ['^nps[0-9]{1,2}\\.example\\.com$', 'nps12.example.com', true],
    ['^nps[0-9]{1,2}\\.example\\.com$', 'nps123.example.com', false],
    ['(nps|radius)\\d\\.example\\.com', 'radius1.example.com', true],
    ['(?:nps|radius)\\.example\\.com', 'nps.example.com', true],
    ['.*\\.example\\.com', 'a.b.example.com', true],
    ['nps|evil', 'nps.example.com', false],
  ];
  for (const [pattern, name, matches] of cases) {
    test(`${pattern} ${matches ? 'takes' : 'leaves'} ${name}`, () => assert.equal(compilePattern(pattern)?.test(name), matches));
  }

  const refused = [
    '(a+)+b',
    '(a|aa)*',
    '(a*)*$',
    'a**',
    '*a',
    '(?=a)b',
    '(?<x>a)\\1',
    '(a)\\1',
    '.*.*.*.*',
    'a{1000}',
    '[',
    'a\\',
    '(',
    'x'.repeat(257),
    '\\p{L}',
    '[a-z&&b]',
  ];
  for (const pattern of refused) test(`refused: ${pattern.slice(0, 20)}`, () => assert.equal(compilePattern(pattern), undefined));

  test('the worst pattern that is taken is quick', () => {
    const expression = compilePattern('.*a.*a.*ab');
    assert.ok(expression);
    const started = performance.now();
    assert.equal(expression.test('a'.repeat(253)), false);
    assert.ok(performance.now() - started < 5000);
  });
});
