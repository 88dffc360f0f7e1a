import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { formatDiagnostics, type Diagnostic } from '../src/index.ts';
import { parse, profileText } from './profile-text.ts';

function finding(line: number, column: number, more: Partial<Diagnostic> = {}): Diagnostic {
  return { code: 'AOV-PROFILE-000', severity: 'warning', at: { line, column }, path: 'A/B', message: 'Something', ...more };
}

suite('diagnostics as text', () => {
  test('one with everything', () => {
    const found = finding(2, 5, { windows: 'Falls over.', here: 'Goes on.', cure: 'Do better.' });
    assert.equal(
      formatDiagnostics('a.xml', '<A>\n\t <B>x</B>\n</A>', [found]),
      [
        'a.xml:2:5: warning: Something [AOV-PROFILE-000]',
        '    2 |   <B>x</B>',
        '      |     ^',
        '    in: A/B',
        '    windows: Falls over.',
        '    here: Goes on.',
        '    help: Do better.',
        '',
      ].join('\n'),
    );
  });

  test('nothing for nothing, a blank line between two', () => {
    assert.equal(formatDiagnostics('a.xml', 'x', []), '');
    assert.equal(formatDiagnostics('a.xml', 'x', [finding(1, 1), finding(1, 1)]).split('\n\n').length, 2);
  });

  test('a place behind the end is no problem', () => {
    assert.match(formatDiagnostics('a.xml', 'x', [finding(9, 9)]), /^a\.xml:9:9: warning/);
  });

  test('a long line is cut around the place', () => {
    const text = `${'a'.repeat(5000)}X${'b'.repeat(5000)}`;
    const [, shown, caret] = formatDiagnostics('a.xml', text, [finding(1, 5001)], { width: 20 }).split('\n');
    assert.equal(shown, '    1 | …aaaaaaaaaaXbbbbbbbbb…');
    assert.equal(caret!.indexOf('^'), shown?.indexOf('X'));
  });

  test('colours only when asked for', () => {
    assert.ok(!formatDiagnostics('a.xml', 'x', [finding(1, 1)]).includes('\u001b'));
    assert.ok(formatDiagnostics('a.xml', 'x', [finding(1, 1)], { colour: true }).includes('\u001b[1;33mwarning:\u001b[0m'));
  });

  test('a file cannot steer the terminal', () => {
    const text = profileText({ top: '<ProfileName>\u009b31m\u202e</ProfileName><AlwaysOn>\u009b2J\u202eyes</AlwaysOn>' });
    const result = parse(text);
    const shown = formatDiagnostics('\u001b[2Jx.xml', result.text, result.diagnostics);
    // oxlint-disable-next-line no-control-regex -- control characters are what this is about
    assert.doesNotMatch(shown, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
    assert.match(shown, /<U\+009B>/);
  });

  test('secrets in the shown lines are covered', () => {
    const text =
      '<VPNProfile><L2tpPsk x="">\nhunter2\n</L2tpPsk><APNBinding><Password>swordfish</Password></APNBinding><L2tpPsk>open';
    const shown = formatDiagnostics('a.xml', text, [finding(1, 1), finding(2, 1), finding(3, 1)]);
    for (const secret of ['hunter2', 'swordfish', 'open']) assert.ok(!shown.includes(secret), secret);
    assert.ok(shown.includes('*******'));
  });
});
