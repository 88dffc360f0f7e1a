import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, suite, test } from 'node:test';
import { HostError } from '../../src/host-error.ts';
import { readSystemdCredential } from '../../src/password/systemd-credential.ts';

suite('credentials of systemd', () => {
  let directory: string;

  before(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'aovpn-credential-'));
    writeFileSync(path.join(directory, 'corp.secret'), 'pass word\n', { mode: 0o400 });
    writeFileSync(path.join(directory, 'open.secret'), 'pass word\n', { mode: 0o444 });
    writeFileSync(path.join(directory, 'empty.secret'), '', { mode: 0o400 });
    mkdirSync(path.join(directory, 'directory.secret'));
  });

  after(() => rmSync(directory, { recursive: true, force: true }));

  test('is read without its line end', async () => {
    assert.equal(Buffer.from((await readSystemdCredential('corp.secret', directory))!).toString(), 'pass word');
  });

  test('is not there: undefined, and no name leads out of the directory', async () => {
    for (const name of ['other.secret', '../etc/passwd', '/etc/passwd', '..', '.', '', 'a'.repeat(256), 'a\0b']) {
      assert.equal(await readSystemdCredential(name, directory), undefined, name);
    }
    assert.equal(await readSystemdCredential('corp.secret', undefined), undefined);
    assert.equal(await readSystemdCredential('corp.secret', 'relative'), undefined);
  });

  for (const name of ['open.secret', 'empty.secret', 'directory.secret']) {
    test(`${name} is refused`, async () => {
      await assert.rejects(
        readSystemdCredential(name, directory),
        (error) => error instanceof HostError && error.code === 'AOV-HOST-503',
      );
    });
  }
});
