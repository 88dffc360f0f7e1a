import { encodeUtf16le, encodeUtf8 } from '@aovpn/bytes';
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { domainToASCII } from 'node:url';
import fc from 'fast-check';
import { describeProfile, formatDiagnostics, parseProfile, withoutPositions, writeProfile } from '../src/index.ts';
import { codes, parse, profileText } from './profile-text.ts';

const fixtures = join(import.meta.dirname, 'fixtures');
const asItIs = { serializers: [String] };

function fixturesIn(folder: string): readonly string[] {
  return readdirSync(join(fixtures, folder)).filter((name) => name.endsWith('.xml'));
}

suite('profiles as they are found', () => {
  for (const folder of ['good', 'warned', 'bad', 'ill-formed']) {
    for (const name of fixturesIn(folder)) {
      test(`${folder}/${name}`, (t) => {
        const result = parseProfile(readFileSync(join(fixtures, folder, name)));
        const severities = new Set(result.diagnostics.map(({ severity }) => severity));
        if (folder === 'good') assert.ok(!severities.has('error') && !severities.has('warning'));
        assert.equal(severities.has('error'), folder === 'bad' || folder === 'ill-formed');
        assert.equal(result.profile !== undefined, folder === 'good' || folder === 'warned');
        assert.equal(result.understood !== undefined, folder !== 'ill-formed');
        const golden = join(fixtures, 'golden', `${folder}-${name.replace('.xml', '')}`);
        t.assert.fileSnapshot(formatDiagnostics(name, result.text, result.diagnostics), `${golden}.diagnostics.txt`, asItIs);
        if (result.profile) {
          t.assert.fileSnapshot(describeProfile(result.profile), `${golden}.description.txt`, asItIs);
          const again = parse(writeProfile(result.profile));
          assert.deepEqual(withoutPositions(again.profile), withoutPositions(result.profile), 'written and read again');
        }
      });
    }
  }
});

suite('encodings', () => {
  const text = profileText({ top: '<ProfileName>Büro 東京 𝔙</ProfileName>' });
  const swapped = (bytes: Uint8Array): Uint8Array => {
    const out = new Uint8Array(bytes.length);
    for (let i = 0; i < bytes.length; i += 2) out.set([bytes[i + 1]!, bytes[i]!], i);
    return out;
  };
  const mark = '\ufeff';
  const ways: readonly (readonly [string, Uint8Array])[] = [
    ['UTF-8', encodeUtf8(text)],
    ['UTF-8 with mark', encodeUtf8(mark + text)],
    ['UTF-16LE', encodeUtf16le(text)],
    ['UTF-16LE with mark', encodeUtf16le(mark + text)],
    ['UTF-16BE', swapped(encodeUtf16le(text))],
    ['UTF-16BE with mark', swapped(encodeUtf16le(mark + text))],
  ];
  for (const [name, bytes] of ways) {
    test(name, () => {
      const result = parseProfile(bytes);
      assert.deepEqual(codes(result), []);
      assert.equal(result.profile?.profileName?.value, 'Büro 東京 𝔙');
      assert.deepEqual(result.profile?.profileName?.at, { line: 1, column: 13 }, 'a mark does not shift columns');
    });
  }

  test('a declaration of the real encoding is right in any case and with or without byte order', () => {
    for (const name of ['utf-8', 'UTF-8']) assert.deepEqual(codes(parse(`<?xml version="1.0" encoding="${name}"?>${text}`)), []);
    for (const name of ['utf-16', 'UTF-16LE']) {
      assert.deepEqual(codes(parseProfile(encodeUtf16le(`<?xml version="1.0" encoding="${name}"?>${text}`))), []);
    }
  });

  test('a replacement character that the author wrote is no broken octet', () => {
    assert.deepEqual(codes(parse(profileText({ top: '<ProfileName>a\ufffdb</ProfileName>' }))), []);
  });
});

suite('places', () => {
  test('lines end with \\n, \\r\\n or \\r', () => {
    for (const end of ['\n', '\r\n', '\r']) {
      const { understood } = parse(`<VPNProfile>${end}${end} <AlwaysOn>true</AlwaysOn>${end}</VPNProfile>`);
      assert.deepEqual(understood?.alwaysOn?.at, { line: 3, column: 2 });
    }
  });

  test('columns count UTF-16 units and point at the value, also behind references, comments and CDATA', () => {
    const at = (value: string): unknown =>
      parse(profileText({ top: `\n<DnsSuffix>${value}</DnsSuffix>` }), { toAscii: domainToASCII }).diagnostics[0]?.at;
    assert.deepEqual(at('a.example,*'), { line: 2, column: 22 });
    assert.deepEqual(at('𝔙.example,*'), { line: 2, column: 23 });
    assert.deepEqual(at('a&#46;example,*'), { line: 2, column: 26 });
    assert.deepEqual(at('<!-- a -->a.example,*'), { line: 2, column: 32 });
    assert.deepEqual(at('<![CDATA[a.example,*]]>'), { line: 2, column: 31 });
    assert.deepEqual(at('\n a.example,\n *'), { line: 4, column: 2 }, 'the entry behind the blank');
  });
});

