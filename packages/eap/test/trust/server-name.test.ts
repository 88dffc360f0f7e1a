import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { matchServerNames, readServerName } from '../../src/index.ts';

const takes = (pattern: string, name: string): boolean => matchServerNames([pattern], { dns: [name] }).matched !== undefined;

suite('an entry of ServerNames', () => {
  const cases: readonly (readonly [pattern: string, name: string, taken: boolean])[] = [
    ['nps1.example.com', 'nps1.example.com', true],
    ['nps1.example.com', 'NPS1.Example.COM', true],
    ['nps1.example.com', 'xnps1.example.com', false],
    ['nps1.example.com', 'nps1.example.com.evil.test', false],
    ['nps1.example.com', 'nps1xexample.com', false],
    ['nps1.example.com.', 'nps1.example.com', true],
    ['nps1.example.com', 'nps1.example.com.', true],
    ['*.example.com', 'nps.example.com', true],
    ['*.example.com', 'a.b.example.com', false],
    ['*.example.com', 'example.com', false],
    ['*.example.com', '.example.com', false],
    ['nps\\d+\\.corp\\.example', 'nps12.corp.example', true],
    ['nps\\d+\\.corp\\.example', 'npsx.corp.example', false],
    ['^nps[0-9]{1,2}\\.example\\.com$', 'nps12.example.com', true],
    ['^nps[0-9]{1,2}\\.example\\.com$', 'nps123.example.com', false],
    ['(nps|radius)\\d\\.example\\.com', 'radius1.example.com', true],
    ['(?:nps|radius)\\.example\\.com', 'nps.example.com', true],
    ['(?i)NPS\\d\\.example\\.com', 'nps1.example.com', true],
    ['.*\\.example\\.com', 'a.b.example.com', true],
    ['.*\\.example\\.com', 'a.b.example.com.evil.test', false],
    ['.*\\.example\\.com', 'exampleXcom', false],
    ['nps|evil', 'nps.example.com', false],
    ['nps.*', 'nps', true],
    ['nps\\w{2,}\\.example', 'nps1.example', false],
    ['nps\\w{2,}\\.example', 'nps12.example', true],
    ['nps(0[1-9]|1[0-2])\\.example', 'nps10.example', true],
    ['nps(0[1-9]|1[0-2])\\.example', 'nps13.example', false],
    ['[^.]+\\.example', 'a.example', true],
    ['[^.]+\\.example', 'a.b.example', false],
    ['[\\w-]+\\.example', 'a-b.example', true],
    ['[\\D]+\\.example', 'a1.example', false],
    ['\\Anps\\.example\\Z', 'nps.example', true],
    ['(a*)*b', 'aaab', true],
    ['()nps', 'nps', true],
    ['nps\\-1\\.example', 'nps-1.example', true],
    ['münchen.example', 'münchen.example', false],
    // The Kelvin sign lower-cases to "k".
    ['kdc.example', '\u212Adc.example', false],
    ['', 'nps.example', false],
  ];
  for (const [pattern, name, taken] of cases) {
    test(`${pattern || '(empty)'} ${taken ? 'takes' : 'leaves'} ${name}`, () => assert.equal(takes(pattern, name), taken));
  }

  const unusable: readonly (readonly [pattern: string, why: RegExp, offset: number])[] = [
    ['*', /nothing stands before/, 0],
    ['a**', /cannot be repeated/, 2],
    ['a++', /cannot be repeated/, 2],
    ['^*a', /anchor/, 1],
    ['(?=a)b', /look-around/, 0],
    ['(?<x>a)', /look-around/, 0],
    ['(a)\\1', /references/, 3],
    ['a{1000}', /repetitions/, 1],
    ['a{2,1}', /wrong order/, 1],
    ['a{x}', /begins no repetition/, 1],
    ['((a{200}){200}){200}', /multiply/, 0],
    ['[', /without "\]"/, 0],
    ['[]', /empty/, 0],
    ['[z-a]', /wrong order/, 2],
    ['[a-[b]]', /write/, 3],
    ['[[:alpha:]]', /write/, 1],
    ['a\\', /lone/, 1],
    ['(', /without "\)"/, 0],
    ['a)', /without "\("/, 1],
    ['\\p{L}', /not understood/, 0],
    ['\\bnps', /not understood/, 0],
    ['('.repeat(40), /deep/, 32],
    [`${'x'.repeat(600)}*`, /longer/, 512],
  ];
  for (const [pattern, why, offset] of unusable) {
    test(`${pattern.slice(0, 24)} is not understood, and takes nothing`, () => {
      const reading = readServerName(pattern);
      assert.equal(reading.kind, 'unusable');
      assert.match(reading.fault.why, why);
      assert.equal(reading.fault.offset, offset);
      assert.equal(takes(pattern, 'a'), false);
    });
  }

  test('what can match no host name, and what matches every one, is told', () => {
    const expression = (pattern: string): unknown => {
      const reading = readServerName(pattern);
      return reading.kind === 'expression' ? [reading.canMatch, reading.matchesAll] : reading.kind;
    };
    assert.deepEqual(expression('nps\\d\\.example'), [true, false]);
    assert.deepEqual(expression('.*'), [true, true]);
    assert.deepEqual(expression('.+'), [true, true]);
    assert.deepEqual(expression('nps$1'), [false, false]);
    assert.deepEqual(expression('a^b'), [false, false]);
    assert.deepEqual(expression('nps 1\\.example'), [false, false]);
    assert.deepEqual(expression('CN=nps'), [false, false]);
    assert.deepEqual(expression('(a{200}){2}'), [false, false]);
    assert.deepEqual(expression('nps.example'), 'name');
    assert.deepEqual(expression('*.example'), 'wildcard');
  });
});

