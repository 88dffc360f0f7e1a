import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  addresses,
  addressRanges,
  hashes,
  isHost,
  isObjectIdentifier,
  portRanges,
  servers,
  serverUrls,
  suffixes,
} from '../../src/value/list.ts';
import { appId, domainName, manualProxy, ruleProxy } from '../../src/value/name.ts';
import { address, bit, boolean, integer, keyword } from '../../src/value/scalar.ts';
import type { ValueType } from '../../src/value/value-type.ts';

/** The value, and the names of what was said about it. */
function read<T>(type: ValueType<T>, text: string): readonly [T | undefined, ...string[]] {
  const said: string[] = [];
  const value = type.read({ text, report: (name) => said.push(name) });
  return [value, ...said];
}

suite('single values', () => {
  test('booleans in any case, with a word', () => {
    assert.deepEqual(read(boolean, 'true'), [true]);
    assert.deepEqual(read(boolean, 'FALSE'), [false, 'booleanCase']);
    for (const text of ['1', 'yes', 'truefalse', 'wahr']) assert.deepEqual(read(boolean, text), [undefined, 'notBoolean']);
    assert.deepEqual(read(bit, '1'), [true]);
    assert.deepEqual(read(bit, 'true'), [undefined, 'notBoolean']);
  });

  test('numbers are decimal and in range', () => {
    const type = integer(1, 9999);
    assert.deepEqual(read(type, '9999'), [9999]);
    assert.deepEqual(read(type, '007'), [7]);
    for (const text of ['0', '10000', '1.5', '1e3', '-1', '+1', '0x1', '٣', '1 2', '9'.repeat(50)]) {
      assert.deepEqual(read(type, text), [undefined, 'notNumber'], text);
    }
  });

  test('keywords: as documented, as read back, in another case, of another tool', () => {
    const type = keyword(['EAP', 'MSChapv2'], { readBack: { Eap: 'EAP' }, confusions: { tls: 'EAP' } });
    assert.deepEqual(read(type, 'EAP'), ['EAP']);
    assert.deepEqual(read(type, 'Eap'), ['EAP']);
    assert.deepEqual(read(type, 'eaP'), ['EAP', 'keywordCase']);
    assert.deepEqual(read(type, 'tls'), [undefined, 'unknownKeyword']);
    assert.deepEqual(read(type, 'constructor'), [undefined, 'unknownKeyword']);
    assert.deepEqual(read(type, '__proto__'), [undefined, 'unknownKeyword']);
  });

  test('addresses', () => {
    assert.deepEqual(read(address, '2001:DB8::1'), ['2001:DB8::1']);
    for (const text of ['10.0.0.0/8', '10.1', '010.0.0.1', '1.2.3.256', '::1%eth0', 'localhost']) {
      assert.deepEqual(read(address, text), [undefined, 'notAddress'], text);
    }
  });

  test('invisible characters are removed, with a word', () => {
    assert.deepEqual(read(address, '\u200e10.0.0.1\u00a0'), ['10.0.0.1', 'hiddenCharacter']);
    assert.deepEqual(read(boolean, 'true\ufeff'), [true, 'hiddenCharacter']);
  });
});