suite('hostile files', () => {
  test('names from the file never become properties', () => {
    const names = '<__proto__>x</__proto__><constructor>x</constructor><prototype/><toString/><hasOwnProperty/>';
    const { profile } = parse(profileText({ top: `${names}<APNBinding>${names}</APNBinding>`, more: names }));
    assert.equal(Object.getPrototypeOf(profile), Object.prototype);
    assert.equal(({} as Record<string, unknown>)['x'], undefined);
    assert.deepEqual(
      Object.keys(profile!).filter((key) => !['routes', 'appTriggers', 'trafficFilters', 'domainNameInformation'].includes(key)),
      ['apnBinding', 'nativeProfile', 'unknown'],
    );
    assert.deepEqual(Object.keys(profile!.apnBinding!.value), []);
    assert.equal(profile!.unknown.length, 15);
  });

  test('entities are not expanded', () => {
    const bomb = readFileSync(join(fixtures, 'ill-formed/billion-laughs.xml'));
    const result = parseProfile(bomb);
    assert.deepEqual(codes(result), ['007']);
    assert.equal(result.understood, undefined);
    assert.ok(JSON.stringify(result.diagnostics).length < 2000);
  });

  // Each of these takes hours when something is quadratic (or worse) in it.
  const size = 200_000;
  const large: Readonly<Record<string, string>> = {
    'blanks in a value': profileText({ top: `<ProfileName>a${' '.repeat(size)}b</ProfileName>` }),
    commas: profileText({ top: `<DnsSuffix>${','.repeat(size)}</DnsSuffix>` }),
    'entries of a list': profileText({ top: `<DnsSuffix>${'a,'.repeat(size)}b</DnsSuffix>` }),
    references: profileText({ top: `<ProfileName>${'&amp;'.repeat(size)}</ProfileName>` }),
    comments: profileText({ top: '<!---->'.repeat(size) }),
    'CDATA sections': profileText({ top: `<ProfileName>${'<![CDATA[a]]>'.repeat(size / 4)}</ProfileName>` }),
    'equal unknown elements': profileText({ top: '<a/>'.repeat(size) }),
    'repeated singletons': profileText({ top: `<Proxy>${'<a/>'.repeat(size / 2)}</Proxy>${'<Proxy/>'.repeat(size / 4)}` }),
    'empty filters': profileText({ top: '<TrafficFilter/>'.repeat(size / 2) }),
    digits: profileText({ top: `<NetworkOutageTime>${'1'.repeat(size)}</NetworkOutageTime>` }),
    'a long host name': profileText({ servers: `<Servers>${'a'.repeat(size)}.${'a-'.repeat(size)}!</Servers>` }),
    'a long object identifier': profileText({
      top: `<DeviceCompliance><Sso><Eku>1${'.1'.repeat(size)}x</Eku></Sso></DeviceCompliance>`,
    }),
    'a long element name': profileText({ top: `<${'a'.repeat(size)}/>` }),
    'unclosed elements': '<VPNProfile>'.repeat(size),
    'unclosed tags': '<VPNProfile '.repeat(size),
    ampersands: `<VPNProfile>${'&'.repeat(size)}`,
    'escaped EAP': profileText({
      authentication: `<Authentication><Eap><Configuration>${'&lt;a&gt;'.repeat(size)}</Configuration></Eap></Authentication>`,
    }),
  };
  for (const [name, text] of Object.entries(large)) {
    test(`many or long: ${name}`, () => {
      const result = parse(text);
      assert.ok(result.diagnostics.length <= 1001);
      assert.equal(typeof formatDiagnostics('large.xml', result.text, result.diagnostics), 'string');
    });
  }

  test('a large profile of ordinary routes is read whole', () => {
    const routes = Array.from(
      { length: 20_000 },
      (_, i) => `<Route><Address>10.${i >> 8}.${i & 255}.0</Address><PrefixSize>24</PrefixSize></Route>`,
    );
    const result = parse(profileText({ policy: '<RoutingPolicyType>SplitTunnel</RoutingPolicyType>', top: routes.join('\n') }));
    assert.deepEqual(codes(result), []);
    assert.equal(result.profile?.routes.length, 20_000);
    assert.deepEqual(result.profile?.routes.at(-1)?.at, { line: 20_000, column: 1 });
  });

  test('no octets make it throw', () => {
    const documents = ['good', 'warned', 'bad', 'ill-formed']
      .flatMap((folder) => fixturesIn(folder).map((name) => readFileSync(join(fixtures, folder, name))))
      .filter((bytes) => bytes.length < 20_000);
    const mutation = fc.record({ at: fc.nat(), remove: fc.nat(40), insert: fc.uint8Array({ maxLength: 12 }) });
    fc.assert(
      fc.property(fc.constantFrom(...documents), fc.array(mutation, { minLength: 1, maxLength: 4 }), (document, mutations) => {
        let bytes: Uint8Array = document;
        for (const { at, remove, insert } of mutations) {
          const start = at % (bytes.length + 1);
          bytes = Uint8Array.of(...bytes.subarray(0, start), ...insert, ...bytes.subarray(start + remove));
        }
        const result = parseProfile(bytes);
        assert.equal(
          result.profile === undefined,
          result.diagnostics.some(({ severity }) => severity === 'error'),
        );
        formatDiagnostics('mutated.xml', result.text, result.diagnostics);
        if (!result.understood) return;
        describeProfile(result.understood);
        // Also what has errors is written so that nothing is lost.
        const again = parse(writeProfile(result.understood));
        if (result.profile) assert.deepEqual(withoutPositions(again.profile), withoutPositions(result.profile));
      }),
      { numRuns: 300 },
    );
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => parseProfile(bytes).profile === undefined));
  });
});
