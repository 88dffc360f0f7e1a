import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { domainToASCII } from 'node:url';
import { asciiNameOf, withoutPositions, writeProfile } from '../../src/index.ts';
import { parse, profileText } from '../profile-text.ts';

const options = { toAscii: domainToASCII };
const rules = `  <DomainNameInformation>
    <DomainName>.BÜCHER.example</DomainName><DnsServers>10.0.0.53</DnsServers>
  </DomainNameInformation>`;

suite('names in the letters of a language', () => {
  test('keep the profile’s form, and are known by their A-labels', () => {
    const text = profileText({
      top: `<DnsSuffix>faß.example,corp.example</DnsSuffix><TrustedNetworkDetection>東京.example</TrustedNetworkDetection>${rules}`,
      servers: '<Servers>vpn.bücher.example;Zentrale,ｖｐｎ。example,192.0.2.1</Servers>',
    });
    const { profile, diagnostics } = parse(text, options);
    assert.deepEqual(
      diagnostics.map(({ message }) => message),
      [],
    );
    assert.ok(profile);
    const hosts = profile.nativeProfile!.servers!.value.map(({ host }) => host);
    assert.deepEqual(hosts, ['vpn.bücher.example', 'ｖｐｎ。example', '192.0.2.1']);
    assert.deepEqual(
      hosts.map((host) => asciiNameOf(profile, host)),
      ['vpn.xn--bcher-kva.example', 'vpn.example', '192.0.2.1'],
    );
    assert.deepEqual(
      ['.BÜCHER.example', 'faß.example', 'corp.example', '東京.example'].map((name) => asciiNameOf(profile, name)),
      ['.xn--bcher-kva.example', 'xn--fa-hia.example', 'corp.example', 'xn--1lqs71d.example'],
    );
    const again = parse(writeProfile(profile), options);
    assert.deepEqual(withoutPositions(again.profile), withoutPositions(profile), 'written and read again');
  });

  test('one that DNS cannot have is an error with its place', () => {
    const cases: readonly (readonly [string, string])[] = [
      // UTS 46 §4.1: what begins like an A-label has to be one.
      [profileText({ servers: '\n<Servers>xn--ü.example</Servers>' }), 'VPNProfile/NativeProfile/Servers'],
      // RFC 5893 §2: directions mixed in one label.
      [profileText({ servers: '\n<Servers>אבa.example</Servers>' }), 'VPNProfile/NativeProfile/Servers'],
      // RFC 1035 §2.3.4
      [profileText({ servers: `\n<Servers>${'ü'.repeat(63)}.example</Servers>` }), 'VPNProfile/NativeProfile/Servers'],
      [profileText({ top: '\n<DnsSuffix>אבa.example</DnsSuffix>' }), 'VPNProfile/DnsSuffix'],
      // A URL's host would end before the slash, hold a dot for %2e, and be an address.
      [profileText({ top: '\n<DnsSuffix>bücher.example/x</DnsSuffix>' }), 'VPNProfile/DnsSuffix'],
      [profileText({ top: '\n<DnsSuffix>bücher%2eexample</DnsSuffix>' }), 'VPNProfile/DnsSuffix'],
      [profileText({ servers: '\n<Servers>１９２.0.2.1</Servers>' }), 'VPNProfile/NativeProfile/Servers'],
    ];
    for (const [text, path] of cases) {
      const { profile, diagnostics } = parse(text, options);
      assert.equal(profile, undefined);
      const [found] = diagnostics.filter(({ severity }) => severity === 'error');
      assert.deepEqual([found?.code, found?.path, found?.at.column], ['AOV-PROFILE-067', path, 1]);
      assert.equal(
        text.split('\n')[found!.at.line - 1]!.startsWith(`<${path.split('/').at(-1)}`),
        true,
        `line ${found!.at.line}`,
      );
    }
  });

  test('who cannot convert names takes none of them', () => {
    const { profile } = parse(profileText({ servers: '<Servers>vpn.bücher.example</Servers>' }));
    assert.equal(profile, undefined);
  });
});
