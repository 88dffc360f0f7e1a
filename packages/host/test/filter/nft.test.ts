import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { printBlockRuleset } from '../../src/filter/block-ruleset.ts';
import { describeRefusal, nftVersion, readRefusal } from '../../src/filter/nft.ts';
import { openRuleset } from '../../src/filter/ruleset.ts';
import { openSysctls } from '../../src/filter/sysctl.ts';
import { HostError } from '../../src/host-error.ts';
import { inOwnNamespace, run } from '../network/namespace.ts';

suite('what nft says', () => {
  const input = 'table inet x {\n  chain y {\n    bad words\n  }\n}\n';

  test('its words and the line they are about', () => {
    const said = '/dev/stdin:3:5-7: Error: syntax error, unexpected string\n    bad words\n    ^^^\n';
    const refusal = readRefusal(said, input);
    assert.deepEqual(refusal, { said: 'syntax error, unexpected string', line: 3, text: 'bad words' });
    assert.equal(describeRefusal(refusal), 'syntax error, unexpected string, line 3: bad words');
  });

  test('a file position followed by the error on the same line, and an error without any', () => {
    assert.equal(readRefusal('/dev/stdin:1:1-5: Error: Could not process rule: Operation not permitted', input).line, 1);
    assert.deepEqual(readRefusal('Operation not permitted (you must be root)\nnetlink: x', input), {
      said: 'Operation not permitted (you must be root)',
    });
    assert.deepEqual(readRefusal('/dev/stdin:99:1-5: Error: odd', input), { said: 'odd', line: 99 });
  });
});

inOwnNamespace(import.meta.url, () => {
  suite('nft', () => {
    test('is there', async () => assert.match((await nftVersion())!, /^v\d/));

    test('a text that would be a shell’s is a text', async () => {
      const ruleset = openRuleset();
      await assert.rejects(
        ruleset.apply('$(touch /mnt/f2)\n; touch /mnt/f2 `touch /mnt/f2`\n'),
        (error) => error instanceof HostError && error.code === 'AOV-HOST-606',
      );
      assert.equal(run('ls', '/mnt').includes('f2'), false);
    });

    test('the last resort is a ruleset that nft takes, also without a single app', async () => {
      const ruleset = openRuleset();
      await ruleset.apply(printBlockRuleset([]));
      assert.match(run('nft', 'list', 'table', 'inet', 'aovpn'), /oifname "aov\*" counter packets 0 bytes 0 reject/);
      assert.equal(await ruleset.remove(), true);
      assert.equal(await ruleset.remove(), false);
    });
  });

  suite('settings', () => {
    let directory: string;
    const name = 'net.ipv4.conf.all.src_valid_mark';
    const file = '/proc/sys/net/ipv4/conf/all/src_valid_mark';
    const value = (): string => readFileSync(file, 'utf8').trim();
    before(() => {
      directory = mkdtempSync(join(tmpdir(), 'sysctl-'));
    });
    after(() => rmSync(directory, { recursive: true }));

    test('set, and given back by another run', () => {
      assert.equal(value(), '0');
      openSysctls(directory).set(name, '1');
      openSysctls(directory).set(name, '1');
      assert.equal(value(), '1');
      assert.equal(openSysctls(directory).isSet(name, '1'), true);
      assert.deepEqual(openSysctls(directory).restore(), []);
      assert.equal(value(), '0');
      assert.deepEqual(openSysctls(directory).restore(), []);
    });

    test('one that had the value before, or that somebody changed since, stays', () => {
      writeFileSync(file, '1');
      openSysctls(directory).set(name, '1');
      openSysctls(directory).restore();
      assert.equal(value(), '1');
      writeFileSync(file, '0');
      openSysctls(directory).set(name, '1');
      writeFileSync(file, '0');
      openSysctls(directory).restore();
      assert.equal(value(), '0');
    });

    test('one that does not exist, and names that lead elsewhere', () => {
      const sysctls = openSysctls(directory);
      assert.throws(
        () => sysctls.set('net.ipv4.conf.nowhere.src_valid_mark', '1'),
        (error) => error instanceof HostError && error.code === 'AOV-HOST-608',
      );
      for (const bad of ['../../etc/passwd', 'net..x', 'a/b.c', 'net']) assert.throws(() => sysctls.set(bad, '1'), bad);
      // A journal that somebody else wrote is not followed out of the directory of settings.
      writeFileSync(join(directory, 'sysctl.json'), JSON.stringify({ '../../mnt/x': { before: 'no', ours: 'x' } }));
      assert.deepEqual(sysctls.restore(), []);
      writeFileSync(join(directory, 'sysctl.json'), 'no json');
      assert.deepEqual(sysctls.restore(), []);
    });
  });
});
