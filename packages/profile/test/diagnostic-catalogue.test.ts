import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseProfile, profileDiagnostics } from '../src/index.ts';
import { findingCases } from './finding-case.ts';
import { codes, eapProfile, hostConfig, mschapv2, parse, profileText } from './profile-text.ts';

suite('the catalogue of diagnostics', () => {
  test('codes are unique, well-formed and in order', () => {
    const found = profileDiagnostics.map(({ code }) => code);
    assert.deepEqual(found, [...new Set(found)].toSorted());
    for (const code of found) assert.match(code, /^AOV-PROFILE-\d{3}$/);
  });

  test('every entry has a one-line title, what we do, and a cure', () => {
    for (const { code, title, here, cure } of profileDiagnostics) {
      assert.match(title, /^[^\n]*[^.\n]$/, code);
      assert.match(here, /\.$/, code);
      assert.match(cure, /[.)…]$/, code);
    }
  });

  test('there is a case for every code, and no case for another', () => {
    const covered = new Set(findingCases.map(({ code }) => `AOV-PROFILE-${code}`));
    assert.deepEqual(
      [...covered].toSorted(),
      profileDiagnostics.map(({ code }) => code),
    );
  });

  test('the profiles that the cases are made from have no findings', () => {
    assert.deepEqual(codes(parse(profileText())), []);
    assert.deepEqual(codes(parse(eapProfile(hostConfig(26, `<Config>${mschapv2()}</Config>`)))), []);
  });

  for (const { code, what, text, bytes, options, only } of findingCases) {
    test(`${code}: ${what}`, () => {
      const result = bytes ? parseProfile(bytes) : parse(text!, options);
      assert.ok(codes(result).includes(code), `found ${codes(result).join(', ') || 'nothing'}`);
      if (only !== false) assert.deepEqual(codes(result), [code]);
      const kind = profileDiagnostics.find((entry) => entry.code === `AOV-PROFILE-${code}`)!;
      const diagnostic = result.diagnostics.find((entry) => entry.code === kind.code)!;
      assert.equal(diagnostic.severity, kind.severity);
      assert.ok(diagnostic.message.startsWith(`${kind.title}: `), diagnostic.message);
      const hasErrors = result.diagnostics.some(({ severity }) => severity === 'error');
      assert.equal(result.profile === undefined, hasErrors, 'a profile with errors is not handed out, one without is');
    });
  }
});
