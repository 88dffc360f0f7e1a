import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { appNameOf } from '../../src/index.ts';

const path = (id: string): string => {
  const name = appNameOf({ id, type: 'FilePath' });
  return name.kind === 'windows-path' || name.kind === 'linux-path' ? name.path : name.kind;
};

suite('names of applications', () => {
  test('case, slashes, variables and both Program Files folders do not count', () => {
    const firefox = 'c:\\program files\\mozilla firefox\\firefox.exe';
    for (const id of [
      'C:\\Program Files\\Mozilla Firefox\\firefox.exe',
      'c:\\PROGRAM FILES (X86)\\Mozilla Firefox\\FIREFOX.EXE',
      '%ProgramFiles%\\Mozilla Firefox\\firefox.exe',
      '%programfiles(x86)%\\Mozilla Firefox\\firefox.exe',
      '%ProgramW6432%/Mozilla Firefox/firefox.exe',
      '%SystemDrive%\\Program Files\\Mozilla Firefox\\\\firefox.exe',
      '\\\\?\\C:\\Program Files\\Mozilla Firefox\\firefox.exe',
    ])
      assert.equal(path(id), firefox, id);
    assert.equal(path('%windir%\\SysWOW64\\mstsc.exe'), path('C:\\Windows\\System32\\mstsc.exe'));
  });

  test('the name of a user does not count', () => {
    const teams = 'c:\\users\\*\\appdata\\local\\microsoft\\teams\\teams.exe';
    assert.equal(path('%LocalAppData%\\Microsoft\\Teams\\Teams.exe'), teams);
    assert.equal(path('C:\\Users\\alice\\AppData\\Local\\Microsoft\\Teams\\Teams.exe'), teams);
    assert.equal(path('%HOMEDRIVE%%HOMEPATH%\\AppData\\Local\\Microsoft\\Teams\\Teams.exe'), teams);
    assert.equal(path('C:\\Users\\Public\\x.exe'), 'c:\\users\\public\\x.exe');
  });

  test('a variable that nobody knows stays as it is', () => {
    assert.equal(path('%JAVA_HOME%\\bin\\java.exe'), '%java_home%\\bin\\java.exe');
  });

  test('Linux paths are themselves', () => {
    assert.deepEqual(appNameOf({ id: '/usr/bin/Curl', type: 'FilePath' }), {
      kind: 'linux-path',
      path: '/usr/bin/Curl',
      written: '/usr/bin/Curl',
    });
  });

  test('what cannot name one program', () => {
    for (const id of [
      '',
      'firefox.exe',
      '..\\x.exe',
      'C:\\a\\..\\b.exe',
      'C:\\*\\x.exe',
      '/usr/bin/*',
      '/usr//bin/x',
      '/usr/../x',
      '/',
      'C:\\',
      '/a\u0000b',
      'x'.repeat(5000),
    ])
      assert.equal(path(id), 'unusable', id.slice(0, 20));
  });

  test('package family names and SYSTEM', () => {
    const id = 'Microsoft.BingNews_8wekyb3d8bbwe';
    assert.deepEqual(appNameOf({ id, type: 'PackageFamilyName' }), {
      kind: 'package-family',
      family: id.toLowerCase(),
      written: id,
    });
    assert.equal(appNameOf({ id: 'a b', type: 'PackageFamilyName' }).kind, 'unusable');
    assert.equal(appNameOf({ id: 'system', type: 'System' }).kind, 'system');
  });
});
