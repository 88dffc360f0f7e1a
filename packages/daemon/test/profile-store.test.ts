import assert from 'node:assert/strict';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { reviewProfile } from '@aovpn/supervisor';
import { Log } from '../src/log.ts';
import { isProfileName, ProfileStore } from '../src/profile-store.ts';

const xml = (server: string, more = ''): string => `<VPNProfile>
  <AlwaysOn>true</AlwaysOn>
  <DeviceTunnel>true</DeviceTunnel>${more}
  <NativeProfile>
    <Servers>${server}</Servers>
    <RoutingPolicyType>SplitTunnel</RoutingPolicyType>
    <NativeProtocolType>IKEv2</NativeProtocolType>
    <Authentication><MachineMethod>Certificate</MachineMethod></Authentication>
  </NativeProfile>
</VPNProfile>
`;

suite('profile store', () => {
  let root: string;
  let profiles: string;
  let log: Log;
  let lines: string[];
  let store: ProfileStore;
  beforeEach(() => {
    root = mkdtempSync(path.join(tmpdir(), 'aovpn-store-'));
    profiles = path.join(root, 'profiles.d');
    mkdirSync(profiles);
    lines = [];
    log = new Log({ level: 'warn', format: 'text', journal: false, write: (text) => lines.push(text), clock: Date.now });
    store = open();
  });
  afterEach(() => {
    rmSync(root, { recursive: true, force: true });
  });

  function open(mustStay?: (name: string) => boolean): ProfileStore {
    return new ProfileStore({
      directory: profiles,
      lastGoodDirectory: path.join(root, 'last-good'),
      review: (_name, profile) => reviewProfile(profile, { allowWeak: false, postQuantum: 'offer' }),
      ...(mustStay && { mustStay: ({ name }) => mustStay(name) }),
      log,
      clock: () => 0,
    });
  }
  const write = (name: string, text: string | Uint8Array): void => writeFileSync(path.join(profiles, name), text);
  const kinds = async (): Promise<string[]> =>
    (await store.scan()).map((change) => `${change.kind} ${change.kind === 'in-force' ? change.stored.name : change.name}`);
  const serverOf = (name: string): string | undefined => store.get(name)?.profile.nativeProfile?.servers?.value[0]?.host;

  test('a file comes into force, changes, and goes', async () => {
    write('corp.xml', xml('a.example'));
    assert.deepEqual(await kinds(), ['in-force corp']);
    assert.deepEqual(await kinds(), []);
    write('corp.xml', xml('b.example'));
    assert.deepEqual(await kinds(), ['in-force corp']);
    assert.equal(serverOf('corp'), 'b.example');
    unlinkSync(path.join(profiles, 'corp.xml'));
    assert.deepEqual(await kinds(), ['removed corp']);
    assert.deepEqual(readdirSync(path.join(root, 'last-good')), []);
  });

  test('a bad new version leaves the old one in force, with its diagnostics', async () => {
    write('corp.xml', xml('a.example'));
    await store.scan();
    write('corp.xml', xml('b.example').slice(0, 120));
    assert.deepEqual(await kinds(), ['refused corp']);
    assert.equal(serverOf('corp'), 'a.example');
    const status = store.status('corp');
    assert.equal(status?.state, 'kept');
    assert.ok(status.diagnostics.some(({ severity, line }) => severity === 'error' && line > 0));
    // Half-written and then complete: an editor, or scp.
    write('corp.xml', xml('b.example'));
    assert.deepEqual(await kinds(), ['in-force corp']);
    assert.equal(store.status('corp')?.state, 'in-force');
  });

  test('the old version is kept across a restart, too', async () => {
    write('corp.xml', xml('a.example'));
    await store.scan();
    write('corp.xml', '<VPNProfile>');
    store = open();
    assert.deepEqual(await kinds(), ['in-force corp']);
    assert.equal(serverOf('corp'), 'a.example');
    assert.equal(store.status('corp')?.state, 'kept');
  });

  test('what must stay stays without its file, without its directory, and across a restart', async () => {
    let stays = true;
    const mustStay = (name: string): boolean => stays && name === 'corp';
    store = open(mustStay);
    write('corp.xml', xml('a.example'));
    write('other.xml', xml('b.example'));
    await store.scan();
    unlinkSync(path.join(profiles, 'corp.xml'));
    unlinkSync(path.join(profiles, 'other.xml'));
    assert.deepEqual(await kinds(), ['refused corp', 'removed other']);
    assert.deepEqual(await kinds(), [], 'it is told once');
    assert.equal(store.status('corp')?.state, 'kept');
    assert.deepEqual(
      store.status('corp')?.diagnostics.map(({ code }) => code),
      ['AOV-DAEMON-542'],
    );
    for (const damage of [() => {}, () => chmodSync(profiles, 0o777), () => rmSync(profiles, { recursive: true })]) {
      damage();
      store = open(mustStay);
      assert.deepEqual(await kinds(), ['in-force corp']);
      assert.equal(serverOf('corp'), 'a.example');
    }
    mkdirSync(profiles);
    write('corp.xml', xml('c.example'));
    assert.deepEqual(await kinds(), ['in-force corp'], 'back again');
    unlinkSync(path.join(profiles, 'corp.xml'));
    assert.deepEqual(await kinds(), ['refused corp']);
    stays = false;
    assert.deepEqual(await kinds(), ['removed corp']);
    store = open(mustStay);
    assert.deepEqual(await kinds(), []);
  });

  test('a bad first version runs nothing', async () => {
    write('corp.xml', 'no XML');
    assert.deepEqual(await kinds(), ['refused corp']);
    assert.equal(store.get('corp'), undefined);
    assert.equal(store.status('corp')?.state, 'refused');
    assert.deepEqual(await kinds(), [], 'it is told once');
  });

  test('what this machine cannot do is no reason to give up what works', async () => {
    write('corp.xml', xml('a.example'));
    await store.scan();
    const weak = `<CryptographySuite><AuthenticationTransformConstants>SHA196</AuthenticationTransformConstants>
      <CipherTransformConstants>DES3</CipherTransformConstants><PfsGroup>None</PfsGroup><DHGroup>Group2</DHGroup>
      <IntegrityCheckMethod>SHA196</IntegrityCheckMethod><EncryptionMethod>DES3</EncryptionMethod></CryptographySuite>`;
    const other = xml('a.example').replace('<Authentication>', `${weak}<Authentication>`);
    write('corp.xml', other);
    assert.deepEqual(await kinds(), ['refused corp']);
    assert.equal(store.status('corp')?.state, 'kept');
    assert.ok(store.status('corp')?.diagnostics.some(({ code }) => code === 'AOV-SUPERVISOR-320'));
    // The same as a first version is in force: its connection says why it is blocked.
    write('other.xml', other);
    assert.deepEqual(await kinds(), ['in-force other']);
  });

  test('an atomic rename, a link and UTF-16 are files like any other', async () => {
    writeFileSync(path.join(root, 'new'), Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(xml('a.example'), 'utf16le')]));
    renameSync(path.join(root, 'new'), path.join(profiles, 'corp.xml'));
    writeFileSync(path.join(root, 'elsewhere'), xml('b.example'));
    symlinkSync(path.join(root, 'elsewhere'), path.join(profiles, 'linked.xml'));
    assert.deepEqual(await kinds(), ['in-force corp', 'in-force linked']);
  });

  test('what everybody can write, and what is no file, is not a profile', async () => {
    write('open.xml', xml('a.example'));
    chmodSync(path.join(profiles, 'open.xml'), 0o666);
    mkdirSync(path.join(profiles, 'directory.xml'));
    assert.deepEqual(await kinds(), ['refused directory', 'refused open']);
    chmodSync(path.join(profiles, 'open.xml'), 0o644);
    assert.deepEqual(await kinds(), ['in-force open']);
  });

  test('a profile that its group can write is none', async () => {
    write('open.xml', xml('a.example'));
    chmodSync(path.join(profiles, 'open.xml'), 0o664);
    assert.deepEqual(await kinds(), ['refused open']);
  });

  test('in a directory where others can put files nothing is looked at: what is in force stays', async () => {
    write('corp.xml', xml('a.example'));
    assert.deepEqual(await kinds(), ['in-force corp']);
    for (const mode of [0o777, 0o775]) {
      chmodSync(profiles, mode);
      write('planted.xml', xml('evil.example'));
      rmSync(path.join(profiles, 'corp.xml'), { force: true });
      assert.deepEqual(await kinds(), []);
      assert.equal(serverOf('corp'), 'a.example');
    }
    chmodSync(profiles, 0o755);
    assert.deepEqual(await kinds(), ['in-force planted', 'removed corp']);
  });

  test('a directory that cannot be read has not lost its profiles', async () => {
    write('corp.xml', xml('a.example'));
    await store.scan();
    const away = `${profiles}.away`;
    renameSync(profiles, away);
    writeFileSync(profiles, 'not a directory');
    assert.deepEqual(await kinds(), []);
    assert.equal(serverOf('corp'), 'a.example');
    rmSync(profiles);
    renameSync(away, profiles);
    assert.deepEqual(await kinds(), []);
  });

  test('a link that leads nowhere is a file that cannot be read', async () => {
    symlinkSync(path.join(root, 'nothing'), path.join(profiles, 'corp.xml'));
    assert.deepEqual(await kinds(), ['refused corp']);
  });

  test('other files are no business of ours', async () => {
    for (const name of ['corp.xml.bak', '.corp.xml.swp', '.hidden.xml', 'corp.pem', 'README']) write(name, 'x');
    assert.deepEqual(await kinds(), []);
  });

  test('an empty directory, or none, has no profiles', async () => {
    rmSync(profiles, { recursive: true });
    assert.deepEqual(await kinds(), []);
  });

  test('of ten thousand files 64 are taken, the first by name, and the rest are told of in one line', async () => {
    for (let i = 0; i < 10_000; i++) write(`p${String(i).padStart(5, '0')}.xml`, '');
    write('a.xml', xml('vpn.example'));
    await store.scan();
    assert.equal(store.names().length, 64);
    assert.ok(store.get('a'));
    const told = lines.filter((line) => line.includes('AOV-DAEMON-517'));
    assert.equal(told.length, 1);
    assert.match(told[0]!, /p00063\.xml and 9936 more; the limit here is 64/);
    assert.deepEqual(await store.scan(), []);
    assert.equal(lines.filter((line) => line.includes('AOV-DAEMON-517')).length, 1, 'once, not at every look');
  });

  test('names that differ in case are profiles of their own; a second file of one name is none', async () => {
    write('Corp.xml', xml('a.example'));
    write('corp.xml', xml('b.example'));
    write('corp.XML', xml('c.example'));
    await store.scan();
    assert.deepEqual(store.names(), ['Corp', 'corp']);
    assert.deepEqual([serverOf('Corp'), serverOf('corp')], ['a.example', 'c.example']);
    assert.equal(lines.filter((line) => line.includes('there is a file of that name already')).length, 1);
  });

  test('a check changes nothing', async () => {
    write('corp.xml', xml('a.example'));
    await store.scan();
    assert.throws(() => store.check('corp', Buffer.from('<VPNProfile/>')), { code: 'AOV-DAEMON-515' });
    store.check('corp', Buffer.from(xml('b.example')));
    assert.equal(serverOf('corp'), 'a.example');
  });
});

suite('profile names', () => {
  for (const name of ['corp', 'Contoso Device Tunnel', 'a', 'Büro', 'x.y', 'a'.repeat(100)]) {
    test(`${JSON.stringify(name)} is one`, () => assert.ok(isProfileName(name)));
  }
  for (const name of [
    '',
    '.',
    '..',
    '.hidden',
    'a/b',
    '../etc',
    'a\0',
    'a\nb',
    ' a',
    'a ',
    'a\\b',
    'a'.repeat(101),
    'ü'.repeat(101),
    // office.ca.pem would be a certificate of the one and the trust anchor of the other.
    'office.ca',
    'office.radius-CA',
    'office.p12',
  ]) {
    test(`${JSON.stringify(name)} is none`, () => assert.ok(!isProfileName(name)));
  }
});
