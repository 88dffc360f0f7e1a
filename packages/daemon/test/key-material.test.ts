import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, suite, test } from 'node:test';
import { encodeUtf8 } from '@aovpn/bytes';
import { decodeHexKey, loadKeyMaterial } from '../src/key-material.ts';

const directory = mkdtempSync(path.join(tmpdir(), 'aovpn-keys-'));
after(() => rmSync(directory, { recursive: true }));

/** A file with this text and mode. */
function file(name: string, text: string, mode = 0o600): string {
  const place = path.join(directory, name);
  writeFileSync(place, text, { mode });
  return name;
}

suite('shared keys and post-quantum preshared keys', () => {
  test('as they stand there, of any length, without the line end', async () => {
    const key = 'k'.repeat(64);
    const { secrets } = await loadKeyMaterial({ sharedKeyFile: file('plain', `${key}\n`) }, {}, directory);
    assert.deepEqual(secrets.sharedKey, encodeUtf8(key));
  });

  test('in hexadecimal behind 0x (RFC 7296 §2.15)', async () => {
    const settings = { sharedKeyFile: file('hex', '0x00ffA5\n'), ppkFile: file('ppk', '0Xdeadbeef') };
    const { secrets } = await loadKeyMaterial(settings, {}, directory);
    assert.deepEqual(secrets.sharedKey, Uint8Array.of(0, 0xff, 0xa5));
    assert.deepEqual(secrets.ppk, Uint8Array.of(0xde, 0xad, 0xbe, 0xef));
  });

  test('what only looks like it is the key itself', () => {
    for (const text of ['0x', '0x1', '0xabcg', 'ab', '1xabcd', 'x0abcd'])
      assert.deepEqual(decodeHexKey(encodeUtf8(text)), encodeUtf8(text));
  });

  for (const setting of ['sharedKeyFile', 'ppkFile'] as const) {
    test(`${setting}: a key that others can read is not used`, async () => {
      const open = file(`${setting}-open`, 'secret', 0o644);
      await assert.rejects(loadKeyMaterial({ [setting]: open }, {}, directory), { code: 'AOV-HOST-101' });
    });
  }
});
