import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { askSssd } from '@aovpn/host';
import { appNameOf, resolveProfile, type Intent } from '@aovpn/policy';
import { parseProfile } from '@aovpn/profile';
import { AppStore } from '../src/app-store.ts';
import { lookUpIdentities } from '../src/identity-lookup.ts';
import { Log } from '../src/log.ts';

const sid = 'S-1-5-21-1-2-3-1107';

function intentOf(extra: string): Intent {
  const text = `<VPNProfile>${extra}<NativeProfile><Servers>vpn.example</Servers><NativeProtocolType>IKEv2</NativeProtocolType><Authentication><MachineMethod>Certificate</MachineMethod></Authentication></NativeProfile></VPNProfile>`;
  const { profile } = parseProfile(new Uint8Array(Buffer.from(text)));
  assert.ok(profile);
  return resolveProfile('corp', profile).intent;
}

const claims = `<TrafficFilter><Claims>D:(A;;CC;;;${sid})</Claims></TrafficFilter>`;
const outlook = appNameOf({ id: String.raw`C:\Own\own.exe`, type: 'FilePath' });

suite('apps.d and sids.d', () => {
  let root: string;
  let lines: string[];
  let store: AppStore;
  beforeEach(() => {
    root = mkdtempSync(path.join(tmpdir(), 'aovpn-apps-'));
    for (const name of ['apps.d', 'sids.d']) mkdirSync(path.join(root, name), { mode: 0o755 });
    lines = [];
    const log = new Log({ level: 'debug', format: 'text', journal: false, write: (line) => lines.push(line), clock: () => 0 });
    store = new AppStore({ configDir: root, log });
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));
  const write = (name: string, text: string): void => writeFileSync(path.join(root, name), text, { mode: 0o644 });
  const own = '[[app]]\nkey = "own"\ntitle = "Own"\nwindows = [\'C:\\Own\\own.exe\']\nexecutables = ["/usr/bin/own"]\n';

  test('the shipped files are there, the administrator’s come after them, and a change is seen', async () => {
    assert.equal(store.isLoaded, false);
    assert.equal(await store.load(), true);
    const shipped = store.catalogue.apps.length;
    assert.ok(shipped > 20, 'a starter set');
    assert.deepEqual(store.faults, []);
    assert.equal(store.catalogue.find(outlook), undefined);
    assert.equal(await store.load(), false, 'nothing new');
    write('apps.d/own.toml', own);
    assert.equal(await store.load(), true);
    assert.equal(store.catalogue.find(outlook)?.key, 'own');
    write('apps.d/own.toml', own.replace('key = "own"', 'key = "firefox"'));
    await store.load();
    assert.equal(store.catalogue.apps.length, shipped, 'an entry with a known key replaces it');
    rmSync(path.join(root, 'apps.d/own.toml'));
    await store.load();
    assert.equal(store.catalogue.find(outlook), undefined);
  });

  test('what others can write to, what is no TOML and what is too long is not believed, and told', async () => {
    write('apps.d/a.toml', own);
    chmodSync(path.join(root, 'apps.d/a.toml'), 0o666);
    write('apps.d/b.toml', 'this is [no TOML');
    write('apps.d/c.toml', '#'.repeat((1 << 20) + 1));
    write('sids.d/d.toml', '[[sid]]\nsid = "nonsense"\n');
    await store.load();
    assert.equal(store.catalogue.find(outlook), undefined);
    assert.deepEqual(
      store.faults.map(({ source }) => path.basename(source)),
      ['a.toml', 'b.toml', 'c.toml', 'd.toml'],
    );
    assert.match(lines.join(''), /others than root can write to .*a\.toml/);
    chmodSync(path.join(root, 'apps.d'), 0o777);
    chmodSync(path.join(root, 'apps.d/a.toml'), 0o644);
    await store.load();
    assert.equal(store.catalogue.find(outlook), undefined, 'nor what lies where others can write');
  });

  test('profiles without filters and triggers need none of it', async () => {
    assert.deepEqual(await store.factsFor(new Map([['corp', intentOf('')]])), {});
    assert.equal(store.isLoaded, false);
    assert.ok((await store.factsFor(new Map([['corp', intentOf(claims)]]))).apps);
  });

  test('whom a SID means: ids, names, and the members of groups, by what the name service says', async () => {
    const asked: string[] = [];
    const ask = (database: 'passwd' | 'group', names: readonly string[]): Promise<readonly string[]> => {
      asked.push(`${database} ${names.join(' ')}`);
      return Promise.resolve(
        database === 'group'
          ? ['sales:x:5000:kim,jo', 'broken', 'odd:x:-1:']
          : ['kim:x:1001:1001::/:', 'jo:x:1002:5000::/:', 'alice:x:1003:1::/:', 'none:x:4294967295:1::/:'],
      );
    };
    const mappings = [
      { sid, users: [{ from: 70, to: 79 }], userNames: ['alice'], groups: [{ from: 5001, to: 5001 }], groupNames: ['sales'] },
      { sid: 'S-1-5-21-9', users: [], userNames: ['never asked'], groups: [], groupNames: [] },
    ];
    const found = await lookUpIdentities([intentOf(claims)], mappings, ask);
    assert.deepEqual(asked, ['group sales 5001', 'passwd alice kim jo']);
    assert.deepEqual([...found.keys()], [sid]);
    const { users, groups } = found.get(sid)!;
    assert.deepEqual(
      users.map(({ from, to }) => [from, to]),
      [
        [70, 79],
        [1001, 1001],
        [1002, 1002],
        [1003, 1003],
      ],
    );
    assert.deepEqual(
      groups.map(({ from }) => from),
      [5001, 5000],
    );
  });

  test('SIDs that no file knows are asked of SSSD, with the members of their groups; files come first', async () => {
    const other = 'S-1-5-21-1-2-3-1200';
    const lines: Readonly<Record<string, readonly string[]>> = {
      'group 5000': ['sales:x:5000:jo'],
      'passwd jo': ['jo:x:1002:5000::/:'],
    };
    const ask = (database: 'passwd' | 'group', names: readonly string[]): Promise<readonly string[]> =>
      Promise.resolve(lines[`${database} ${names.join(' ')}`] ?? []);
    const asked: (readonly string[])[] = [];
    const sids = (wanted: readonly string[]): ReturnType<typeof askSssd> => {
      asked.push(wanted);
      return Promise.resolve(new Map([[wanted[0]!, wanted[0] === sid ? { user: 7, group: 7 } : { group: 5000 }]]));
    };
    const intent = intentOf(`<TrafficFilter><Claims>D:(A;;CC;;;${sid})(A;;CC;;;${other})(A;;CC;;;WD)</Claims></TrafficFilter>`);
    const mapping = { sid, users: [{ from: 70, to: 70 }], userNames: [], groups: [], groupNames: [] };
    const one = (id: number): { from: number; to: number } => ({ from: id, to: id });
    const found = await lookUpIdentities([intent], [mapping], ask, sids);
    assert.deepEqual(asked, [[other]]);
    assert.deepEqual(found.get(sid), { users: [one(70)], groups: [] });
    assert.deepEqual(found.get(other), { users: [one(1002)], groups: [one(5000)] });
    assert.deepEqual((await lookUpIdentities([intent], [], ask, sids)).get(sid), { users: [one(7)], groups: [one(7)] });
  });

  test('without SSSD nobody is known by a SID alone', async () => {
    assert.deepEqual(await askSssd([sid, 'nonsense', '']), new Map());
  });

  test('the name service of this machine knows root, and leaves out what it does not know', async () => {
    const mappings = [{ sid, users: [], userNames: ['root', 'nobody-of-this-name'], groups: [], groupNames: ['--help'] }];
    const found = await lookUpIdentities([intentOf(claims)], mappings);
    assert.deepEqual(found.get(sid), { users: [{ from: 0, to: 0 }], groups: [] });
  });
});
