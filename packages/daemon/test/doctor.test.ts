import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, suite, test } from 'node:test';
import { parseProfile } from '@aovpn/profile';
import { reviewAuthentication } from '@aovpn/supervisor';
import { authenticationFacts } from '../src/doctor.ts';
import { defaultProfileSettings, type ProfileSettings } from '../src/profile-settings.ts';

// Made by `openssl req -x509`; its key was thrown away.
const root = `-----BEGIN CERTIFICATE-----
MIIBxDCCAWugAwIBAgIUHqIkl4yHQC0PhP/3ffSZyAY4Un0wCgYIKoZIzj0EAwIw
NzEXMBUGCgmSJomT8ixkARkWB2V4YW1wbGUxHDAaBgNVBAMME0V4YW1wbGUgUkFE
SVVTIFJvb3QwIBcNMjYxMTIyMjEwNzQzWhgPMjEyNjEwMjkyMTA3NDNaMDcxFzAV
BgoJkiaJk/IsZAEZFgdleGFtcGxlMRwwGgYDVQQDDBNFeGFtcGxlIFJBRElVUyBS
b290MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEHmc+YAlMp/fwkqzepF3VwiPk
Kvhck9NHk3wOOOkBOY3tnteXSQieWSOXdyQm5MdwVFnSfhY0O+qpiEuw3MjLN6NT
MFEwHQYDVR0OBBYEFF1JsACBshsEaJSsr/eWw7n6gC5iMB8GA1UdIwQYMBaAFF1J
sACBshsEaJSsr/eWw7n6gC5iMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwID
RwAwRAIgD9G44UmVVvO2cTewCa60WhMRPMkvlHZP2hAKURdV5EwCIBQtcYN5btsw
HM3QOFOqcFzZmaeQOW+twNJEgNBO5PdI
-----END CERTIFICATE-----
`;
const sha1 = '67d427b8a2d33bd46a1ce04a276b5e499d2f67d2';

const provisioning = 'http://www.microsoft.com/provisioning';

function ttlsProfile(trustedRoot: string) {
  const text = `<VPNProfile><NativeProfile><Servers>vpn.example</Servers><NativeProtocolType>IKEv2</NativeProtocolType><Authentication><UserMethod>Eap</UserMethod><Eap><Configuration><EapHostConfig xmlns="${provisioning}/EapHostConfig"><EapMethod><Type xmlns="${provisioning}/EapCommon">21</Type></EapMethod><Config><EapTtls xmlns="${provisioning}/EapTtlsConnectionPropertiesV1"><ServerValidation><ServerNames>radius.example</ServerNames><TrustedRootCAHash>${trustedRoot}</TrustedRootCAHash></ServerValidation><Phase2Authentication><PAPAuthentication/></Phase2Authentication></EapTtls></Config></EapHostConfig></Configuration></Eap></Authentication></NativeProfile></VPNProfile>`;
  const { profile } = parseProfile(new Uint8Array(Buffer.from(text)));
  assert.ok(profile);
  return profile;
}

suite('what the doctor looks at', () => {
  let directory = '';
  const file = (name: string): string => path.join(directory, name);
  before(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'aovpn-doctor-'));
    await writeFile(file('corp.radius-ca.pem'), root, { mode: 0o600 });
    await writeFile(file('corp.secret'), 'a secret\n', { mode: 0o600 });
    await writeFile(file('pin'), '1234\n', { mode: 0o600 });
  });
  after(() => rm(directory, { recursive: true, force: true }));

  /** What is not right, or all of it. */
  async function review(trustedRoot: string, changes: Partial<ProfileSettings> = {}, paths: object = {}, all = false) {
    const profile = ttlsProfile(trustedRoot);
    const settings = { ...defaultProfileSettings, userName: 'jo@corp.example', passwordSources: ['file'], ...changes };
    const named = { radiusCa: file('corp.radius-ca.pem'), gatewayCa: file('corp.radius-ca.pem'), ...paths };
    const daemon = {
      options: { configDir: directory },
      users: { settingsOf: () => ({ ...settings, ...named }), stemsOf: () => [{ path: file('corp'), anchors: true }] },
      overview: { certificateReport: () => Promise.resolve({ problems: [] }) },
    };
    const candidate = { stored: { name: 'corp', profile } };
    const { facts, faults } = await authenticationFacts(daemon as never, candidate as never);
    return [...faults, ...reviewAuthentication(profile, facts)]
      .filter(({ verdict }) => all || verdict !== 'ok')
      .map(({ name, verdict, found }) => `${verdict} ${name}: ${found}`);
  }

  test('nothing, when everything is there', async () => {
    assert.deepEqual(await review(sha1), []);
    const all = (await review(sha1, {}, {}, true)).join('\n');
    assert.match(all, /ok password: from .*corp\.secret/);
    assert.match(all, /ok RADIUS server: root: .*Example RADIUS Root/);
    assert.doesNotMatch(all, /a secret/);
  });

  test('a root that the profile does not mean', async () => {
    assert.match(
      (await review('00'.repeat(20))).join('\n'),
      /^failed RADIUS server: root: none of 1 roots in .*corp\.radius-ca\.pem/,
    );
  });

  test('a file of roots that is none', async () => {
    await writeFile(file('empty.pem'), 'nothing\n', { mode: 0o600 });
    assert.match(
      (await review(sha1, {}, { radiusCa: file('empty.pem') })).join('\n'),
      /^failed roots: .*empty\.pem: it holds no certificate/,
    );
  });

  test('no password, or one that others can read', async () => {
    const elsewhere = { passwordFile: 'none.secret' };
    assert.match(
      (await review(sha1, elsewhere)).join('\n'),
      /^failed password: There is no password.*AOV-SUPERVISOR-342, Windows 691/,
    );
    await writeFile(file('open.secret'), 'x\n');
    await chmod(file('open.secret'), 0o644);
    assert.match(
      (await review(sha1, { passwordFile: 'open.secret' })).join('\n'),
      /^warning password: .*open\.secret.*AOV-HOST-101/,
    );
    assert.deepEqual(await review(sha1, { ...elsewhere, passwordSources: ['file', 'prompt'] }), [], 'a person is a source');
  });

  test('a PIN that cannot be had', async () => {
    const module = { pkcs11Module: '/usr/lib/some.so' };
    assert.match((await review(sha1, { ...module, pkcs11PinFile: 'gone' })).join('\n'), /^failed PIN: .*AOV-HOST-100/);
    const all = (await review(sha1, { ...module, pkcs11PinFile: 'pin' }, {}, true)).join('\n');
    assert.match(all, /ok PIN: in .*pin;/);
    assert.doesNotMatch(all, /1234/);
  });
});
