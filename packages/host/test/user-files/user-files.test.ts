// What a user may put into a directory that is read for them: files count, everything else does no harm.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openUserFiles, type UserFile } from '../../src/index.ts';

const uid = 65_534;
const gid = 65_534;

suite('files of a user', { skip: process.getuid?.() === 0 ? false : 'root is needed, to become somebody else' }, () => {
  let home: string;
  let place: string;
  let files: { close(): void };
  let seen: (readonly UserFile[])[];
  let skipped: readonly string[];
  let refused: string[];
  beforeEach(() => {
    // Not below a directory that only root may enter.
    home = mkdtempSync('/var/tmp/aovpn-home-');
    chmodSync(home, 0o755);
    place = path.join(home, '.config/aovpn/profiles.d');
    seen = [];
    skipped = [];
    refused = [];
  });
  afterEach(() => {
    files?.close();
    rmSync(home, { recursive: true, force: true });
  });
  const make = (): void => {
    mkdirSync(place, { recursive: true });
    for (let directory = place; directory !== path.dirname(home); directory = path.dirname(directory))
      chownSync(directory, uid, gid);
  };
  const put = (name: string, text: string, owner = uid): void => {
    writeFileSync(path.join(place, name), text, { mode: 0o600 });
    chownSync(path.join(place, name), owner, owner);
  };
  const open = (): void => {
    files = openUserFiles({
      uid,
      gid,
      user: 'nobody',
      home,
      onFiles: (now, left) => {
        seen.push(now);
        skipped = left;
      },
      onRefused: (why) => refused.push(why),
    });
  };
  const until = async (isSo: () => boolean, what: string): Promise<void> => {
    for (const end = performance.now() + 60_000; !isSo() && performance.now() < end;) await sleep(10);
    assert.ok(isSo(), `${what}: ${JSON.stringify([seen.map((now) => now.map(({ name }) => name)), skipped, refused])}`);
  };
  const names = (): readonly string[] => seen.at(-1)?.map(({ name }) => name) ?? [];
  const children = (): readonly string[] =>
    readFileSync(`/proc/self/task/${process.pid}/children`, 'latin1').trim().split(' ').filter(Boolean);

  test('are read as that user, without a privilege, whenever they change, and no longer than wanted', async () => {
    open();
    await until(() => seen.length === 1, 'nothing is something to tell');
    const [child] = children();
    const status = readFileSync(`/proc/${child}/status`, 'latin1');
    assert.match(status, /^Uid:\t65534\t65534\t65534\t65534$/m);
    assert.match(status, /^Gid:\t65534\t65534\t65534\t65534$/m);
    assert.match(status, /^CapEff:\t0+$/m);
    assert.match(status, /^CapPrm:\t0+$/m);
    make();
    put('Corp.xml', '<VPNProfile/>');
    put('Corp.secret', 'hunter2');
    put('notes.txt', 'no file of a profile');
    await until(() => names().length === 2, 'a directory that was not there');
    assert.deepEqual(
      seen.at(-1)!.map(({ name, content }) => [name, Buffer.from(content).toString()]),
      [
        ['Corp.secret', 'hunter2'],
        ['Corp.xml', '<VPNProfile/>'],
      ],
    );
    put('Corp.secret', 'hunter3');
    await until(
      () => Buffer.from(seen.at(-1)!.find(({ name }) => name === 'Corp.secret')?.content ?? []).toString() === 'hunter3',
      'a change',
    );
    unlinkSync(path.join(place, 'Corp.secret'));
    await until(() => names().length === 1, 'a file that goes');
    // Somebody ends the reader, which is theirs: another one comes.
    process.kill(Number(child), 'SIGKILL');
    put('Home.xml', '<VPNProfile/>');
    await until(() => names().length === 2, 'after the reader was killed');
    files.close();
    await sleep(0);
    for (const end = performance.now() + 60_000; children().length > 0 && performance.now() < end;) await sleep(10);
    assert.deepEqual(children(), []);
  });

  test('links, fifos, huge files, other people’s files and what others can write do not count, and nothing waits for them', async () => {
    make();
    writeFileSync(path.join(home, 'secret-of-root'), 'root only', { mode: 0o600 });
    symlinkSync('/etc/shadow', path.join(place, 'shadow.xml'));
    symlinkSync('Good.xml', path.join(place, 'link.xml'));
    symlinkSync(path.join(home, 'secret-of-root'), path.join(place, 'root.secret'));
    execFileSync('mkfifo', [path.join(place, 'fifo.xml')]);
    chownSync(path.join(place, 'fifo.xml'), uid, gid);
    put('huge.xml', '');
    truncateSync(path.join(place, 'huge.xml'), 2 ** 30);
    put('root.xml', 'not theirs', 0);
    chmodSync(path.join(place, 'root.xml'), 0o644);
    put('open.xml', 'anybody wrote this');
    chmodSync(path.join(place, 'open.xml'), 0o666);
    mkdirSync(path.join(place, 'directory.xml'));
    put('Good.xml', '<VPNProfile/>');
    open();
    await until(() => seen.length === 1, 'an answer');
    assert.deepEqual(names(), ['Good.xml']);
    const why = skipped.join('\n');
    for (const reason of [
      /shadow\.xml: it is a link/,
      /link\.xml: it is a link/,
      /root\.secret: it is a link/,
      /fifo\.xml: it is not a regular file/,
      /huge\.xml: it has 1073741824 octets/,
      /root\.xml: it belongs to user 0/,
      /open\.xml: others can write to it/,
      /directory\.xml: it is not a regular file/,
    ])
      assert.match(why, reason);
  });

  test('a directory that is a way to somewhere else leads no further than the user gets', async () => {
    make();
    renameSync(place, `${place}.away`);
    const secret = mkdtempSync('/var/tmp/aovpn-secret-');
    writeFileSync(path.join(secret, 'root.xml'), 'of root', { mode: 0o600 });
    try {
      symlinkSync(secret, place);
      open();
      await until(() => seen.length + refused.length > 0, 'an answer');
      assert.deepEqual(names(), []);
      assert.match(refused.join(), /EACCES/);
    } finally {
      rmSync(secret, { recursive: true });
    }
  });

  test('10,000 files are too many to choose from: nothing is taken, and what was told stays', async () => {
    make();
    put('Good.xml', '<VPNProfile/>');
    open();
    await until(() => names().length === 1, 'the first answer');
    // While they are written it would look already, and take the first few for all.
    const reader = Number(children()[0]);
    process.kill(reader, 'SIGSTOP');
    for (let i = 0; i < 10_000; i++) writeFileSync(path.join(place, `p${i}.xml`), '');
    process.kill(reader, 'SIGCONT');
    await until(() => refused.some((why) => why.includes('more than 1000 entries')), 'too many');
    assert.deepEqual(names(), ['Good.xml']);
    for (const name of readdirSync(place)) if (name !== 'Good.xml') unlinkSync(path.join(place, name));
    put('Good.xml', '<VPNProfile />');
    await until(() => seen.length > 1, 'once there are few again');
  });

  test('more than a few megabytes in all are too many', async () => {
    make();
    for (let i = 0; i < 9; i++) put(`p${i}.p12`, 'x'.repeat(1 << 20));
    open();
    await until(() => refused.length > 0, 'too much');
    assert.match(refused[0]!, /octets/);
    assert.deepEqual(seen, []);
  });
});
