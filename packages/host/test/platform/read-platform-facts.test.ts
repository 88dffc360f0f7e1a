import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, suite, test } from 'node:test';
import fc from 'fast-check';
import { readKeytab } from '../../src/platform/keytab.ts';
import { platformMark, readPlatformFacts } from '../../src/platform/read-platform-facts.ts';

const text = (said: string): Buffer => Buffer.concat([Buffer.from([0, said.length]), Buffer.from(said)]);

/** One entry as MIT Kerberos writes it, with a key of 32 octets. */
function entry(realm: string, ...components: string[]): Buffer {
  const body = Buffer.concat([
    Buffer.from([0, components.length]),
    text(realm),
    ...components.map(text),
    // Name type, time, version, key type and key.
    Buffer.from([0, 0, 0, 1, 0x60, 0, 0, 0, 3, 0, 18, 0, 32]),
    Buffer.alloc(32, 0xaa),
  ]);
  const size = Buffer.alloc(4);
  size.writeInt32BE(body.length);
  return Buffer.concat([size, body]);
}

function hole(length: number): Buffer {
  const size = Buffer.alloc(4);
  size.writeInt32BE(-length);
  return Buffer.concat([size, Buffer.alloc(length, 0xff)]);
}

const magic = Buffer.from([5, 2]);
const keytab = Buffer.concat([
  magic,
  entry('CORP.EXAMPLE', 'LAPTOP$'),
  hole(17),
  entry('CORP.EXAMPLE', 'host', 'laptop.corp.example'),
  entry('CORP.EXAMPLE', 'LAPTOP$'),
]);

suite('files that say where a machine belongs', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(path.join(tmpdir(), 'aovpn-platform-'));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  function put(file: string, content: string | Buffer): void {
    mkdirSync(path.dirname(root + file), { recursive: true });
    writeFileSync(root + file, content);
  }

  test('none of them: nothing, and nothing is amiss', async () => {
    const { sssd, samba, keytab: principals, oidc, unread } = await readPlatformFacts({ root });
    assert.deepEqual([sssd, samba, principals, oidc, unread], [[], undefined, [], [], []]);
  });

  test('the mark differs when a file comes, changes in place, or goes, also in a directory', () => {
    const seen = [platformMark(root)];
    const differs = (what: string): void => {
      const now = platformMark(root);
      assert.ok(!seen.includes(now), what);
      assert.equal(platformMark(root), now);
      seen.push(now);
    };
    put('/etc/sssd/sssd.conf', '[sssd]\n');
    differs('a file has come');
    put('/etc/sssd/sssd.conf', '[ssss]\n');
    differs('a file was written over');
    put('/etc/sssd/conf.d/10.conf', '[sssd]\n');
    differs('a snippet has come');
    put('/var/snap/authd-google/current/broker.conf', '');
    differs('a broker has come');
    rmSync(path.join(root, '/etc/sssd/conf.d/10.conf'));
    differs('a snippet has gone');
  });

  test('sssd.conf with snippets that win, domains that are switched off, comments and all', async () => {
    put(
      '/etc/sssd/sssd.conf',
      '# by hand\n[sssd]\nservices = nss, pam\ndomains = corp.example, Guests\n\n[domain/corp.example]\n; the company\nid_provider = ldap\nad_domain = Corp.Example\nkrb5_realm = CORP.EXAMPLE\n[domain/guests]\nid_provider = ldap\n[domain/old.example]\nid_provider = ad\n[domain/more.example]\nenabled = true\nid_provider = ipa\n',
    );
    put('/etc/sssd/conf.d/10-ad.conf', '[domain/corp.example]\nid_provider = AD\nad_hostname = Laptop.corp.example\n');
    put('/etc/sssd/conf.d/20-off.conf', '[domain/guests]\nenabled = false\n');
    put('/etc/sssd/conf.d/.hidden.conf', '[domain/corp.example]\nid_provider = local\n');
    const { sssd } = await readPlatformFacts({ root });
    assert.deepEqual(sssd, [
      {
        name: 'corp.example',
        provider: 'ad',
        dnsDomain: 'corp.example',
        realm: 'CORP.EXAMPLE',
        hostName: 'laptop.corp.example',
      },
      { name: 'more.example', provider: 'ipa' },
    ]);
  });

  test('smb.conf, a keytab, Himmelblau, authd and Intune', async () => {
    put('/etc/samba/smb.conf', '[global]\n  WorkGroup = CORP\n  security = ADS\n  realm = CORP.EXAMPLE\n[homes]\n  realm = x\n');
    put('/etc/krb5.keytab', keytab);
    put('/etc/himmelblau/himmelblau.conf', '[global]\ndomains = contoso.example, Fabrikam.example\n');
    put('/var/snap/authd-msentraid/current/broker.conf', '[oidc]\nissuer = https://login.example/t/v2.0\nclient_id = 1\n');
    put('/var/snap/authd-google/current/broker.conf', '[oidc]\nissuer = https://accounts.example/<ISSUER_ID>\n');
    put('/opt/microsoft/intune/bin/intune-portal', '');
    const { samba, keytab: principals, oidc, unread } = await readPlatformFacts({ root });
    assert.deepEqual(samba, { security: 'ads', realm: 'CORP.EXAMPLE', workgroup: 'CORP' });
    assert.deepEqual(
      principals.map(({ components, realm }) => `${components.join('/')}@${realm}`),
      ['LAPTOP$@CORP.EXAMPLE', 'host/laptop.corp.example@CORP.EXAMPLE'],
    );
    assert.deepEqual(
      oidc.map(({ software, issuer, domains }) => [software, issuer, domains]),
      [
        ['Himmelblau', undefined, ['contoso.example', 'fabrikam.example']],
        ['authd', 'https://login.example/t/v2.0', []],
        ['Intune', undefined, []],
      ],
    );
    assert.deepEqual(unread, []);
  });

  test('what is there and cannot be read is named: a device, a giant, a keytab that is none', async () => {
    put('/etc/krb5.keytab', 'not a keytab');
    put('/etc/samba/smb.conf', Buffer.alloc(300 << 10));
    mkdirSync(`${root}/etc/sssd`, { recursive: true });
    symlinkSync('/dev/zero', `${root}/etc/sssd/sssd.conf`);
    const { unread } = await readPlatformFacts({ root });
    assert.deepEqual(unread.map((line) => line.replace(/^(\S+) .*/, '$1').replace(/:$/, '')).sort(), [
      '/etc/krb5.keytab',
      '/etc/samba/smb.conf',
      '/etc/sssd/sssd.conf',
    ]);
  });

  test('octets of any kind end in names or a RangeError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (octets, whole) => {
        try {
          readKeytab(whole ? Buffer.concat([magic, octets]) : Buffer.concat([keytab.subarray(0, 20), octets]));
        } catch (error) {
          assert.ok(error instanceof RangeError, String(error));
        }
      }),
      { numRuns: 2000 },
    );
  });
});
