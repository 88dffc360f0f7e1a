import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, suite, test } from 'node:test';
import { parseProxyNotice } from '@aovpn/api';
import { shellLines } from '../../src/command/env.ts';
import { gnomeSettings } from '../../src/session/gnome-proxy.ts';
import { kdeProxy, kdeSettings } from '../../src/session/kde-proxy.ts';
import { giveSettingsBack, putSettings, SettingJournal } from '../../src/session/setting-journal.ts';

const common = { version: 1, pid: 1, except: ['localhost', '::1'] } as const;
const manual = { ...common, mode: 'manual', server: { host: 'proxy.corp.example', port: 8080 } } as const;
const auto = { ...common, mode: 'auto', url: 'http://127.0.0.96:996/proxy.pac' } as const;

suite('proxy settings of a session', () => {
  let place: string;
  let file: string;
  let journal: SettingJournal;
  before(() => {
    place = mkdtempSync(path.join(tmpdir(), 'aovpn-session-'));
    file = path.join(place, 'kioslaverc');
    journal = new SettingJournal(path.join(place, 'state/kde.json'));
  });
  after(() => rmSync(place, { recursive: true }));

  const files: readonly (readonly [string, string | undefined])[] = [
    ['no file', undefined],
    ['a file without the group', '[Other]\nkey=value\n\n[More]\na=b\n'],
    [
      'a proxy of the person',
      '# mine\n[Proxy Settings][$i]\nx=y\n\n[Proxy Settings]\nNoProxyFor=intra\nProxyType=1\nhttpProxy=http://mine 3128\n\n[Other]\nProxyType=7\n',
    ],
    ['the group at the end, without a line end', '[Proxy Settings]\nProxyType=0'],
    ['CR LF and blanks', '[Other]\r\na=b\r\n'],
  ];
  for (const [what, original] of files) {
    for (const notice of [manual, auto]) {
      test(`KDE, ${what}, ${notice.mode}: ours, then byte for byte as before`, async () => {
        rmSync(file, { force: true });
        if (original !== undefined) writeFileSync(file, original);
        const store = kdeProxy(file);
        assert.equal(await putSettings(store, journal, kdeSettings(notice)), true);
        const now = await store.read();
        for (const [key, value] of Object.entries(kdeSettings(notice))) assert.equal(now[key], value, key);
        assert.equal(await putSettings(store, journal, kdeSettings(notice)), false, 'the same again');
        assert.equal(await giveSettingsBack(store, journal), true);
        assert.equal(existsSync(file) ? readFileSync(file, 'utf8') : undefined, original);
        assert.equal(await journal.read(), undefined);
      });
    }
  }

  test('from one proxy to another and back, with somebody else who died in between', async () => {
    const original = '[Proxy Settings]\nProxyType=1\nhttpProxy=http://mine 3128\n';
    writeFileSync(file, original);
    await putSettings(kdeProxy(file), journal, kdeSettings(manual));
    await putSettings(kdeProxy(file), new SettingJournal(path.join(place, 'state/kde.json')), kdeSettings(auto));
    assert.match(readFileSync(file, 'utf8'), /httpProxy=http:\/\/mine 3128/, 'what is no longer ours is back already');
    await giveSettingsBack(kdeProxy(file), new SettingJournal(path.join(place, 'state/kde.json')));
    assert.equal(readFileSync(file, 'utf8'), original);
  });

  test('what the person changes meanwhile stays', async () => {
    writeFileSync(file, '[Proxy Settings]\nProxyType=0\n');
    await putSettings(kdeProxy(file), journal, kdeSettings(manual));
    writeFileSync(file, readFileSync(file, 'utf8').replace('ProxyType=1', 'ProxyType=4'));
    await giveSettingsBack(kdeProxy(file), journal);
    assert.equal(readFileSync(file, 'utf8'), '[Proxy Settings]\nProxyType=4\n');
  });

  test('GNOME’s words', () => {
    assert.deepEqual(gnomeSettings(auto), { mode: "'auto'", 'autoconfig-url': "'http://127.0.0.96:996/proxy.pac'" });
    const settings = gnomeSettings(manual);
    assert.equal(settings['ignore-hosts'], "['localhost', '::1']");
    assert.equal(settings['https/port'], '8080');
  });

  test('a notice is believed only when all of it makes sense', () => {
    assert.deepEqual(parseProxyNotice(JSON.stringify(manual)), manual);
    assert.deepEqual(parseProxyNotice(JSON.stringify(auto)), auto);
    for (const change of [
      { version: 2 },
      { pid: 0 },
      { mode: 'other' },
      { server: { host: "x'y", port: 1 } },
      { server: { host: 'x\ny', port: 1 } },
      { server: { host: 'x', port: 70_000 } },
      { server: undefined },
      { except: ["a'b"] },
      { except: 'x' },
    ])
      assert.equal(parseProxyNotice(JSON.stringify({ ...manual, ...change })), undefined, JSON.stringify(change));
    for (const url of ['file:///x', "http://x/'", 'http://x/\n', 'http://x/\\', 7])
      assert.equal(parseProxyNotice(JSON.stringify({ ...auto, url })), undefined, String(url));
    assert.equal(parseProxyNotice('{'), undefined);
  });

  test('a shell gets our variables, keeps its own, and loses ours again', () => {
    const variables = [
      ['http_proxy', "http://x'y:1"],
      ['no_proxy', 'localhost'],
    ] as const;
    assert.deepEqual(shellLines(variables, {}), [
      "export http_proxy='http://x'\\''y:1'",
      "export no_proxy='localhost'",
      'export AOVPN_ENV=http_proxy,no_proxy',
    ]);
    assert.deepEqual(shellLines(variables, { http_proxy: 'mine' }), ["export no_proxy='localhost'", 'export AOVPN_ENV=no_proxy']);
    assert.deepEqual(shellLines([], { AOVPN_ENV: 'http_proxy,no_proxy', http_proxy: 'ours' }), [
      'unset http_proxy no_proxy',
      'unset AOVPN_ENV',
    ]);
    assert.deepEqual(shellLines([], { AOVPN_ENV: 'x;rm -rf /' }), []);
    assert.deepEqual(shellLines([], { http_proxy: 'mine' }), []);
  });
});