suite('the names of a certificate', () => {
  test('the common name counts only when there is no dNSName', () => {
    assert.equal(matchServerNames(['nps.example'], { dns: ['other.example'], commonName: 'nps.example' }).matched, undefined);
    assert.equal(matchServerNames(['nps.example'], { dns: [], commonName: 'nps.example' }).matched?.name, 'nps.example');
  });

  test('a wildcard in the certificate stands for one label of a plain name, and is below two others', () => {
    assert.equal(takes('nps.corp.example', '*.corp.example'), true);
    assert.equal(takes('a.nps.corp.example', '*.corp.example'), false);
    assert.equal(takes('corp.example', '*.example'), false);
    assert.equal(takes('*.corp.example', '*.corp.example'), true);
    assert.equal(takes('nps\\d\\.corp\\.example', '*.corp.example'), false);
  });

  test('a name that only differs in case is taken, and said to', () => {
    const { matched, trace } = matchServerNames(['NPS.corp.example'], { dns: ['nps.corp.example'] });
    assert.deepEqual(matched, { pattern: 'NPS.corp.example', name: 'nps.corp.example', caseDiffers: true });
    assert.match(trace.join('\n'), /when case is ignored/);
  });

  test('an exact match further down is preferred to one that differs in case', () => {
    const { matched } = matchServerNames(['NPS\\.example', 'nps.example'], { dns: ['nps.example'] });
    assert.deepEqual(matched, { pattern: 'nps.example', name: 'nps.example', caseDiffers: false });
  });

  test('no names, no match; nothing wanted, no match', () => {
    assert.equal(matchServerNames(['.*'], { dns: [] }).matched, undefined);
    assert.equal(matchServerNames([], { dns: ['nps.example'] }).matched, undefined);
    assert.equal(matchServerNames(['.*'], { dns: [''] }).matched, undefined);
  });
});

