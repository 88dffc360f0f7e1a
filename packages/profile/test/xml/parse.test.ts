import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { defaultLimits } from '../../src/limits.ts';
import { standaloneContent, standaloneXml, trimBlanks } from '../../src/xml/element.ts';
import { parseXml } from '../../src/xml/parse.ts';
import { sourceOfContent, sourceOfFile } from '../../src/xml/source.ts';

function root(text: string) {
  const parsed = parseXml(sourceOfFile(text), defaultLimits);
  assert.equal(parsed.kind, 'document');
  return parsed.root;
}

function failure(text: string) {
  const parsed = parseXml(sourceOfFile(text), defaultLimits);
  assert.equal(parsed.kind, 'failure');
  return parsed.failure;
}

suite('parsing XML with places', () => {
  test('an element knows where it begins and ends and where its content is', () => {
    const text = '<!-- a --><r  x="1" ><b/> t <c\n>u</c\n></r>\n<!-- z -->';
    const element = root(text);
    assert.equal(text.slice(element.start, element.end), '<r  x="1" ><b/> t <c\n>u</c\n></r>');
    assert.equal(text.slice(element.contentStart, element.contentEnd), '<b/> t <c\n>u</c\n>');
    const [b, c] = element.children;
    assert.equal(text.slice(b!.start, b!.end), '<b/>');
    assert.equal(b!.contentStart, b!.contentEnd);
    assert.equal(text.slice(c!.start, c!.end), '<c\n>u</c\n>');
    assert.equal(text.slice(c!.contentStart, c!.contentEnd), 'u');
    assert.equal(text[element.textOffset!], 't');
  });

  test('text is joined over comments, CDATA and references', () => {
    const element = root('<r> a<!-- x -->&lt;<![CDATA[<b>&amp;]]>&#x1F600;<?pi?>z </r>');
    assert.equal(element.text, ' a<<b>&amp;😀z ');
  });

  test('the first character of a text is found behind comments and in CDATA', () => {
    for (const text of ['<r> <!-- x --> a</r>', '<r><![CDATA[ a]]></r>', '<r><?pi x?>\r\n\ta</r>']) {
      assert.equal(text[root(text).textOffset!], 'a', text);
    }
    assert.equal(root('<r> <!-- a --> </r>').textOffset, undefined);
  });

  test('namespaces are told apart from prefixes', () => {
    const element = root('<r xmlns="urn:a" xmlns:p="urn:b"><p:x/><x xmlns=""/></r>');
    assert.deepEqual(
      [element, ...element.children].map(({ name, prefix, uri }) => [name, prefix, uri]),
      [
        ['r', '', 'urn:a'],
        ['x', 'p', 'urn:b'],
        ['x', '', ''],
      ],
    );
  });

  test('failures say what is wrong and where', () => {
    const cases: readonly (readonly [string, string, RegExp, number])[] = [
      ['<a><b></a>', 'illFormed', /<\/a> closes nothing: <b> of line 1 is still open/, 6],
      ['<a><b></b></b></a>', 'illFormed', /<b> of line 1 is already closed; .* <a>/, 10],
      ['<a><b><b></b></a>', 'illFormed', /opened twice\?/, 13],
      ['<a>', 'illFormed', /ends before <a> of line 1/, 3],
      ['<a/></a>', 'illFormed', /behind the end/, 4],
      ['<a/><b/>', 'illFormed', /second root/, 4],
      ['x<a/>', 'illFormed', /before the root/, 0],
      ['<a/>x', 'illFormed', /behind the root/, 4],
      ['<a b=c/>', 'illFormed', /./, 5],
      ['<a b="1" b="2"/>', 'illFormed', /duplicate attribute/, 15],
      ['<a b="<"/>', 'illFormed', /./, 6],
      ['<p:a/>', 'illFormed', /unbound namespace prefix/, 5],
      ['<a>\u0001</a>', 'illFormed', /U\+0001/, 3],
      ['<a>&#0;</a>', 'illFormed', /does not allow/, 3],
      ['<a>]]></a>', 'illFormed', /./, 5],
      ['<a><!-- -- --></a>', 'illFormed', /malformed comment/, 10],
      ['<a>&b;</a>', 'undefinedEntity', /&b;/, 3],
      ['<a b="&c;"/>', 'undefinedEntity', /&c;/, 6],
      ['<a>a & b</a>', 'bareAmpersand', /./, 5],
      ['<a>a &amp; &</a>', 'bareAmpersand', /./, 11],
      ['<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', 'doctype', /./, 0],
      ['  <!DOCTYPE a><a/>', 'doctype', /./, 2],
      [' ', 'illFormed', /no element/, 0],
    ];
    for (const [text, name, message, offset] of cases) {
      const found = failure(text);
      assert.equal(found.name, name, text);
      assert.match(found.message, message, text);
      assert.equal(found.offset, offset, text);
    }
  });

  test('a prefix that is not declared twice over does not make it a loop', () => {
    assert.equal(failure(`<a ${'xmlns:p="urn:x" '.repeat(100)}/>`).name, 'tooManyElements');
    assert.equal(failure(`<a xmlns:p="${'u'.repeat(2000)}"/>`).name, 'tooManyElements');
  });
});

