import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { decidePlatform, type PlatformFacts } from '../../src/platform/decide-platform.ts';

const nothing: PlatformFacts = { hostName: 'laptop', sssd: [], keytab: [], realms: [], oidc: [], unread: [] };
const decide = (facts: Partial<PlatformFacts>): Omit<ReturnType<typeof decidePlatform>, 'trace' | 'unread'> => {
  const { trace: _, unread: _none, ...decided } = decidePlatform({ ...nothing, ...facts });
  return decided;
};
const account = { components: ['LAPTOP$'], realm: 'CORP.EXAMPLE' };
const host = { components: ['host', 'laptop.corp.example'], realm: 'CORP.EXAMPLE' };
const short = { components: ['host', 'LAPTOP'], realm: 'CORP.EXAMPLE' };

suite('where a machine belongs', () => {
  test('Active Directory by SSSD: domain, realm, account and full name of the machine', () => {
    assert.deepEqual(
      decide({ sssd: [{ name: 'corp.example', provider: 'ad', realm: 'CORP.EXAMPLE' }], keytab: [short, account, host] }),
      {
        kind: 'domain',
        joinedTo: 'corp.example',
        realm: 'CORP.EXAMPLE',
        by: 'SSSD (ad)',
        account: 'LAPTOP$@CORP.EXAMPLE',
        hostName: 'laptop.corp.example',
        suffixes: ['corp.example'],
      },
    );
  });

  test('IPA has no account with a dollar: the host principal speaks for the machine', () => {
    const { account: who, by } = decide({ sssd: [{ name: 'corp.example', provider: 'ipa' }], keytab: [host] });
    assert.deepEqual([who, by], ['host/laptop.corp.example@CORP.EXAMPLE', 'SSSD (ipa)']);
  });

  test('of several domains the one in which there is an account; section and domain may have different names', () => {
    const sssd = [
      { name: 'guests', provider: 'ldap' },
      { name: 'work', provider: 'ad', dnsDomain: 'corp.example' },
    ];
    assert.equal(decide({ sssd, keytab: [account] }).joinedTo, 'corp.example');
    assert.equal(decide({ sssd: sssd.slice(0, 1) }).joinedTo, 'guests');
  });

  test('a directory without an account: a member, and the trace says what is missing; the name gets the domain’s', () => {
    const sssd = [{ name: 'corp.example', provider: 'ldap' }];
    const { trace, ...decided } = decidePlatform({ ...nothing, sssd });
    assert.equal(decided.account, undefined);
    assert.equal(decided.hostName, 'laptop.corp.example');
    assert.match(trace.at(-1)!, /no machine account was found/);
  });

  test('accounts of this machine only are no domain; keys of another realm are none of it', () => {
    assert.equal(decide({ sssd: [{ name: 'shadowutils', provider: 'proxy' }], keytab: [account] }).kind, 'workgroup');
    const elsewhere = { components: ['OTHER$'], realm: 'ELSEWHERE.EXAMPLE' };
    assert.equal(decide({ sssd: [{ name: 'corp.example', provider: 'ad' }], keytab: [elsewhere] }).account, undefined);
  });

  test('realmd may confirm it, or know of a membership that no file tells', () => {
    const realms = [{ domain: 'corp.example', realm: 'CORP.EXAMPLE', software: 'sssd' }];
    assert.equal(decide({ realms, sssd: [{ name: 'corp.example', provider: 'ad' }] }).by, 'SSSD (ad) and realmd');
    assert.deepEqual(decide({ realms }), {
      kind: 'domain',
      joinedTo: 'corp.example',
      realm: 'CORP.EXAMPLE',
      by: 'realmd',
      hostName: 'laptop.corp.example',
      suffixes: ['corp.example'],
    });
  });

  test('winbind: by security = ads; what is only a workgroup is told as one', () => {
    const samba = { security: 'ads', realm: 'CORP.EXAMPLE', workgroup: 'CORP' };
    const { joinedTo, by, account: who } = decide({ samba, keytab: [account] });
    assert.deepEqual([joinedTo, by, who], ['corp.example', 'winbind', 'LAPTOP$@CORP.EXAMPLE']);
    assert.deepEqual(decide({ samba: { security: 'user', workgroup: 'HOME' } }), {
      kind: 'workgroup',
      joinedTo: 'HOME',
      suffixes: [],
    });
  });

  test('a provider of sign-ins; a domain goes before it; what is only installed says nothing', () => {
    const issuer = 'https://login.example/tenant/v2.0';
    const oidc = [
      { software: 'Intune' as const, domains: [], source: '/opt/x' },
      { software: 'authd' as const, issuer, domains: [], source: '/etc/y' },
    ];
    assert.deepEqual([decide({ oidc }).kind, decide({ oidc }).joinedTo], ['oidc', issuer]);
    assert.equal(decide({ oidc, sssd: [{ name: 'corp.example', provider: 'ad' }] }).kind, 'domain');
    const { kind } = decide({ oidc: oidc.slice(0, 1) });
    assert.equal(kind, 'workgroup');
    assert.match(decidePlatform({ ...nothing, oidc }).trace.join('\n'), /Intune is installed/);
  });
});
