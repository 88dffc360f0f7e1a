import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { formatAddress } from '@aovpn/bytes';
import { enrolmentSettingKeys } from '../src/enrolment-settings.ts';
import { portalSettingKeys } from '../src/portal-settings.ts';
import { userSettingKeys } from '../src/user-settings.ts';
import { daemonSettingKeys } from '../src/daemon-settings.ts';
import { defaultProfileSettings, profileSettingKeys } from '../src/profile-settings.ts';
import { parseSettings, type Settings } from '../src/settings.ts';

function faultsOf(source: string): string[] {
  const result = parseSettings(source);
  assert.ok('faults' in result, 'faults were expected');
  return result.faults.map(({ line, column, message }) => `${line}:${column}: ${message}`);
}

const acme = '[enrol.m]\nprotocol = "acme"\nurl = "https://a.example/dir"\nca = "a"\n';

suite('aovpn.toml', () => {
  test('nothing in it means the defaults', () => {
    const result = parseSettings('');
    assert.ok('settings' in result);
    assert.equal(result.settings.group, 'aovpn');
    assert.deepEqual(result.settings.of('any'), defaultProfileSettings);
  });

  test('every kind of value arrives, in our units', () => {
    const result = parseSettings(`
# a comment
[daemon]
group = "netadmins"

[profile."Contoso Device"]
certificate = "certs/device.pem"
user-name = "CORP\\\\jo"
revocation = "hard"
allow-weak = true
mtu = 1300
dpd-seconds = 10
child-lifetime-megabytes = 200
`);
    assert.ok('settings' in result);
    assert.equal(result.settings.group, 'netadmins');
    const settings = result.settings.of('Contoso Device');
    assert.equal(settings.certificate, 'certs/device.pem');
    assert.equal(settings.userName, 'CORP\\jo');
    assert.equal(settings.revocation, 'hard');
    assert.equal(settings.allowWeak, true);
    assert.equal(settings.mtu, 1300);
    assert.equal(settings.dpdMs, 10_000);
    assert.equal(settings.childLifetimeBytes, 200_000_000);
    assert.deepEqual(result.settings.of('other'), defaultProfileSettings);
    assert.deepEqual(result.settings.promptUsers, []);
    assert.equal(result.settings.allowKeyExport, false);
  });

  test('resolvers by TLS: strict, with the authorities of the system, unless told otherwise', () => {
    const { encryptedDns, dnsCa } = defaultProfileSettings;
    assert.deepEqual([encryptedDns, dnsCa], ['strict', undefined]);
    const result = parseSettings('[profile.a]\nencrypted-dns = "fallback"\ndns-ca = "dns.pem"\n');
    assert.ok('settings' in result);
    const own = result.settings.of('a');
    assert.deepEqual([own.encryptedDns, own.dnsCa], ['fallback', 'dns.pem']);
    for (const wrong of ['encrypted-dns = true', 'encrypted-dns = "opportunistic"', 'dns-ca = ""'])
      assert.ok('faults' in parseSettings(`[profile.a]\n${wrong}\n`), wrong);
  });

  // RFC 7296 §3.6
  test('certificates are fetched from http URLs that are written out, and from nowhere without them', () => {
    assert.deepEqual([defaultProfileSettings.certificateUrls, defaultProfileSettings.certificateUrl], [[], undefined]);
    const result = parseSettings(
      '[profile.a]\ncertificate-urls = ["http://pki.example/certs/"]\ncertificate-url = "http://pki.example/me.der"\n',
    );
    assert.ok('settings' in result);
    const own = result.settings.of('a');
    assert.deepEqual([own.certificateUrls, own.certificateUrl], [['http://pki.example/certs/'], 'http://pki.example/me.der']);
    for (const wrong of [
      '"http://pki.example/"',
      '["https://pki.example/"]',
      '["pki.example"]',
      '["http://u:p@pki.example/"]',
      '[""]',
    ])
      assert.ok('faults' in parseSettings(`[profile.a]\ncertificate-urls = ${wrong}\n`), wrong);
    assert.ok('faults' in parseSettings('[profile.a]\ncertificate-url = "file:///etc/me.der"\n'));
  });

  // RFC 8598 §6
  test('domains for trust anchors are none of the top', () => {
    const read = (list: string) => parseSettings(`[profile.a]\ndnssec-trust-anchors = ${list}\n`);
    const result = read('["Corp.Example"]');
    assert.ok('settings' in result);
    assert.deepEqual(result.settings.of('a').dnssecAnchors, ['corp.example']);
    for (const list of ['["."]', '["com"]', '["corp.example", "example"]', '["com."]', '[""]'])
      assert.ok('faults' in read(list), list);
  });

  test('people and where their secrets are', () => {
    const result = parseSettings(`
[daemon]
prompt-users = ["jo", 1001]
allow-key-export = true
[profile.a]
password-sources = ["secret-service", "prompt"]
secret-service = "jo"
password-credential = "vpn"
pkcs11-module = "/usr/lib/softhsm/libsofthsm2.so"
pkcs11-token = "my card"
`);
    assert.ok('settings' in result);
    assert.deepEqual(result.settings.promptUsers, ['jo', 1001]);
    assert.equal(result.settings.allowKeyExport, true);
    const { passwordSources, secretService, passwordCredential, pkcs11Token, eapWaitMs } = result.settings.of('a');
    assert.deepEqual(
      [passwordSources, secretService, passwordCredential, pkcs11Token, eapWaitMs],
      [['secret-service', 'prompt'], 'jo', 'vpn', 'my card', 180_000],
    );
  });

  const cases: readonly (readonly [string, RegExp])[] = [
    ['[daemon]\ngruop = "x"', /^2:1: gruop: unknown key; there are: group, admin-group/],
    ['[daemon]\nallow-key-export = "yes"', /^2:1: allow-key-export: true or false/],
    ['[daemon]\nprompt-users = "jo"', /^2:1: prompt-users: a list of users/],
    ['[daemon]\nprompt-users = ["jo", -1]', /^2:1: prompt-users/],
    ['[daemon]\nprompt-users = ["a b"]', /^2:1: prompt-users/],
    ['[profile.a]\npassword-sources = ["file", "file"]', /^2:1: password-sources: a list of some of "file"/],
    ['[profile.a]\npassword-sources = ["mind"]', /^2:1: password-sources/],
    ['[profile.a]\nsecret-service = true', /^2:1: secret-service: the name of a user/],
    ['[profile.a]\nradius-revocation = "no"', /^2:1: radius-revocation: "off", "soft" or "hard"/],
    ['[profile.a]\nmtu = 1000', /^2:1: mtu: a whole number from 1280 to 9000/],
    ['[profile.a]\nmtu = "1400"', /^2:1: mtu: a whole number/],
    ['[profile.a]\n\n  allow-weak = 1', /^3:3: allow-weak: true or false/],
    ['[profile.a]\nrevocation = "maybe"', /^2:1: revocation: "off", "soft" or "hard"/],
    ['[profile.a]\nmtu = 1400\n[profile.b]\nmtu = 1', /^4:1: mtu/],
    ['[profile."a b"]\nallow_weak = true', /^2:1: allow_weak: unknown key; there are: certificate, key/],
    ['[profile.a]\n__proto__ = 1', /^2:1: __proto__: unknown key/],
    ['[profile.a]\nconstructor = 1', /^2:1: constructor: unknown key/],
    ['[profile.a]\nenrolment = "machine"', /^2:1: enrolment: there is no table \[enrol\."machine"\]/],
    ['[enrol.m]\nurl = "https://a.example"', /^1:1: ca or ca-fingerprint is missing: no server is believed at first sight/],
    ['[enrol.m]\nca = "a"', /^1:1: url is missing/],
    ['[enrol.m]\nurl = "http://a.example"\nca = "a"', /^2:1: url: EST wants an https URL/],
    ['[enrol.m]\nurl = "https://a:b@a.example"\nca = "a"', /^2:1: url: an https URL/],
    ['[enrol.m]\nprotocol = "scep"\nurl = "http://a.example"\nca = "a"', /^1:1: ca-fingerprint is missing/],
    [
      `[enrol.m]\nprotocol = "scep"\nurl = "http://a.example"\nca-fingerprint = "${'0'.repeat(64)}"\nkey-type = "p256"`,
      /^5:1: key-type: answers of SCEP/,
    ],
    ['[enrol.m]\nurl = "https://a.example"\nca = "a"\nallow-weak = true', /^4:1: allow-weak goes with SCEP only/],
    ['[enrol.m]\nca-fingerprint = "00"', /^2:1: ca-fingerprint: a SHA-256/],
    ['[enrol.m]\nsubject = "laptop"', /^2:1: subject: "laptop" is not NAME=VALUE/],
    ['[enrol.m]\nkey-type = "rsa1024"', /^2:1: key-type: one of "p256"/],
    ['[enrol.m]\nrenew-before = 1', /^2:1: renew-before: a part/],
    ['[enrol.m]\nuser-name = "a:b"', /^2:1: user-name/],
    ['[enrol.m]\ndns-names = ["a b"]', /^2:1: dns-names: a list/],
    ['[enrol.m]\nuser-principal-names = ["alice"]', /^2:1: user-principal-names/],
    ['[enrol.m]\nurl = "https://a.example"\nca = "a"\nkey = "k"', /^4:1: key needs certificate/],
    ['[enrol.m]\nurl = "https://a.example"\nca = "a"\ndns-update-key = "k"', /^4:1: dns-update-key goes with ACME only/],
    ['[enrol.m]\nurl = "https://a.example"\nca = "a"\nagree-to-terms = true', /^4:1: agree-to-terms goes with ACME only/],
    ['[enrol.m]\nprotocol = "acme"\nurl = "http://a.example/dir"\nca = "a"', /^3:1: url: ACME wants an https URL/],
    ['[enrol.m]\nprotocol = "acme"\nurl = "https://a.example/dir"', /^1:1: ca is missing: with ACME/],
    [`${acme}ca-fingerprint = "${'0'.repeat(64)}"`, /^5:1: ca-fingerprint goes with EST and SCEP only/],
    [`${acme}subject = "CN=a"`, /^5:1: subject: an ACME authority/],
    [`${acme}certificate = "c.pem"`, /^5:1: certificate and key go with EST only/],
    [`${acme}email-addresses = ["a@b.example"]`, /^1:1: ACME certifies DNS names/],
    [`${acme}dns-names = []`, /^1:1: ACME certifies DNS names/],
    [`${acme}secret-file = "s"`, /^1:1: user-name is missing/],
    [`${acme}dns-servers = ["ns1.a.example"]`, /^5:1: dns-servers: a list of 1 to 8 addresses/],
    [`${acme}agree-to-terms = "yes"`, /^5:1: agree-to-terms: true or false/],
    ['[enrol.m]\nprotocol = "cmp"', /^2:1: protocol: "est", "scep" or "acme"/],
    ['[enrol."../m"]\nurl = "https://a.example"', /^1:1: "\.\.\/m": a name of/],
    ['[nonsense]', /^1:1: unknown table or key "nonsense"/],
    ['daemon = 1', /^1:1: "daemon" is a table/],
    ['[profile]\na = 1', /^2:1: settings of a profile stand in a table/],
    ['[profile.a\nmtu = 1', /^1:\d+: /],
    ['[profile.a]\nmtu = 1400\nmtu = 1400', /^3:\d+: /],
  ];
  for (const [source, expected] of cases) {
    test(`${JSON.stringify(source)} is refused with its place`, () => {
      assert.match(faultsOf(source)[0]!, expected);
    });
  }

  test('all faults come at once, in the order of the text', () => {
    assert.deepEqual(
      faultsOf('[profile.a]\nmtu = 1\nidentity = ""\n[daemon]\nx = 1').map((fault) => fault.slice(0, 2)),
      ['2:', '3:', '5:'],
    );
  });

  test('[enrol] by ACME: whom to believe, which account, and where proofs are written', () => {
    const { settings } = parseSettings(
      `${acme}issuing-ca = "i"\nuser-name = "kid-1"\nsecret-file = "s"\nagree-to-terms = true\ndns-update-key = "k"\ndns-servers = ["192.0.2.53", "2001:db8::53"]`,
    ) as { readonly settings: Settings };
    const { issuingCa, userName, agreeToTerms, dnsUpdateKey, dnsServers } = settings.enrolments.get('m')!;
    assert.deepEqual([issuingCa, userName, agreeToTerms, dnsUpdateKey], ['i', 'kid-1', true, 'k']);
    assert.deepEqual(dnsServers?.map(formatAddress), ['192.0.2.53', '2001:db8::53']);
    assert.ok('settings' in parseSettings(acme), 'an account for everybody');
  });

  test('[portal]: read, and refused where it makes no sense', () => {
    const { settings } = parseSettings(
      '[portal]\nusers = ["alice", 1001]\nprobe-url = "http://probe.example/"\nprobe-answer = "yes\\n"\nminutes = 5\nports = [80, 8080]\nbrowser = ["firefox", "{url}"]\n',
    ) as { readonly settings: Settings };
    assert.deepEqual(settings.portal, {
      users: ['alice', 1001],
      probeUrl: 'http://probe.example/',
      probeAnswer: 'yes\n',
      minutes: 5,
      ports: [80, 8080],
      browser: ['firefox', '{url}'],
    });
    for (const bad of [
      'minutes = 61',
      'minutes = 0',
      'probe-url = "https://x.example/"',
      'probe-url = "file:///x"',
      'ports = []',
      'ports = [0]',
      'browser = "firefox"',
      'users = [-1]',
      'colour = 1',
    ])
      assert.equal(faultsOf(`[portal]\n${bad}`).length, 1, bad);
  });

  test('docs/settings.md lists exactly these keys', async () => {
    const { readFile } = await import('node:fs/promises');
    const text = await readFile(new URL('../../../docs/settings.md', import.meta.url), 'utf8');
    const listed = [...text.matchAll(/^\| `([a-z0-9-]+)` \|/gm)].map(([, key]) => key);
    assert.deepEqual(
      new Set(listed),
      new Set([
        ...Object.keys(profileSettingKeys),
        ...Object.keys(portalSettingKeys),
        ...Object.keys(userSettingKeys),
        ...Object.keys(enrolmentSettingKeys),
        ...Object.keys(daemonSettingKeys),
      ]),
    );
  });
});
