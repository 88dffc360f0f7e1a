import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseAddress, type IpAddress } from '@aovpn/bytes';
import { removeProof, writeProof } from '../../src/enrol/acme/dns-proofs.ts';
import { HostError } from '../../src/host-error.ts';
import { readKeytab } from '../../src/platform/keytab.ts';
import { nsupdateScript } from '../../src/registration/kerberos-update.ts';
import { registerName, withdrawName, type NameRegistration } from '../../src/registration/register-name.ts';
import { addressRecord, pointerRecord, textRecord } from '../../src/registration/update-message.ts';
import { inOwnNamespace, run } from '../network/namespace.ts';
import { namedProgram, startBind, zoneText, type Bind } from './bind.ts';

const address = (text: string): IpAddress => parseAddress(text)!;
const server = '127.0.0.53';
const debian = fileURLToPath(new URL('../../../../.build/debian', import.meta.url));
const programOf = (packageName: string, path: string): string | undefined =>
  [`/${path}`, join(debian, packageName, path)].find(existsSync);
const kdc = programOf('krb5-kdc', 'usr/sbin/krb5kdc');
const kdb5Util = programOf('krb5-kdc', 'usr/sbin/kdb5_util');
const database = programOf('krb5-kdc', 'usr/lib/x86_64-linux-gnu/krb5/plugins/kdb');
const kadminLocal = programOf('krb5-admin-server', 'usr/sbin/kadmin.local');

suite('nsupdate', () => {
  test('is told what is done, in checked words', () => {
    const types = [1, 28];
    const records = [address('10.9.0.2'), address('fd00:9::2')].map(addressRecord);
    assert.equal(
      nsupdateScript(address(server), 'corp.example', { name: 'laptop.corp.example', op: 'replace', types, records }),
      'server 127.0.0.53\nzone corp.example.\nupdate delete laptop.corp.example. A\nupdate delete laptop.corp.example. AAAA\n' +
        'update add laptop.corp.example. 1200 A 10.9.0.2\nupdate add laptop.corp.example. 1200 AAAA fd00:9::2\nsend\nquit\n',
    );
    const pointer = pointerRecord('laptop.corp.example');
    assert.equal(
      nsupdateScript(address(server), '9.10.in-addr.arpa', {
        name: '2.0.9.10.in-addr.arpa',
        op: 'remove',
        types: [12],
        records: [pointer],
      }),
      'server 127.0.0.53\nzone 9.10.in-addr.arpa.\nupdate delete 2.0.9.10.in-addr.arpa. PTR laptop.corp.example.\nsend\nquit\n',
    );
    const proof = { name: '_acme-challenge.laptop.corp.example', types: [], records: [textRecord('evaGxf-_')], lifetime: 60 };
    assert.deepEqual(
      (['replace', 'remove'] as const).map(
        (op) => nsupdateScript(address(server), 'corp.example', { ...proof, op }).split('\n')[2],
      ),
      [
        'update add _acme-challenge.laptop.corp.example. 60 TXT "evaGxf-_"',
        'update delete _acme-challenge.laptop.corp.example. TXT "evaGxf-_"',
      ],
    );
  });

  test('is told nothing where a name holds more than a name', () => {
    for (const name of [
      'x\nupdate delete www.corp.example. a\nupdate add y.corp.example',
      'a b.corp.example',
      '*.corp.example',
      '',
    ])
      assert.throws(
        () => nsupdateScript(address(server), 'corp.example', { name, op: 'replace', types: [], records: [] }),
        (error) => error instanceof HostError && error.code === 'AOV-HOST-336',
      );
  });
});