suite('lists', () => {
  test('blanks and empty entries are let pass, with a word each', () => {
    assert.deepEqual(read(suffixes, 'a.example, b.example,,c.example'), [
      ['a.example', 'b.example', 'c.example'],
      'blankInList',
      'emptyListEntry',
    ]);
    assert.deepEqual(read(addresses, ''), [[]]);
  });

  test('one wrong entry is an error of the whole list', () => {
    assert.deepEqual(read(addresses, '10.0.0.1,x,10.0.0.2,y'), [undefined, 'notAddress', 'notAddress']);
  });

  test('ports', () => {
    assert.deepEqual(read(portRanges, '80,5000-5010'), [
      [
        { from: 80, to: 80 },
        { from: 5000, to: 5010 },
      ],
    ]);
    for (const text of ['65536', '2-1', '-1', '1-', '1-2-3', 'http', '1_0']) {
      assert.deepEqual(read(portRanges, text), [undefined, 'notPortRange'], text);
    }
    assert.equal(
      portRanges.write([
        { from: 1, to: 1 },
        { from: 2, to: 3 },
      ]),
      '1,2-3',
    );
  });

  test('address ranges', () => {
    const right = '10.0.0.1,10.0.0.0/8,10.0.0.1-10.0.0.1,2001:db8::/32,2001:db8::1-2001:db8::2';
    assert.deepEqual(read(addressRanges, right), [right.split(',')]);
    for (const text of [
      '10.0.0.2-10.0.0.1',
      '10.0.0.1-::1',
      '10.0.0.0/33',
      '10.0.0.0/-1',
      '10.*',
      '10.0.0.1-',
      '-',
      '10.0.0.0/8-10.1.0.0/8',
    ]) {
      assert.deepEqual(read(addressRanges, text), [undefined, 'notAddressRange'], text);
    }
  });

  test('thumbprints in any spelling', () => {
    const plain = '00112233445566778899aabbccddeeff00112233';
    const spaced = '00 11 22 33 44 55 66 77 88 99 AA BB CC DD EE FF 00 11 22 33 ';
    const coloned = '00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:00:11:22:33';
    for (const text of [plain, spaced.trim(), coloned]) assert.deepEqual(read(hashes, text), [[plain]]);
    assert.deepEqual(read(hashes, `${plain};${plain}`), [[plain, plain], 'listSeparator']);
    for (const text of [plain.slice(1), `${plain}0`, plain.replace('0', 'g')]) {
      assert.deepEqual(read(hashes, text), [undefined, 'notThumbprint'], text);
    }
  });

  test('servers in all forms', () => {
    assert.deepEqual(read(servers, 'vpn.example.com'), [[{ host: 'vpn.example.com' }]]);
    assert.deepEqual(read(servers, 'vpn.x;vpn.x'), [[{ host: 'vpn.x', friendlyName: 'vpn.x' }]]);
    assert.deepEqual(read(servers, 'a.x;Head office,192.0.2.1,2001:db8::1;'), [
      [{ host: 'a.x', friendlyName: 'Head office' }, { host: '192.0.2.1' }, { host: '2001:db8::1' }],
    ]);
    assert.deepEqual(read(servers, 'a.x;b.x'), [[{ host: 'a.x', friendlyName: 'b.x' }], 'friendlyNameLooksLikeServer']);
    for (const text of ['https://a.x', 'a.x:443', 'a x', ';a.x', 'a..x', '-a.x', '1.2.3', '10.0.0.0/8', `${'a'.repeat(64)}.x`]) {
      assert.deepEqual(read(servers, text), [undefined, 'notServer'], text);
    }
    assert.deepEqual(read(serverUrls, 'https://a.x/y; b.x,'), [[{ host: 'https://a.x/y' }, { host: 'b.x' }]]);
  });

  test('host names and object identifiers', () => {
    for (const name of [
      'a',
      'a-b.c_d',
      'vpn.bücher.example',
      'xn--bcher-kva.example.',
      '10.example',
      'नमस्ते.example',
      'ｖｐｎ。example',
    ])
      assert.ok(isHost(name), name);
    for (const name of ['', '.', 'a..b', 'a b', '10.0.0', 'a,b', 'a'.repeat(254)]) assert.ok(!isHost(name), name);
    for (const id of ['1.3.6.1.4.1.311.87', '2.5.29.37.0', '0.0']) assert.ok(isObjectIdentifier(id), id);
    for (const id of ['1', '3.1', '1.', '1.01', '1..2', 'a.b', `1${'.1'.repeat(100)}`]) assert.ok(!isObjectIdentifier(id), id);
  });
});

suite('names', () => {
  test('domains of name rules', () => {
    for (const name of ['.', '.corp.example', 'host.corp.example', 'short', '.bücher.example']) {
      assert.deepEqual(read(domainName, name), [name]);
    }
    assert.deepEqual(read(domainName, '*.corp.example'), ['*.corp.example', 'doubtfulDomain']);
    for (const name of ['a b', 'a,b', 'http://a', 'a..b', '..'])
      assert.deepEqual(read(domainName, name), [undefined, 'notDomain'], name);
  });

  test('the kind of an application follows from the form', () => {
    const kind = (id: string): unknown => [read(appId, id)[0]?.type, read(appId, id)[1]];
    assert.deepEqual(kind('SYSTEM'), ['System', undefined]);
    assert.deepEqual(kind('Microsoft.Example_8wekyb3d8bbwe'), ['PackageFamilyName', undefined]);
    for (const path of ['C:\\a b\\c.exe', '%ProgramFiles%\\a\\b.exe', '/usr/bin/firefox', '\\\\server\\a.exe']) {
      assert.deepEqual(kind(path), ['FilePath', undefined], path);
    }
    assert.deepEqual(kind('a.exe'), ['FilePath', 'doubtfulAppId']);
    assert.deepEqual(kind('C:\\a\\*.exe'), ['FilePath', 'doubtfulAppId']);
    assert.deepEqual(kind('firefox'), ['PackageFamilyName', 'doubtfulAppId']);
  });

  test('proxies', () => {
    assert.deepEqual(read(manualProxy, 'proxy.example:8080'), ['proxy.example:8080']);
    assert.deepEqual(read(manualProxy, 'HTTP://proxy.example:8080/'), ['proxy.example:8080', 'proxyForm']);
    assert.deepEqual(read(manualProxy, 'proxy.example'), ['proxy.example', 'proxyForm']);
    assert.deepEqual(read(manualProxy, 'http://'), [undefined, 'proxyForm', 'notServer']);
    assert.deepEqual(read(ruleProxy, 'a:80;b:80'), ['a:80', 'oneValueOnly']);
    assert.deepEqual(read(ruleProxy, ',b'), [undefined, 'oneValueOnly', 'notServer']);
  });
});
