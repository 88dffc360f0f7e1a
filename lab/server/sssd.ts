import { cpSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Host } from '../host.ts';
import { hangMs } from '../patience.ts';
import { inUnpacked, layOver } from '../unpacked.ts';

/** Debian's SSSD and a directory server, with what they need; unpacked, since installing them changes who may sign in to this machine. */
const packages = (
  'sssd-common sssd-ldap sssd-krb5-common libnss-sss libsss-idmap0 libsss-nss-idmap0 libsss-certmap0 ' +
  'libbasicobjects0 libcollection4 libdhash1 libpath-utils1 libref-array1 libini-config5 ' +
  'libc-ares2 libtdb1 libtevent0 libldb2 libpopt0 slapd libltdl7 libodbc2 libwrap0'
).split(' ');

const domainSid = [21, 1111, 2222, 3333] as const;

/** The text of the SID of an account of the domain. */
export function sidOf(account: DirectoryAccount): string {
  return `S-1-5-${domainSid.join('-')}-${account.rid}`;
}

export interface DirectoryAccount {
  readonly name: string;
  readonly rid: number;
  /** Only of groups: names of members. */
  readonly members?: readonly string[];
}

/**
 * Makes a machine a member of a domain as far as identities go: an LDAP directory in the shape of Active Directory on the host itself, and
 * SSSD, which maps its SIDs to numbers and answers the name service switch. `more`: further unpacked packages for that host.
 */
export async function joinDomain(host: Host, accounts: readonly DirectoryAccount[], more: readonly string[] = []): Promise<void> {
  await layOver(host, [...packages, ...more]);
  cpSync(inUnpacked('slapd', 'etc/ldap/schema'), host.file('/etc/ldap/schema'), { recursive: true });
  const state = ['db', 'mc', 'pipes/private', 'pubconf/krb5.include.d', 'gpo_cache', 'keytabs', 'secrets', 'deskprofile'];
  await host.exec(['mkdir', '-p', ...state.map((part) => `/var/lib/sss/${part}`), '/var/lib/ldap', '/run/sssd', '/etc/sssd']);
  await host.exec(['mount', '-t', 'tmpfs', 'log', '/var/log']);
  await host.exec(['mkdir', '/var/log/sssd']);
  host.write('/etc/ldap/directory.schema', schema);
  host.write('/etc/ldap/slapd.conf', server);
  host.write('/etc/ldap/directory.ldif', entries(accounts));
  await host.exec(['slapadd', '-f', '/etc/ldap/slapd.conf', '-l', '/etc/ldap/directory.ldif']);
  host.spawn(['slapd', '-d', '0', '-f', '/etc/ldap/slapd.conf', '-h', 'ldap://127.0.0.1:389'], { name: 'slapd' });
  host.write('/etc/sssd/sssd.conf', client);
  await host.exec(['chmod', '600', '/etc/sssd/sssd.conf']);
  host.write('/etc/nsswitch.conf', 'passwd: files sss\ngroup: files sss\nhosts: files dns\n');
  const sssd = host.spawn(['sssd', '-i', '-d', '0'], { name: 'sssd' });
  // All of them are asked for by name once, and so in SSSD's cache: looking for a SID it writes that as text, which Active Directory
  // understands and OpenLDAP does not.
  const deadline = performance.now() + hangMs;
  for (const { name, members } of accounts) {
    while ((await host.run(['getent', members ? 'group' : 'passwd', name])).status !== 0) {
      if (performance.now() > deadline || sssd.exit) throw new Error(`SSSD does not know ${name}: ${sssd.output()}`);
      await sleep(100);
    }
  }
}

/** The few attributes and classes of Active Directory that SSSD looks at (their numbers are Microsoft's, MS-ADA). */
const schema = `
attributetype ( 1.2.840.113556.1.4.146 NAME 'objectSid' EQUALITY octetStringMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.221 NAME 'sAMAccountName' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.98 NAME 'primaryGroupID' EQUALITY integerMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.750 NAME 'groupType' EQUALITY integerMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
objectclass ( 1.2.840.113556.1.5.9 NAME 'user' SUP top STRUCTURAL MUST ( cn $ objectSid $ sAMAccountName ) MAY primaryGroupID )
objectclass ( 1.2.840.113556.1.5.8 NAME 'group' SUP top STRUCTURAL MUST ( cn $ objectSid $ sAMAccountName ) MAY ( groupType $ member ) )
`;

const server = `
include /etc/ldap/schema/core.schema
include /etc/ldap/directory.schema
modulepath /usr/lib/ldap
moduleload back_mdb
database mdb
suffix "dc=corp,dc=example"
directory /var/lib/ldap
access to * by * read
`;

const client = `
[sssd]
services = nss
domains = corp.example
[domain/corp.example]
id_provider = ldap
auth_provider = none
access_provider = permit
ldap_uri = ldap://127.0.0.1
ldap_search_base = dc=corp,dc=example
ldap_schema = ad
ldap_id_mapping = true
ldap_idmap_default_domain = corp.example
ldap_idmap_default_domain_sid = S-1-5-${domainSid.join('-')}
ldap_sasl_mech =
ldap_referrals = false
ldap_group_nesting_level = 0
ldap_use_tokengroups = false
`;

function entries(accounts: readonly DirectoryAccount[]): string {
  const base = 'dc=corp,dc=example';
  const all = [...accounts, { name: 'Domain Users', rid: 513, members: [] }].map((account) => [
    `dn: cn=${account.name},${base}`,
    `objectClass: ${account.members ? 'group' : 'user'}`,
    `cn: ${account.name}`,
    `sAMAccountName: ${account.name}`,
    `objectSid:: ${binarySid(account.rid)}`,
    ...(account.members ? ['groupType: -2147483646'] : ['primaryGroupID: 513']),
    ...(account.members ?? []).map((member) => `member: cn=${member},${base}`),
  ]);
  const top = [`dn: ${base}`, 'objectClass: dcObject', 'objectClass: organization', 'o: corp', 'dc: corp'];
  return [top, ...all].map((lines) => `${lines.join('\n')}\n`).join('\n');
}

/** MS-DTYP §2.4.2.2, in base64. */
function binarySid(rid: number): string {
  const octets = Buffer.alloc(8 + 4 * (domainSid.length + 1));
  octets.set([1, domainSid.length + 1, 0, 0, 0, 0, 0, 5]);
  [...domainSid, rid].forEach((part, i) => octets.writeUInt32LE(part, 8 + 4 * i));
  return octets.toString('base64');
}