suite('pieces of XML', () => {
  test('an element taken out carries the declarations it needs, and only those', () => {
    const element = root(
      '<r xmlns:a="urn:&quot;a" xmlns:b="urn:b" xmlns:c="urn:c"><a:x b:y="1"><c:z xmlns:c="urn:own"/></a:x></r>',
    );
    const taken = standaloneXml(element.children[0]!);
    assert.equal(taken, '<a:x xmlns:a="urn:&quot;a" xmlns:b="urn:b" b:y="1"><c:z xmlns:c="urn:own"/></a:x>');
    assert.equal(standaloneXml(root(taken)), taken, 'nothing is added twice');
  });

  test('content taken out too', () => {
    assert.equal(standaloneContent(root('<r xmlns="urn:r"> a <x/>\n<y xmlns=""/> </r>')), 'a <x xmlns="urn:r"/>\n<y xmlns=""/>');
  });

  test('only the blanks of XML are trimmed', () => {
    assert.equal(trimBlanks(' \t\r\n\u00a0a\u2003 '), '\u00a0a\u2003');
    assert.equal(trimBlanks(' \n '), '');
  });
});

suite('places in content', () => {
  test('every character of unescaped content knows its place in the file', () => {
    const text = '<r>\r\n &lt;a&gt;<!-- x -->b\r\n<![CDATA[&c;\r\nd]]>&#x65;f</r>';
    const element = root(text);
    const outer = sourceOfFile(text);
    const content = sourceOfContent(outer, element.contentStart, element.contentEnd);
    assert.equal(content.text, '\n <a>b\n&c;\ndef');
    assert.equal(content.text, element.text);
    const place = (character: string): string => {
      const { line, column } = content.position(content.text.indexOf(character));
      return `${line}:${column}`;
    };
    assert.deepEqual(
      ['<', 'a', '>', 'b', '&', 'c', ';', 'd', 'e', 'f'].map((character) => `${character} ${place(character)}`),
      ['< 2:2', 'a 2:6', '> 2:7', 'b 2:21', '& 3:10', 'c 3:11', '; 3:12', 'd 4:1', 'e 4:5', 'f 4:11'],
    );
  });

  test('content within content', () => {
    const text = '<r>\n&lt;s&gt;&amp;amp;x&lt;/s&gt;</r>';
    const outer = root(text);
    const inner = sourceOfContent(outer.source, outer.contentStart, outer.contentEnd);
    const parsed = parseXml(inner, defaultLimits);
    assert.equal(parsed.kind, 'document');
    assert.equal(parsed.root.text, '&x');
    const deepest = sourceOfContent(inner, parsed.root.contentStart, parsed.root.contentEnd);
    assert.deepEqual(deepest.position(0), { line: 2, column: 10 });
    assert.deepEqual(deepest.position(1), { line: 2, column: 19 });
  });
});
