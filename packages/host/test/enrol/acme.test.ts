// ACME with Let's Encrypt's own test server (pebble), which asks a real BIND for the proofs that we write into it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes, X509Certificate, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, beforeEach, suite, test, type TestContext } from 'node:test';
import { formatAddress, parseAddress } from '@aovpn/bytes';
import { enrolByAcme } from '../../src/enrol/acme/acme-client.ts';
import { acmeFile, readAcmeState, writeAcmeState } from '../../src/enrol/acme/acme-state.ts';
import { removeProof, waitForProof, writeProof } from '../../src/enrol/acme/dns-proofs.ts';
import { enrolledFile } from '../../src/enrol/enrolled-file.ts';
import { obtainCertificate, type CertificateObtained, type CertificateWanted } from '../../src/enrol/obtain-certificate.ts';
import { sendUpdateTo } from '../../src/registration/send-update.ts';
import { textRecord } from '../../src/registration/update-message.ts';
import { AnchorStore } from '../../src/trust/anchor-store.ts';
import { parseCertificate } from '../../src/trust/certificate.ts';
import { loadCredential } from '../../src/keys/credential.ts';
import { inOwnNamespace, sh } from '../network/namespace.ts';
import { namedProgram, startBind, zoneText, type Bind } from '../registration/bind.ts';
import { authority, server as forServer, TestPki } from '../trust/test-pki.ts';
import { pebbleProgram, startPebble, type Pebble, type PebbleOptions } from './pebble.ts';
import { ScriptedAcme, type Change } from './scripted-acme.ts';

const names = ['laptop.corp.example', 'two.corp.example'];
const primary = '127.0.0.53';
const secondary = '127.0.0.54';

