import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, suite, test } from 'node:test';
import type { Owner } from '@aovpn/api';
import { Log } from '../src/log.ts';
import { ProfileStore } from '../src/profile-store.ts';
import { Profiles } from '../src/profiles.ts';
import { defaultProfileSettings, type ProfileSettings } from '../src/profile-settings.ts';
import { openUserStore, userStems } from '../src/user-store.ts';

const alice: Owner = { uid: 1001, name: 'alice' };
const bob: Owner = { uid: 1002, name: 'bob' };
const cron: Owner = { uid: 104, name: 'cron' };

const xml = (more = '', native = ''): string => `<VPNProfile>
  <AlwaysOn>true</AlwaysOn>${more}
  <NativeProfile>
    <Servers>vpn.example</Servers>
    <RoutingPolicyType>SplitTunnel</RoutingPolicyType>
    <NativeProtocolType>IKEv2</NativeProtocolType>
    <Authentication><MachineMethod>Certificate</MachineMethod></Authentication>${native}
  </NativeProfile>
</VPNProfile>
`;

suite('profiles of the machine and of its users', () => {
  let root: string;
  let lines: string[];
  let here: readonly Owner[];
  let settings: Map<string, Partial<ProfileSettings>>;
  let profiles: Profiles;
  beforeEach(() => {
    root = mkdtempSync(path.join(tmpdir(), 'aovpn-profiles-'));
    lines = [];
    here = [];
    settings = new Map();
    const log = new Log({ level: 'debug', format: 'text', journal: false, write: (line) => lines.push(line), clock: Date.now });
    profiles = new Profiles({
      machine: new ProfileStore({
        directory: path.join(root, 'profiles.d'),
        lastGoodDirectory: path.join(root, 'last-good'),
        review: () => undefined,
        log,
        clock: () => 0,
      }),
      signedIn: () => here,
      open: (owner) =>
        openUserStore(owner, {
          configDir: root,
          stateDir: path.join(root, 'state'),
          settings: (name) => ({ ...defaultProfileSettings, ...settings.get(name) }),
          ownDirectory: ({ name }) => path.join(root, 'own', name),
          log,
        }),
    });
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  const write = (file: string, text: string): void => {
    mkdirSync(path.dirname(path.join(root, file)), { recursive: true });
    writeFileSync(path.join(root, file), text);
  };
  const kinds = async (): Promise<string[]> =>
    (await profiles.scan()).map((change) => `${change.kind} ${change.kind === 'in-force' ? change.stored.name : change.name}`);
  const codes = (name: string): (string | undefined)[] =>
    profiles
      .status(name)!
      .diagnostics.filter(({ severity }) => severity === 'error')
      .map(({ code }) => code);

  test('a user’s are there while the user is, under names of their own', async () => {
    write('profiles.d/Corp.xml', xml());
    write('users.d/alice/Corp.xml', xml());
    write('users.d/bob/Corp.xml', xml());
    assert.deepEqual(await kinds(), ['in-force Corp']);
    here = [alice];
    assert.deepEqual(await kinds(), ['in-force alice/Corp']);
    here = [alice, bob];
    assert.deepEqual(await kinds(), ['in-force bob/Corp']);
    assert.deepEqual(profiles.names(), ['Corp', 'alice/Corp', 'bob/Corp']);
    assert.deepEqual(profiles.ownerOf('alice/Corp'), alice);
    assert.equal(profiles.ownerOf('Corp'), undefined);
    assert.deepEqual(profiles.status('bob/Corp')?.owner, bob);
    assert.equal(profiles.get('alice/Corp')?.intent.name, 'alice/Corp');
    assert.equal(profiles.get('alice/Corp')?.intent.user, alice.uid);
    assert.equal(profiles.get('Corp')?.intent.user, undefined);
    here = [bob];
    assert.deepEqual(await kinds(), ['left alice/Corp']);
    assert.equal(profiles.ownerOf('alice/Corp'), undefined);
    here = [];
    assert.deepEqual(await kinds(), ['left bob/Corp']);
  });

  test('what a name means: the machine’s first, then one’s own', async () => {
    write('profiles.d/Corp.xml', xml());
    write('users.d/alice/Corp.xml', xml());
    write('users.d/alice/Home.xml', xml());
    here = [alice, bob];
    await profiles.scan();
    assert.equal(profiles.meant('Corp', alice.uid), 'Corp');
    assert.equal(profiles.meant('Home', alice.uid), 'alice/Home');
    assert.equal(profiles.meant('Home', bob.uid), 'Home');
    assert.equal(profiles.meant('alice/Home', bob.uid), 'alice/Home');
  });

  test('for this user, for everybody, and what the user has brought: the first counts; the users of services get nothing', async () => {
    write('users.d/Corp.xml', xml());
    write('users.d/alice/Corp.xml', xml('<RememberCredentials>true</RememberCredentials>'));
    write('own/alice/Corp.xml', xml());
    write('own/alice/Home.xml', xml());
    here = [alice, bob, cron];
    assert.deepEqual(await kinds(), ['in-force alice/Corp', 'in-force alice/Home', 'in-force bob/Corp']);
    assert.equal(profiles.fileOf('alice/Corp'), path.join(root, 'users.d/alice/Corp.xml'));
    assert.equal(profiles.fileOf('bob/Corp'), path.join(root, 'users.d/Corp.xml'));
    assert.match(lines.join(''), /own\/alice\/Corp\.xml is ignored/);
    // And the next one when the first is gone.
    rmSync(path.join(root, 'users.d/alice/Corp.xml'));
    assert.deepEqual(await kinds(), ['in-force alice/Corp']);
    assert.equal(profiles.fileOf('alice/Corp'), path.join(root, 'users.d/Corp.xml'));
  });

  test('what would concern everybody is refused, with a code', async () => {
    const filter = (inner: string): string => `<TrafficFilter>${inner}</TrafficFilter>`;
    const app = '<App><Id>C:\\Windows\\System32\\ssh.exe</Id></App>';
    write('users.d/alice/Device.xml', xml('<DeviceTunnel>true</DeviceTunnel>'));
    write('users.d/alice/Lock.xml', xml('<LockDown>true</LockDown>').replace('SplitTunnel', 'ForceTunnel'));
    write('users.d/alice/Trigger.xml', xml(`<AppTrigger>${app}</AppTrigger>`));
    write('users.d/alice/Forced.xml', xml(filter(`${app}<RoutingPolicyType>ForceTunnel</RoutingPolicyType>`)));
    write('users.d/alice/Filter.xml', xml(filter(app)));
    write('own/alice/Own.xml', xml(filter(app)));
    here = [alice];
    await profiles.scan();
    assert.deepEqual(codes('alice/Device'), ['AOV-DAEMON-560']);
    assert.deepEqual(codes('alice/Lock'), ['AOV-DAEMON-560']);
    assert.deepEqual(codes('alice/Trigger'), ['AOV-DAEMON-561']);
    assert.deepEqual(codes('alice/Forced'), ['AOV-DAEMON-561']);
    assert.deepEqual(codes('alice/Filter'), []);
    assert.deepEqual(codes('alice/Own'), ['AOV-DAEMON-561']);
    for (const name of ['Device', 'Lock', 'Trigger', 'Forced', 'Own'])
      assert.equal(profiles.get(`alice/${name}`), undefined, name);
  });

  test('root may open a tunnel to everybody, but not one that a user has brought', async () => {
    write('users.d/alice/Corp.xml', xml());
    write('own/alice/Home.xml', xml());
    settings.set('alice/Corp', { scope: 'machine' });
    settings.set('alice/Home', { scope: 'machine' });
    here = [alice];
    await profiles.scan();
    assert.equal(profiles.get('alice/Corp')?.intent.user, undefined);
    assert.equal(profiles.get('alice/Home')?.intent.user, alice.uid);
  });

  test('16 profiles of 10,000 files are taken, and what is too much is told once', async () => {
    for (let i = 0; i < 10_000; i++) write(`users.d/alice/p${String(i).padStart(5, '0')}.xml`, '');
    write('users.d/alice/a.xml', xml());
    here = [alice];
    await profiles.scan();
    assert.equal(profiles.names().length, 16);
    assert.ok(profiles.get('alice/a'));
    const told = (): number => lines.filter((line) => line.includes('AOV-DAEMON-517')).length;
    const before = told();
    assert.equal(before, 1);
    await profiles.scan();
    assert.equal(told(), before);
  });

  test('credentials: this user’s, everybody’s, then what the user has brought, but never whom to believe', () => {
    const places = { configDir: '/c', ownDirectory: ({ name }: Owner) => `/run/${name}` };
    assert.deepEqual(userStems('alice/Corp', alice, '/c/users.d/Corp.xml', places), [
      { path: '/c/users.d/alice/Corp', anchors: true },
      { path: '/c/users.d/Corp', anchors: true },
      { path: '/run/alice/Corp', anchors: false },
    ]);
    assert.deepEqual(userStems('alice/Corp', alice, '/run/alice/Corp.xml', places), [{ path: '/run/alice/Corp', anchors: true }]);
  });
});
