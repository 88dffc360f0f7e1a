import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { readUserSessions } from '@aovpn/host';
import { Log } from '../src/log.ts';
import { ownerOf, SignIns } from '../src/sign-ins.ts';

// As systemd-logind 252 writes it (/run/systemd/sessions/3), places of the machine left out.
const session = (uid: number, user: string, more = 'CLASS=user\nSTATE=active\n'): string =>
  `# This is private data. Do not parse.\nUID=${uid}\nUSER=${user}\nACTIVE=1\nIS_DISPLAY=1\nREMOTE=0\nTYPE=tty\n${more}SCOPE=session-3.scope\nLEADER=400\n`;

suite('who is signed in', () => {
  let root: string;
  let sessions: string;
  let signIns: SignIns;
  let came: string[];
  let changes: number;
  let watch: { close(): void } | undefined;
  beforeEach(() => {
    root = mkdtempSync(path.join(tmpdir(), 'aovpn-sessions-'));
    sessions = path.join(root, 'sessions');
    mkdirSync(sessions);
    came = [];
    changes = 0;
    signIns = open();
  });
  afterEach(() => {
    watch?.close();
    watch = undefined;
    rmSync(root, { recursive: true });
  });
  function open(): SignIns {
    const log = new Log({ level: 'error', format: 'text', journal: false, write: () => {}, clock: Date.now });
    return new SignIns({
      file: path.join(root, 'sessions.json'),
      onChange: () => changes++,
      onSession: ({ name }) => came.push(name),
      log,
      read: () => readUserSessions(sessions, path.join(root, 'utmp')),
      directories: [sessions],
    });
  }
  const put = (id: string, text: string): void => writeFileSync(path.join(sessions, id), text);
  const names = (): string[] => signIns.users().map(({ name }) => name);
  const until = async (isSo: () => boolean): Promise<void> => {
    for (const end = performance.now() + 60_000; !isSo() && performance.now() < end;) await sleep(10);
    assert.ok(isSo());
  };

  test('people, not login screens, managers, root or those who have left', async () => {
    put('1', session(1001, 'alice'));
    put('2', session(117, 'gdm', 'CLASS=greeter\nSTATE=active\n'));
    put('3', session(0, 'root'));
    put('4', session(1002, 'bob', 'CLASS=user\nSTATE=closing\n'));
    put('5', session(1003, 'eve', 'CLASS=manager\nSTATE=active\n'));
    put('6', session(1004, 'jo', 'CLASS=background\nSTATE=active\n'));
    put('7', session(1005, 'kim', 'CLASS=user\nSTATE=online\n'));
    put('8', 'half');
    writeFileSync(path.join(sessions, '1.ref'), '');
    await signIns.start();
    assert.deepEqual(names(), ['alice', 'kim']);
    assert.deepEqual(came, [], 'who was there has not come');
  });

  test('they come and go; a second session is another sign-in of the same user', async () => {
    put('1', session(1001, 'alice'));
    await signIns.start();
    watch = signIns.watch();
    put('2', session(1002, 'bob'));
    await until(() => came.length === 1);
    assert.deepEqual(names(), ['alice', 'bob']);
    put('3', session(1002, 'bob'));
    await until(() => came.length === 2);
    assert.deepEqual(came, ['bob', 'bob']);
    const before = changes;
    unlinkSync(path.join(sessions, '2'));
    await until(() => changes > before);
    assert.deepEqual(names(), ['alice', 'bob'], 'one of two is over');
    unlinkSync(path.join(sessions, '3'));
    await until(() => names().length === 1);
  });

  test('sessions that are announced count one by one, and outlive the daemon', async () => {
    await signIns.start();
    const alice = { uid: 1001, name: 'alice' };
    await signIns.open(alice);
    await signIns.open(alice);
    await signIns.close(alice, false);
    assert.deepEqual(names(), ['alice']);
    signIns = open();
    await signIns.start();
    assert.deepEqual(names(), ['alice']);
    await signIns.close(alice, false);
    assert.deepEqual(names(), []);
    assert.equal(readFileSync(path.join(root, 'sessions.json'), 'utf8').trim(), '[]');
  });

  test('utmp where there is no logind: who is alive', { skip: process.arch !== 'x64' }, async () => {
    rmSync(sessions, { recursive: true });
    const record = (type: number, pid: number, line: string, user: string): Buffer => {
      const octets = Buffer.alloc(384);
      octets.writeInt16LE(type, 0);
      octets.writeInt32LE(pid, 4);
      octets.write(line, 8);
      octets.write(user, 44);
      return octets;
    };
    const me = process.pid;
    writeFileSync(
      path.join(root, 'utmp'),
      Buffer.concat([
        record(2, 0, '~', 'reboot'),
        record(7, me, 'tty1', 'daemon'),
        record(7, 0x3fff_fff0, 'pts/0', 'bin'),
        record(8, me, 'pts/1', ''),
      ]),
    );
    await signIns.start();
    assert.deepEqual(names(), ['daemon']);
  });

  test('names that are no directory: the number stands for them', () => {
    assert.equal(ownerOf(1001, 'CORP\\kim').name, 'CORP\\kim');
    assert.equal(ownerOf(1001, 'kim@corp.example').name, 'kim@corp.example');
    for (const name of ['..', '.x', 'a/b', 'a b', 'a\nb', ''])
      assert.equal(ownerOf(4_000_001, name).name, '4000001', JSON.stringify(name));
  });
});