// The class of CWE-1333, "regular expression denial of service": a profile's expression against a server's names.
suite('no expression makes comparing slow', () => {
  const evil = ['(a+)+b', '(a|aa)+b', '(a*)*b', '(.*a){20}b', '.*.*.*.*.*.*.*b', '((a?){50}){4}b', '(\\w*\\w*)*@'];
  for (const pattern of evil) {
    test(`${pattern} is read and stays within its budget`, () => {
      assert.equal(readServerName(pattern).kind, 'expression');
      const started = process.cpuUsage().user;
      const verdict = matchServerNames(
        Array.from({ length: 64 }, () => pattern),
        {
          dns: Array.from({ length: 256 }, () => 'a'.repeat(253)),
        },
      );
      assert.equal(verdict.matched, undefined);
      // A backtracking matcher needs ages for one of these names; microseconds of processor time, far above what is needed.
      assert.ok(process.cpuUsage().user - started < 20_000_000);
    });
  }

  test('used up work is told, and is no match', () => {
    const dns = [...Array.from({ length: 255 }, () => 'a'.repeat(253)), 'b'];
    const verdict = matchServerNames([...Array.from({ length: 40 }, () => '((a?){50}){4}c'), 'b'], { dns });
    assert.equal(verdict.matched, undefined);
    assert.match(verdict.trace.join('\n'), /more work than is allowed/);
  });
});

suite('properties', () => {
  const letter = fc.constantFrom('a', 'b', 'A', '1', '.', '-');
  const atom = fc.oneof(
    fc.constantFrom(
      'a',
      'b',
      'B',
      '1',
      '\\.',
      '.',
      '\\d',
      '\\w',
      '\\D',
      '\\W',
      '[ab]',
      '[^a]',
      '[a-b1-9]',
      '[\\d.]',
      '^',
      '$',
      '-',
    ),
  );
  const { expression } = fc.letrec<{ expression: string; term: string; sequence: string }>((tie) => ({
    term: fc.oneof(
      { depthSize: 'small' },
      atom,
      fc
        .tuple(
          fc.constantFrom('a', '.', '[ab]', '\\w', '\\.'),
          fc.constantFrom('*', '+', '?', '{2}', '{1,3}', '{0,}', '*?', '+?'),
        )
        .map(([what, count]) => what + count),
      fc.tuple(tie('expression'), fc.constantFrom('', '*', '+', '?', '{0,2}')).map(([what, count]) => `(${what})${count}`),
      tie('expression').map((what) => `(?:${what})`),
    ),
    sequence: fc.array(tie('term'), { minLength: 0, maxLength: 4 }).map((terms) => terms.join('')),
    expression: fc.array(tie('sequence'), { minLength: 1, maxLength: 3 }).map((branches) => branches.join('|')),
  }));

  test('the matcher agrees with the engine of the language on everything that both read', () => {
    fc.assert(
      fc.property(
        expression,
        fc.array(letter, { minLength: 1, maxLength: 8 }).map((letters) => letters.join('')),
        (pattern, name) => {
          const reading = readServerName(pattern);
          if (reading.kind !== 'expression' || name.endsWith('.')) return;
          const verdict = matchServerNames([pattern], { dns: [name] });
          assert.equal(verdict.matched !== undefined, new RegExp(`^(?:${pattern})$`, 'i').test(name));
          if (verdict.matched) assert.equal(verdict.matched.caseDiffers, !new RegExp(`^(?:${pattern})$`).test(name));
          if (verdict.matched) assert.ok(reading.canMatch);
        },
      ),
      { numRuns: 3000 },
    );
  });

  test('whatever is written, reading it ends and throws nothing', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 60, unit: fc.constantFrom(...'ab.*+?()[]{}|\\^$-,09'.split('')) }), (pattern) => {
        readServerName(pattern);
        matchServerNames([pattern], { dns: ['ab.a0'] });
      }),
      { numRuns: 5000 },
    );
  });

  test('a plain name takes itself whatever its case, and no other name of the same length', () => {
    const name = fc.stringMatching(/^[a-z]{1,5}\.[a-z]{1,5}$/);
    fc.assert(
      fc.property(name, name, (a, b) => {
        assert.equal(takes(a, b.toUpperCase()), a === b);
      }),
    );
  });
});
