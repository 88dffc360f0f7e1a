import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { appNameOf, matchesExecutable, readAppCatalogue } from '../../src/index.ts';

const one = (app: unknown, source = 'a.toml') => ({ source, content: { app: [app] } });
const good = {
  key: 'curl',
  executables: ['/usr/bin/curl'],
  windows: ['C:\\Windows\\System32\\curl.exe'],
  packages: ['Curl.Curl_abcdefghjkmnp'],
};
const named = (id: string) => appNameOf({ id, type: id.includes('\\') ? 'FilePath' : 'PackageFamilyName' });

suite('files of apps.d', () => {
  test('an entry is found by what profiles call it', () => {
    const { catalogue, faults } = readAppCatalogue([one(good)]);
    assert.deepEqual(faults, []);
    assert.equal(catalogue.find(named('%SystemRoot%\\sysnative\\CURL.EXE'))?.key, 'curl');
    assert.equal(catalogue.find(named('curl.CURL_abcdefghjkmnp'))?.key, 'curl');
    assert.equal(catalogue.find(named('C:\\Windows\\curl.exe')), undefined);
    assert.equal(catalogue.find({ kind: 'system' }), undefined);
  });

  test('a later file replaces an entry, and takes names over from another', () => {
    const own = { key: 'my-curl', executables: ['/opt/curl'], windows: good.windows };
    const { catalogue, faults } = readAppCatalogue([
      one(good, 'vendor'),
      one({ ...good, executables: ['/opt/c'] }, 'site'),
      one(own, 'z'),
    ]);
    assert.deepEqual(faults, []);
    assert.deepEqual(catalogue.find(named(good.packages[0]!))?.executables, ['/opt/c']);
    assert.equal(catalogue.find(named(good.windows[0]!))?.key, 'my-curl');
  });

  test('within one file both are faults', () => {
    const twice = readAppCatalogue([
      { source: 'a', content: { app: [good, { ...good, title: 'second' }, { ...good, key: 'other' }] } },
    ]);
    assert.deepEqual(
      twice.faults.map(({ where }) => where),
      ['curl', 'other', 'other'],
    );
    assert.equal(twice.catalogue.apps.find(({ key }) => key === 'curl')?.title, 'curl');
  });

  for (const [what, app, said] of [
    ['no table', 7, 'not a table'],
    ['no key', { executables: ['/a/b'] }, 'key must be'],
    ['a key of ours', { ...good, key: 'x-curl' }, 'key must be'],
    ['a path as key', { ...good, key: '../etc' }, 'key must be'],
    ['a misspelt field', { ...good, executable: ['/a/b'] }, 'is unknown'],
    ['a text where a list belongs', { ...good, executables: '/usr/bin/curl' }, 'not a list'],
    ['a relative path', { ...good, executables: ['curl'] }, 'not an absolute path'],
    ['a path that climbs', { ...good, executables: ['/usr/../bin/curl'] }, '".."'],
    ['everything', { ...good, executables: ['/*/bin/curl'] }, 'first component'],
    ['nothing on Linux', { key: 'x', windows: good.windows }, 'nothing could ever be it'],
    ['a line break', { ...good, executables: ['/usr/bin/a\nb'] }, 'not a list'],
    ['a relative Windows path', { ...good, windows: ['curl.exe'] }, 'not a full Windows path'],
    ['a unit that is a path', { ...good, units: ['../x.service'] }, 'not a systemd unit'],
    ['a desktop file', { ...good, desktop: ['curl.desktop'] }, 'not an id'],
  ] as const) {
    test(`refused: ${what}; its neighbour stays`, () => {
      const { catalogue, faults } = readAppCatalogue([
        { source: 'a', content: { app: [app, { key: 'ok', executables: ['/usr/bin/ok'] }] } },
      ]);
      assert.deepEqual(
        catalogue.apps.map(({ key }) => key),
        ['ok'],
      );
      assert.equal(faults.length, 1);
      assert.ok(faults[0]!.what.includes(said), faults[0]!.what);
    });
  }

  test('files that are something else', () => {
    for (const content of [undefined, [], 'x', { apps: [] }, { app: {} }])
      assert.equal(readAppCatalogue([{ source: 'a', content }]).faults.length, 1);
  });

  test('a path of a profile gets a key of its own', () => {
    const { catalogue } = readAppCatalogue([]);
    const keys = ['/usr/bin/curl', '/usr/local/bin/curl', '/opt/Ä ö/…', '/usr/bin/a-very-long-name-of-a-program-indeed'].map(
      (path) => catalogue.find(appNameOf({ id: path, type: 'FilePath' }))!.key,
    );
    assert.equal(new Set(keys).size, keys.length);
    for (const key of keys) assert.match(key, /^x-[a-z0-9-]{1,38}$/);
  });
});

suite('executables', () => {
  test('a star stands for a part of one component', () => {
    assert.ok(matchesExecutable('/snap/firefox/*/usr/lib/firefox/firefox', '/snap/firefox/4173/usr/lib/firefox/firefox'));
    assert.ok(matchesExecutable('/opt/app-*-x*/run', '/opt/app-1.2-x86/run'));
    assert.ok(!matchesExecutable('/opt/app-*/run', '/opt/app-1/2/run'));
    assert.ok(!matchesExecutable('/opt/*/run', '/opt/a/run/x'));
    assert.ok(!matchesExecutable('/opt/ab*ba/run', '/opt/aba/run'), 'ends may not overlap');
    assert.ok(!matchesExecutable('/usr/bin/curl', '/usr/bin/curl2'));
  });
  test('many stars take no long time', () => {
    assert.ok(!matchesExecutable(`/${'a*'.repeat(200)}b`, `/${'a'.repeat(4000)}`));
  });
});
