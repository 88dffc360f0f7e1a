import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseProfile } from '@aovpn/profile';
import { resolveProfile, type Intent, type PlatformDecision } from '@aovpn/policy';
import { checkPlatform } from '../src/platform-doctor.ts';

const member: PlatformDecision = {
  kind: 'domain',
  joinedTo: 'corp.example',
  by: 'SSSD (ad)',
  account: 'LAPTOP$@CORP.EXAMPLE',
  suffixes: ['corp.example'],
  unread: [],
  trace: ['member of the domain corp.example'],
};

suite('the doctor on where a machine belongs', () => {
  test('a membership without a key of its own is not whole; with a directory alone it never has one', () => {
    const { account: _, ...keyless } = member;
    assert.equal(checkPlatform(keyless, []).verdict, 'warning');
    assert.equal(checkPlatform({ ...keyless, by: 'SSSD (ldap)' }, []).verdict, 'ok');
    assert.equal(checkPlatform(member, []).verdict, 'ok');
  });

  test('a file that cannot be read is named', () => {
    const check = checkPlatform({ ...member, unread: ['/etc/krb5.keytab: not a keytab'] }, []);
    assert.deepEqual([check.verdict, check.found.includes('/etc/krb5.keytab')], ['warning', true]);
  });

  test('a profile that does not trust the networks of the domain is a hint, never a fault', () => {
    const intent = (trusted: string): Intent => {
      const xml = `<VPNProfile><AlwaysOn>true</AlwaysOn>${trusted}<NativeProfile><Servers>vpn.example</Servers><NativeProtocolType>IKEv2</NativeProtocolType><Authentication><MachineMethod>Certificate</MachineMethod></Authentication></NativeProfile></VPNProfile>`;
      const { profile } = parseProfile(Buffer.from(xml));
      return resolveProfile('Corp', profile!).intent;
    };
    const trusting = intent('<TrustedNetworkDetection>corp.example</TrustedNetworkDetection>');
    assert.doesNotMatch(checkPlatform(member, [trusting]).found, /TrustedNetworkDetection/);
    const { verdict, found } = checkPlatform(member, [trusting, intent('')]);
    assert.equal(verdict, 'ok');
    assert.match(found, /TrustedNetworkDetection/);
  });
});