if (namedProgram === undefined || pebbleProgram === undefined) {
  test('ACME', { skip: 'not on this machine: named (bind9) or pebble' }, () => undefined);
} else {
  inOwnNamespace(import.meta.url, () => {
    const place = mkdtempSync(path.join(tmpdir(), 'acme-'));
    const directory = path.join(place, 'enrolled');
    const pki = new TestPki();
    const root = pki.issue('Company TLS Root', { extensions: authority });
    const stranger = pki.issue('Somebody Else', { extensions: authority });
    const tls = pki.issue('acme', {
      issuer: root,
      extensions: [...forServer, 'subjectAltName=IP:127.0.0.70,IP:127.0.0.71,IP:127.0.0.72'],
    });
    const key = `key "laptop" { algorithm hmac-sha256; secret "${randomBytes(32).toString('base64')}"; };\n`;
    const keyFile = (name: string, text: string): string => {
      const file = path.join(place, name);
      writeFileSync(file, text, { mode: 0o600 });
      return file;
    };
    const macKeys = { 'kid-1': randomBytes(32).toString('base64url'), 'kid-2': randomBytes(32).toString('base64url') };
    const daemons: (Bind | Pebble)[] = [];
    let bind: Bind;
    let pebble: Pebble;
    let count = 0;
    const start = async (more: Partial<PebbleOptions> = {}): Promise<Pebble> => {
      const address = more.address ?? '127.0.0.70';
      const started = await startPebble({
        directory: path.join(place, address),
        address,
        server: tls,
        accounts: macKeys,
        dns: primary,
        blocked: ['blocked.corp.example'],
        ...more,
      });
      daemons.push(started);
      return started;
    };
    const dig = async (name: string): Promise<string> => {
      const child = spawn('dig', ['+short', `@${primary}`, `_acme-challenge.${name}`, 'TXT'], {
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      let output = '';
      child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
      await once(child, 'close');
      return output;
    };
    /** What a program logs may come after what it answers. */
    const says = async (daemon: Bind | Pebble, pattern: RegExp): Promise<void> => {
      for (const end = performance.now() + 60_000; !pattern.test(daemon.log());) {
        assert.ok(performance.now() < end, `${String(pattern)}: ${daemon.log().slice(-3000)}`);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    };
    const secretOf = (keyId: string, text: string): NonNullable<CertificateWanted['secret']> => ({
      userName: keyId,
      octets: new TextEncoder().encode(text),
    });
    const proofs = (file = keyFile('laptop.key', key)): NonNullable<NonNullable<CertificateWanted['acme']>['proofs']> => ({
      credential: { kind: 'tsig', keyFile: file },
      servers: [parseAddress(primary)!],
    });
    const wanted = (more: Partial<CertificateWanted> = {}): CertificateWanted => ({
      directory,
      name: `m${count}`,
      protocol: 'acme',
      url: pebble.url,
      authorities: root.pem,
      issuers: pebble.root,
      names: { subject: [], dns: names, email: [], upn: [] },
      how: 'enrol',
      weak: false,
      anew: false,
      secret: secretOf('kid-1', macKeys['kid-1']),
      acme: { keyId: 'kid-1', termsAgreed: true, proofs: proofs() },
      ...more,
    });
    const file = (): string => enrolledFile(directory, `m${count}`);
    const issued = async (more: Partial<CertificateWanted> = {}): Promise<void> =>
      assert.deepEqual(await obtainCertificate(wanted(more)), { kind: 'issued' });
    async function fails(
      failure: string,
      detail: RegExp,
      more: Partial<CertificateWanted> = {},
    ): Promise<CertificateObtained & { kind: 'failed' }> {
      const result = await obtainCertificate(wanted(more));
      assert.ok(result.kind === 'failed', JSON.stringify(result));
      assert.equal(result.failure, failure, result.detail);
      assert.match(result.detail, detail);
      return result;
    }

    suite('ACME', () => {
      before(async () => {
        const zone = (more: string): string => zoneText('ns1', `ns1 IN A ${primary}\n${more}laptop IN A 10.9.0.2\n`);
        const grants = names.map((name) => `grant laptop name _acme-challenge.${name}. TXT;`).join(' ');
        // Proofs of one name stand in a place of their own.
        const alias = '_acme-challenge.alias IN CNAME alias.proofs\nloop IN CNAME pool\npool IN CNAME loop\n';
        const slow = zoneText('ns1', `@ IN NS ns2\nns1 IN A ${primary}\nns2 IN A ${secondary}\n`);
        bind = await startBind({
          directory: path.join(place, 'primary'),
          address: primary,
          ready: 'corp.example',
          zones: {
            'corp.example.zone': zone(
              `_acme-challenge.laptop IN TXT "somebody else"\n@ IN NS ns2\nns2 IN A 127.0.0.99\n${alias}`,
            ),
            'slow.example.zone': slow,
          },
          config: `${key}zone "corp.example" { type primary; file "corp.example.zone"; update-policy { ${grants} grant laptop name alias.proofs.corp.example. TXT; }; };
zone "slow.example" { type primary; file "slow.example.zone"; update-policy { grant laptop zonesub TXT; }; };`,
        });
        // What the authority asks when it is to see another zone than we; and a secondary server that hears of nothing.
        const other = await startBind({
          directory: path.join(place, 'other'),
          address: secondary,
          ready: 'corp.example',
          zones: { 'corp.example.zone': zone(''), 'slow.example.zone': slow },
          config: ['corp.example', 'slow.example']
            .map((one) => `zone "${one}" { type primary; file "${one}.zone"; allow-update { any; }; };`)
            .join('\n'),
        });
        daemons.push(bind, other);
        for (const address of ['127.0.0.70', '127.0.0.71', '127.0.0.72']) sh(`ip address add ${address}/32 dev lo`);
        pebble = await start({ usedAgain: 100 });
      });
      beforeEach(() => void count++);
      after(async () => {
        for (const daemon of daemons) await daemon.stop();
        pki[Symbol.dispose]();
        rmSync(place, { recursive: true });
      });

      test('a bound account, a proof in the DNS for each name, the certificate with its chain; what was written is taken out again', async () => {
        await issued();
        for (const made of [file(), acmeFile(directory, `m${count}`)]) assert.equal(statSync(made).mode & 0o777, 0o600);
        const credential = await loadCredential({ certificate: file() });
        assert.deepEqual(credential.names.dns, names);
        assert.equal(credential.certificates.length, 2);
        assert.ok(new X509Certificate(credential.certificates[1]!).checkIssued(new X509Certificate(pebble.root)));
        await says(
          bind,
          /key laptop: updating zone 'corp\.example\/IN': adding an RR at '_acme-challenge\.two\.corp\.example' TXT/,
        );
        assert.equal(await dig('laptop.corp.example'), '"somebody else"\n');
        assert.equal(await dig('two.corp.example'), '');
        await says(pebble, /Successful newAccount Binding with CA using kid "kid-1"/);
        const kept = readFileSync(acmeFile(directory, `m${count}`), 'utf8');
        assert.ok(!kept.includes(macKeys['kid-1']));
        const { order, records } = JSON.parse(kept) as { order?: string; records: unknown[] };
        assert.deepEqual([order, records], [undefined, []]);
      });

      test('where the account is known and the names are proven nothing is asked: no secret, no record, and the order is ready at once', async () => {
        await issued();
        const text = readFileSync(file(), 'utf8');
        const { secret: _, ...rest } = wanted({ acme: { keyId: 'kid-1', termsAgreed: true } });
        assert.deepEqual(await obtainCertificate(rest), { kind: 'issued' });
        assert.notEqual(readFileSync(file(), 'utf8'), text);
      });

      test('a renewal has a new key and the names of the certificate, whatever the settings say now', async () => {
        await issued();
        const before = await loadCredential({ certificate: file() });
        await new Promise((resolve) => setTimeout(resolve, 1001 - (Date.now() % 1000)));
        const { secret: _, ...rest } = wanted({
          how: 'renew',
          names: { subject: [], dns: ['changed.example'], email: [], upn: [] },
        });
        assert.deepEqual(await obtainCertificate(rest), { kind: 'issued' });
        const after = await loadCredential({ certificate: file() });
        assert.deepEqual(after.names.dns, names);
        assert.ok(after.notAfter > before.notAfter);
        const [old, now] = [before, after].map(({ certificates }) =>
          new X509Certificate(certificates[0]!).publicKey.export({ format: 'der', type: 'spki' }),
        );
        assert.notDeepEqual(old, now);
      });

      for (const kind of ['p384', 'rsa2048'] as const)
        test(`a key of kind ${kind}`, async () => {
          await issued({ key: kind });
          const { certificates } = await loadCredential({ certificate: file() });
          const details = new X509Certificate(certificates[0]!).publicKey.asymmetricKeyDetails;
          assert.equal(kind === 'p384' ? details?.namedCurve : details?.modulusLength, kind === 'p384' ? 'secp384r1' : 2048);
        });

      test('nonces that the server refuses are followed by those that it wants', async () => {
        // A quarter of forty requests.
        const picky = await start({ address: '127.0.0.71', refusedNonces: 25 });
        for (let i = 0; i < 4; i++) {
          count++;
          await issued({ url: picky.url, issuers: picky.root });
        }
        await picky.stop();
      });

      test('a MAC key that is another one, and a key identifier that nobody knows: the secret was refused, and no account is kept', async () => {
        const wrong = randomBytes(32).toString('base64url');
        const result = await fails('secret-refused', /HTTP 403 .*unauthorized.*verification error/, {
          secret: secretOf('kid-1', wrong),
        });
        assert.ok(!result.detail.includes(wrong));
        const acme = { keyId: 'nobody', termsAgreed: true, proofs: proofs() };
        await fails('secret-refused', /kid/, { secret: secretOf('nobody', wrong), acme });
        assert.throws(() => statSync(file()));
        await issued();
      });

      test('another secret by hand is another account; one that is refused leaves the one that works', async () => {
        await issued();
        const state = acmeFile(directory, `m${count}`);
        const before = readFileSync(state, 'utf8');
        await fails('secret-refused', /unauthorized/, {
          anew: true,
          secret: secretOf('kid-1', randomBytes(32).toString('base64url')),
        });
        assert.equal(readFileSync(state, 'utf8'), before);
        await issued({ anew: true });
        assert.notEqual(readFileSync(state, 'utf8'), before);
      });

      test('without a secret where one is wanted, with one that is none, or without agreeing to the terms: this side is told what to set', async () => {
        const { secret: _, ...rest } = wanted();
        const none = await obtainCertificate(rest);
        assert.ok(
          none.kind === 'failed' && none.failure === 'refused' && /user-name is its key identifier/.test(none.detail),
          JSON.stringify(none),
        );
        await fails('host', /no MAC key/, { secret: secretOf('kid-1', 'not base64url!') });
        await fails('refused', /agree-to-terms/, { acme: { keyId: 'kid-1', termsAgreed: false } });
        await fails('host', /set dns-names/, { names: { subject: [], dns: [], email: [], upn: [] } });
      });

      test('a proof that the authority does not see: it is refused with its words, and nothing stays in the DNS', async () => {
        const blind = await start({ address: '127.0.0.72', dns: secondary });
        const more = { url: blind.url, issuers: blind.root };
        await fails('unproven', /unauthorized: .*_acme-challenge\.(two|laptop)\.corp\.example|unauthorized: .*TXT records/, more);
        assert.equal(await dig('laptop.corp.example'), '"somebody else"\n');
        await blind.stop();
      });

      test('a record is waited for at every name server of its zone that answers; who has not got it is named', async () => {
        const record = { name: '_acme-challenge.laptop.slow.example', text: 'x'.repeat(43) };
        await writeProof(proofs(), record);
        assert.deepEqual(await waitForProof(proofs(), record, Date.now() + 5000), [parseAddress(secondary)!]);
        await removeProof(proofs(), record);
        const nobody = await waitForProof(proofs(), record, Date.now());
        assert.deepEqual(nobody.map(formatAddress).toSorted(), [primary, secondary]);
        // The second one of this zone is not there at all.
        const other = { name: '_acme-challenge.laptop.corp.example', text: 'y'.repeat(43) };
        await writeProof(proofs(), other);
        assert.deepEqual(await waitForProof(proofs(), other, Date.now() + 60_000), []);
        await removeProof(proofs(), other);
        assert.equal(await dig('laptop.corp.example'), '"somebody else"\n');
      });

      test('an alias at the name of the proof is followed to where proofs are written', async () => {
        await issued({ names: { subject: [], dns: ['alias.corp.example'], email: [], upn: [] } });
        await says(bind, /updating zone 'corp\.example\/IN': adding an RR at 'alias\.proofs\.corp\.example' TXT/);
        await says(bind, /updating zone 'corp\.example\/IN': deleting an RR at alias\.proofs\.corp\.example TXT/);
        await assert.rejects(writeProof(proofs(), { name: 'loop.corp.example', text: 'x' }), /without end/);
      });

      test('a name server that has not got the record yet: it stays for the next try, which goes on with the same order and key', async () => {
        const dns = ['laptop.slow.example'];
        const attempt = async (key?: KeyObject): ReturnType<typeof enrolByAcme> =>
          await enrolByAcme({
            directory,
            name: `m${count}`,
            url: new URL(pebble.url),
            anchors: AnchorStore.fromDer([root.der]),
            issuers: [parseCertificate(new X509Certificate(pebble.root).raw)],
            keyId: 'kid-1',
            secret: { text: macKeys['kid-1'] },
            anew: false,
            termsAgreed: true,
            dns,
            keyKind: undefined,
            ...(key && { key }),
            proofs: proofs(),
            deadline: Date.now() + 2000,
            signal: AbortSignal.timeout(20_000),
          });
        const first = await attempt();
        assert.ok(first.kind === 'pending', JSON.stringify(first));
        assert.match(first.why ?? '', /^127\.0\.0\.54 has not got _acme-challenge\.laptop\.slow\.example yet$/);
        const { order, records } = (await readAcmeState(directory, `m${count}`))!;
        assert.ok(order);
        const [record] = records;
        assert.match(await dig(dns[0]!), new RegExp(record!.text));
        // It arrives there.
        const change = { name: record!.name, op: 'replace', types: [], records: [textRecord(record!.text)] } as const;
        const way = { device: undefined, servers: [], credential: { kind: 'none' }, leadsThrough: () => true } as const;
        await sendUpdateTo(way, change, 'slow.example', parseAddress(secondary)!);
        const second = await attempt(first.key);
        assert.ok(second.kind === 'issued', JSON.stringify(second));
        assert.ok(second.certificates[0]!.x509.checkPrivateKey(first.key));
        assert.equal(await dig(dns[0]!), '');
        const after = (await readAcmeState(directory, `m${count}`))!;
        assert.deepEqual([after.order, after.records], [undefined, []]);
      });

      test('without name servers of its own the system’s are asked for the zone', async () => {
        const file = path.join(place, 'resolv.conf');
        writeFileSync(file, `search corp.example\nnameserver ${primary}\n`);
        sh(`mount --bind ${file} /etc/resolv.conf`);
        try {
          const { servers: _, ...own } = proofs();
          await issued({ acme: { keyId: 'kid-1', termsAgreed: true, proofs: own } });
        } finally {
          sh('umount /etc/resolv.conf');
        }
      });

      test('what a try has left in the DNS that did not come to its end, the next one takes out', async () => {
        await issued();
        const left = { name: '_acme-challenge.two.corp.example', text: 'left-behind' };
        await writeProof(proofs(), left);
        const state = await readAcmeState(directory, `m${count}`);
        await writeAcmeState(directory, `m${count}`, { ...state!, records: [left] });
        assert.match(await dig('two.corp.example'), /left-behind/);
        await issued();
        assert.equal(await dig('two.corp.example'), '');
        assert.deepEqual((await readAcmeState(directory, `m${count}`))?.records, []);
      });

      /** Wants a proof with another token whenever it is asked, and never believes it. @param many authorisations of one order */
      const insatiable = async (t: TestContext, many: number): Promise<ScriptedAcme> => {
        const scripted = await ScriptedAcme.start(
          pki.issue('scripted', { issuer: root, extensions: [...forServer, 'subjectAltName=IP:127.0.0.1'] }),
          root,
        );
        t.after(() => scripted.close());
        let asked = 0;
        const pending: Change = (ordinary) => ({
          ...ordinary,
          body: {
            ...(ordinary.body as object),
            status: 'pending',
            authorizations: Array.from({ length: many }, (_, i) => `${scripted.origin}/authorization/${i}`),
          },
        });
        scripted.changes = {
          'new-order': pending,
          order: pending,
          authorization: (ordinary) => ({
            ...ordinary,
            body: {
              status: 'pending',
              identifier: { type: 'dns', value: names[0] },
              challenges: [
                { type: 'dns-01', url: `${scripted.origin}/challenge/${++asked}`, status: 'pending', token: `token-${asked}` },
              ],
            },
          }),
        };
        return scripted;
      };
      const ofOne = { names: { subject: [], dns: names.slice(0, 1), email: [], upn: [] } };

      test('an authority that wants proofs without end: no more are written than an order can need, and all are taken out', async (t) => {
        const scripted = await insatiable(t, 16);
        await fails('unusable', /more than 32 proofs/, { ...ofOne, url: scripted.url });
        assert.equal(scripted.topics().filter((topic) => topic === 'challenge').length, 32);
        assert.equal(await dig(names[0]!), '"somebody else"\n');
        assert.deepEqual((await readAcmeState(directory, `m${count}`))?.records, []);
      });

      test('an order that is gone takes its proofs along, also where the next one is waited for again', async (t) => {
        const scripted = await insatiable(t, 1);
        const { changes } = scripted;
        scripted.changes = {
          ...changes,
          authorization: (ordinary, heard) => ({
            ...changes.authorization!(ordinary, heard),
            headers: { 'retry-after': '600' },
          }),
        };
        const pending = async (): Promise<void> =>
          assert.equal((await obtainCertificate(wanted({ ...ofOne, url: scripted.url }))).kind, 'pending');
        await pending();
        scripted.changes = { ...scripted.changes, order: (ordinary) => ({ ...ordinary, status: 404 }) };
        await pending();
        const records = (await readAcmeState(directory, `m${count}`))!.records;
        assert.equal(records.length, 1);
        assert.deepEqual(
          (await dig(names[0]!)).trim().split('\n').toSorted(),
          [`"${records[0]!.text}"`, '"somebody else"'].toSorted(),
        );
        await removeProof(proofs(), records[0]!);
      });

      test('a key that may not write there, a key that is unknown, and no key at all', async () => {
        const names = { subject: [], dns: ['three.corp.example'], email: [], upn: [] };
        await fails('unproven', /AOV-HOST-331/, { names });
        const unknown = `key "nobody" { algorithm hmac-sha256; secret "${randomBytes(32).toString('base64')}"; };\n`;
        const acme = { keyId: 'kid-1', termsAgreed: true };
        await fails('unproven', /BADKEY.*AOV-HOST-332/, {
          names,
          acme: { ...acme, proofs: proofs(keyFile('unknown.key', unknown)) },
        });
        await fails('unproven', /three\.corp\.example proven.*dns-update-key/, { names, acme });
        const nowhere = { ...proofs(), servers: [parseAddress('127.0.0.98')!] };
        await fails('unreachable', /AOV-HOST-330/, { names, acme: { ...acme, proofs: nowhere } });
      });

      test('a name that the authority does not certify', async () => {
        await fails('refused', /rejectedIdentifier: .*blocked\.corp\.example/, {
          names: { subject: [], dns: ['blocked.corp.example'], email: [], upn: [] },
        });
      });

      test('a server that has not proven who it is is not believed; a certificate from another authority is not taken', async () => {
        await fails('untrusted', /127\.0\.0\.70:14000/, { authorities: stranger.pem });
        await issued();
        const text = readFileSync(file(), 'utf8');
        await fails('unusable', /./, { how: 'renew', issuers: stranger.pem });
        assert.equal(readFileSync(file(), 'utf8'), text);
      });

      test('an authority that was set up anew, and knows nobody: the account makes itself known again', async () => {
        await issued();
        await pebble.stop();
        pebble = await start({ usedAgain: 100 });
        await issued();
        await says(pebble, /Successful newAccount Binding/);
      });
    });
  });
}
