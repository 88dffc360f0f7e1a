import assert from 'node:assert/strict';
import fs, {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, mock, suite, test } from 'node:test';
import { parseAddress } from '@aovpn/bytes';
import { HostError } from '../../src/host-error.ts';
import { giveBack, isTaken, readOriginal, takeOver, writeAhead } from '../../src/resolver/resolv-conf-journal.ts';

const original = 'nameserver 192.168.1.1\nsearch home.example\n';
const ours = { nameservers: [parseAddress('127.0.0.96')!], search: ['corp.example'], options: [] };

suite('resolv.conf taken over and given back', () => {
  let directory: string;
  let place: { resolvConf: string; stateDirectory: string };
  const text = (): string => readFileSync(place.resolvConf, 'utf8');

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'pol-journal-'));
    place = { resolvConf: join(directory, 'resolv.conf'), stateDirectory: join(directory, 'state') };
    writeFileSync(place.resolvConf, original, { mode: 0o640 });
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  test('a plain file comes back as it was, mode included', () => {
    assert.equal(takeOver(place, ours), true);
    assert.match(text(), /^# Written by aovpn.*\nnameserver 127\.0\.0\.96\nsearch corp\.example\n$/);
    assert.equal(takeOver(place, ours), false);
    assert.equal(readOriginal(place).text, original);
    assert.equal(giveBack(place), 'restored');
    assert.equal(text(), original);
    assert.equal(statSync(place.resolvConf).mode & 0o777, 0o640);
    assert.equal(giveBack(place), 'nothing');
    assert.equal(existsSync(join(place.stateDirectory, 'resolv-conf.journal')), false);
  });

  test('a link comes back as a link, and what it points at is never written', () => {
    const target = join(directory, 'stub-resolv.conf');
    writeFileSync(target, 'nameserver 127.0.0.53\n');
    rmSync(place.resolvConf);
    symlinkSync('stub-resolv.conf', place.resolvConf);
    takeOver(place, ours);
    assert.ok(lstatSync(place.resolvConf).isFile());
    assert.deepEqual(readOriginal(place), { text: 'nameserver 127.0.0.53\n', link: 'stub-resolv.conf' });
    giveBack(place);
    assert.equal(readlinkSync(place.resolvConf), 'stub-resolv.conf');
    assert.equal(readFileSync(target, 'utf8'), 'nameserver 127.0.0.53\n');
  });

  test('no file before: no file after', () => {
    rmSync(place.resolvConf);
    takeOver(place, ours);
    giveBack(place);
    assert.equal(existsSync(place.resolvConf), false);
  });

  test('a change of ours keeps the first original', () => {
    takeOver(place, ours);
    takeOver(place, { ...ours, search: ['other.example'] });
    assert.equal(readOriginal(place).text, original);
    giveBack(place);
    assert.equal(text(), original);
  });

  test('somebody else’s later file stays', () => {
    takeOver(place, ours);
    writeFileSync(place.resolvConf, 'nameserver 10.20.30.40\n');
    assert.equal(isTaken(place), false);
    assert.equal(giveBack(place), 'kept');
    assert.equal(text(), 'nameserver 10.20.30.40\n');
    assert.equal(giveBack(place), 'nothing');
  });

  test('somebody else’s later file is the new original when we take over again', () => {
    takeOver(place, ours);
    writeFileSync(place.resolvConf, 'nameserver 10.20.30.40\n');
    assert.equal(readOriginal(place).text, 'nameserver 10.20.30.40\n');
    takeOver(place, ours);
    giveBack(place);
    assert.equal(text(), 'nameserver 10.20.30.40\n');
  });

  for (const [when, ours0] of [
    ['the first time', false],
    ['when we change our own', true],
  ] as const) {
    test(`what somebody writes while our file is being synced is the new original (${when})`, () => {
      if (ours0) takeOver(place, { ...ours, search: [] });
      const later = 'nameserver 192.168.2.1\n';
      let syncs = 0;
      const { fsyncSync } = fs;
      // The journal is synced first, then the file that is about to take the place.
      const slow = mock.method(fs, 'fsyncSync', (fd: number) => {
        if (++syncs === 2) writeFileSync(place.resolvConf, later);
        fsyncSync(fd);
      });
      syncBuiltinESMExports();
      try {
        assert.equal(takeOver(place, ours), true);
      } finally {
        slow.mock.restore();
        syncBuiltinESMExports();
      }
      assert.equal(isTaken(place), true);
      assert.equal(readOriginal(place).text, later);
      assert.equal(giveBack(place), 'restored');
      assert.equal(text(), later);
    });
  }

  test('somebody’s lines in our file stay, ours go, the servers from before come back', () => {
    takeOver(place, ours);
    writeFileSync(place.resolvConf, `${text()}options timeout:1\n`);
    giveBack(place);
    assert.equal(text(), 'nameserver 192.168.1.1\nsearch corp.example\noptions timeout:1\n');
  });

  test('a crash between journal and file harms nothing', () => {
    takeOver(place, ours);
    writeFileSync(place.resolvConf, original, { mode: 0o640 });
    assert.equal(giveBack(place), 'kept');
    assert.equal(text(), original);
  });

  suite('with a journal that was written ahead', () => {
    const journal = (): string => join(place.stateDirectory, 'resolv-conf.journal');
    const written = (): unknown => (JSON.parse(readFileSync(journal(), 'utf8')) as { readonly written?: unknown }).written;

    test('it is on the disk before the place is touched, and nothing is synced for it when it is', async () => {
      await writeAhead(place);
      assert.equal(text(), original);
      const before = statSync(journal()).ino;
      takeOver(place, ours);
      assert.equal(statSync(journal()).ino, before);
      assert.equal(isTaken(place), true);
    });

    test('a crash right behind the taking over loses nothing', async () => {
      await writeAhead(place);
      takeOver(place, ours);
      assert.equal(written(), undefined);
      assert.equal(readOriginal(place).text, original);
      assert.equal(giveBack(place), 'restored');
      assert.equal(text(), original);
      await nextTurn();
      assert.equal(existsSync(journal()), false, 'what was given back is not written down again');
    });

    test('afterwards it says what we wrote: somebody’s lines in our file stay', async () => {
      await writeAhead(place);
      takeOver(place, ours);
      await nextTurn();
      assert.equal(written(), text());
      writeFileSync(place.resolvConf, `${text()}options rotate\n`);
      giveBack(place);
      assert.match(text(), /options rotate/);
    });

    test('another file that came meanwhile is the original', async () => {
      await writeAhead(place);
      writeFileSync(place.resolvConf, 'nameserver 192.168.9.9\n');
      takeOver(place, ours);
      assert.equal(giveBack(place), 'restored');
      assert.equal(text(), 'nameserver 192.168.9.9\n');
    });

    test('a place that was never taken is left alone, and the journal goes', async () => {
      await writeAhead(place);
      assert.equal(giveBack(place), 'nothing');
      assert.equal(text(), original);
      assert.equal(existsSync(journal()), false);
    });

    test('a place that is taken meanwhile keeps its journal', async () => {
      const ahead = writeAhead(place);
      takeOver(place, ours);
      await ahead;
      assert.equal(written(), text());
      await writeAhead(place);
      assert.equal(written(), text());
      giveBack(place);
      assert.equal(text(), original);
      assert.deepEqual(readdirSync(place.stateDirectory), []);
    });
  });

  test('our file without its journal, or with one that is broken, loses our lines', () => {
    for (const journal of [
      undefined,
      '{"version":1',
      '{"version":1,"path":"/etc/resolv.conf","written":"","original":{"kind":"absent"}}',
      '[]',
    ]) {
      takeOver(place, ours);
      rmSync(join(place.stateDirectory, 'resolv-conf.journal'));
      if (journal !== undefined) writeFileSync(join(place.stateDirectory, 'resolv-conf.journal'), journal);
      assert.equal(giveBack(place), 'restored');
      assert.equal(text(), 'search corp.example\n');
    }
  });

  test('a state directory that cannot be: the file is not touched', () => {
    writeFileSync(place.stateDirectory, 'a file in the way');
    assert.throws(
      () => takeOver(place, ours),
      (error) => error instanceof HostError && error.code === 'AOV-HOST-312',
    );
    assert.equal(text(), original);
  });

  test('a resolv.conf that cannot be written says so', () => {
    rmSync(place.resolvConf);
    mkdirSync(place.resolvConf);
    assert.throws(
      () => takeOver(place, ours),
      (error) => error instanceof HostError && error.code === 'AOV-HOST-311',
    );
  });
});
