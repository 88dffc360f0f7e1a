import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseSubject } from '../../src/enrolment/parse-subject.ts';

suite('the subject of a request', () => {
  test('parts stay in their order, with their escapes undone and the strings that RFC 5280 wants', () => {
    assert.deepEqual(parseSubject(String.raw`CN=Büro 7\, links, O=Contoso\\Ltd,C=DE,DC=corp,emailAddress=a@corp.example`), [
      { type: '2.5.4.3', text: 'Büro 7, links', as: 'utf8' },
      { type: '2.5.4.10', text: String.raw`Contoso\Ltd`, as: 'utf8' },
      { type: '2.5.4.6', text: 'DE', as: 'printable' },
      { type: '0.9.2342.19200300.100.1.25', text: 'corp', as: 'ia5' },
      { type: '1.2.840.113549.1.9.1', text: 'a@corp.example', as: 'ia5' },
    ]);
    assert.deepEqual(parseSubject(''), []);
  });

  const cases: readonly (readonly [string, RegExp])[] = [
    ['laptop', /is not NAME=VALUE/],
    ['CN=', /1 to 64/],
    [`CN=${'x'.repeat(65)}`, /1 to 64/],
    ['CN=a\u0007b', /printable/],
    ['X=y', /"X" is not known/],
    ['constructor=y', /not known|NAME=VALUE/],
    ['C=DEU', /1 to 2/],
    ['C=Ö', /plain letters/],
    ['DC=ö', /ASCII/],
    [Array.from({ length: 17 }, () => 'OU=x').join(','), /17 parts/],
  ];
  for (const [source, expected] of cases)
    test(`${JSON.stringify(source.slice(0, 40))} is refused`, () => {
      const found = parseSubject(source);
      assert.ok(typeof found === 'string');
      assert.match(found, expected);
    });
});