if (!kdc || !kdb5Util || !database || !kadminLocal || namedProgram === undefined) {
  test('GSS-TSIG', { skip: 'not on this machine: krb5-kdc, krb5-admin-server or bind9' }, () => undefined);
} else {
  inOwnNamespace(import.meta.url, () => {
    const place = mkdtempSync(join(tmpdir(), 'kerberos-'));
    let bind: Bind;
    let kerberos: ChildProcess;
    const wish = (keytab: string): NameRegistration => ({
      device: 'lo',
      name: 'laptop.corp.example',
      addresses: [address('10.9.0.2'), address('fd00:9::2')],
      servers: [address(server)],
      credential: { kind: 'kerberos', keytab: join(place, keytab) },
      leadsThrough: () => true,
    });
    const dig = async (type: string): Promise<string> => {
      const child = spawn('dig', ['+short', `@${server}`, 'laptop.corp.example', type], { stdio: ['ignore', 'pipe', 'ignore'] });
      let output = '';
      child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
      await once(child, 'close');
      return output.trim();
    };
    const code = async (act: Promise<unknown>): Promise<string> => {
      try {
        await act;
      } catch (error) {
        if (error instanceof HostError) return error.code;
        throw error;
      }
      return 'none';
    };

    suite('GSS-TSIG with a real key distribution centre and a real BIND', () => {
      before(async () => {
        mkdirSync(join(place, 'bind'));
        const realm = 'CORP.EXAMPLE';
        const config = join(place, 'krb5.conf');
        writeFileSync(
          config,
          `[libdefaults]\n default_realm = ${realm}\n dns_lookup_kdc = false\n dns_lookup_realm = false\n dns_canonicalize_hostname = false\n rdns = false\n[realms]\n ${realm} = {\n  kdc = ${server}\n }\n[domain_realm]\n .corp.example = ${realm}\n corp.example = ${realm}\n`,
        );
        const kdcConfig = join(place, 'kdc.conf');
        writeFileSync(
          kdcConfig,
          `[kdcdefaults]\n kdc_listen = ${server}:88\n kdc_tcp_listen = ${server}:88\n[realms]\n ${realm} = {\n  database_name = ${place}/principal\n  key_stash_file = ${place}/stash\n  acl_file = ${place}/acl\n }\n[dbmodules]\n db_module_dir = ${database}\n`,
        );
        process.env['KRB5_CONFIG'] = config;
        process.env['KRB5_KDC_PROFILE'] = kdcConfig;
        run(kdb5Util, 'create', '-s', '-r', realm, '-P', 'master');
        const kadmin = (...words: string[]): void => void run(kadminLocal, '-r', realm, ...words);
        for (const [principal, keytab] of [
          ['DNS/ns1.corp.example', 'dns.keytab'],
          ['host/laptop.corp.example', 'host.keytab'],
          ['host/other.corp.example', 'other.keytab'],
        ] as const) {
          kadmin('addprinc', '-randkey', principal);
          kadmin('ktadd', '-k', join(place, keytab), principal);
        }
        // Our reader of names beside the program that wrote the file.
        const names = readKeytab(readFileSync(join(place, 'host.keytab')));
        assert.deepEqual(names, [{ realm, components: ['host', 'laptop.corp.example'] }]);
        bind = await startBind({
          directory: join(place, 'bind'),
          address: server,
          ready: 'corp.example',
          options: `tkey-gssapi-keytab "${place}/dns.keytab";`,
          zones: { 'corp.example.zone': zoneText('ns1', `ns1 IN A ${server}\n`) },
          // Each machine may change its own name only.
          config: `zone "corp.example" { type primary; file "corp.example.zone"; update-policy { grant ${realm} krb5-self . A AAAA; grant ${realm} krb5-selfsub . TXT; }; };`,
        });
        kerberos = spawn(kdc, ['-n', '-r', realm, '-P', join(place, 'pid')], { stdio: 'ignore' });
      });
      after(async () => {
        kerberos.kill();
        await once(kerberos, 'close');
        await bind.stop();
        rmSync(place, { recursive: true });
      });

      test('registered with the key of this machine, and taken out again; no ticket is left on disk', async () => {
        const before = readdirSync('/tmp').filter((file) => file.startsWith('krb5cc'));
        // The centre may not be up yet.
        let registered: Awaited<ReturnType<typeof registerName>> | undefined;
        for (const end = performance.now() + 60_000; !registered;) {
          registered = await registerName(wish('host.keytab')).catch((error: unknown) => {
            if (performance.now() > end) throw error;
            return undefined;
          });
          if (!registered) await sleep(50);
        }
        assert.deepEqual([await dig('A'), await dig('AAAA')], ['10.9.0.2', 'fd00:9::2']);
        assert.match(bind.log(), /key host\/laptop\.corp\.example\\@CORP\.EXAMPLE: updating zone/);
        await withdrawName(registered);
        assert.deepEqual([await dig('A'), await dig('AAAA')], ['', '']);
        assert.deepEqual(
          readdirSync('/tmp').filter((file) => file.startsWith('krb5cc')),
          before,
        );
      });

      test('a proof for an authority below the name of this machine, and taken out again', async () => {
        const where = {
          credential: { kind: 'kerberos', keytab: join(place, 'host.keytab') },
          servers: [address(server)],
        } as const;
        const proof = { name: '_acme-challenge.laptop.corp.example', text: 'evaGxf-_' };
        const proofs = (): string => run('dig', '+short', `@${server}`, proof.name, 'TXT').trim();
        await writeProof(where, proof);
        assert.equal(proofs(), '"evaGxf-_"');
        await removeProof(where, proof);
        assert.equal(proofs(), '');
        const another = { ...where, credential: { kind: 'kerberos', keytab: join(place, 'other.keytab') } } as const;
        await assert.rejects(writeProof(another, proof), /AOV-HOST-331/);
      });

      test('another machine’s key is refused; without a key it cannot be signed; where no route leads through the tunnel nothing is sent', async () => {
        assert.equal(await code(registerName(wish('other.keytab'))), 'AOV-HOST-331');
        assert.equal(await code(registerName(wish('missing.keytab'))), 'AOV-HOST-335');
        const before = bind.log().length;
        assert.equal(await code(registerName({ ...wish('host.keytab'), leadsThrough: () => false })), 'AOV-HOST-330');
        assert.doesNotMatch(bind.log().slice(before), /updating zone/);
        assert.equal(await dig('A'), '');
      });
    });
  });
}
