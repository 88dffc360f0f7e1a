import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fstatSync, mkdtempSync, openSync, closeSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite, test } from 'node:test';
import { encodeEntry, isJournalStream, openJournal } from '../../src/control/journal.ts';

suite('the journal’s own protocol', () => {
  // systemd.io, "Native Journal Protocol": a value with a line break has its length before it, 64 bits, little-endian.
  test('a value of one line and one of two', () => {
    assert.equal(
      encodeEntry({ MESSAGE: 'Hello\nWorld', PRIORITY: '6' }).toString('latin1'),
      'MESSAGE\n\x0b\0\0\0\0\0\0\0Hello\nWorld\nPRIORITY=6\n',
    );
    assert.equal(encodeEntry({ A: 'ä' }).toString('hex'), Buffer.from('A=ä\n').toString('hex'));
  });

  test('an entry is one datagram; where nobody listens, or it is too long, that is told', async (t) => {
    const directory = mkdtempSync(path.join(tmpdir(), 'aovpn-journal-'));
    t.after(() => rmSync(directory, { recursive: true }));
    const place = path.join(directory, 'socket');
    assert.equal(openJournal(place).send({ MESSAGE: 'x' }), false);
    const script =
      'import socket,sys\ns=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM)\ns.bind(sys.argv[1])\nprint("bound",flush=True)\nfor _ in range(2): print(repr(s.recv(4096)),flush=True)';
    const listener = spawn('python3', ['-c', script, place], { stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(() => listener.kill());
    let said = '';
    listener.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    while (!said.includes('bound')) await once(listener.stdout, 'data');
    const journal = openJournal(place);
    assert.equal(journal.send({ MESSAGE: 'one', PRIORITY: '3' }), true);
    assert.equal(journal.send({ MESSAGE: 'x'.repeat(10_000_000) }), false);
    assert.equal(journal.send({ MESSAGE: 'two' }), true);
    await once(listener, 'close');
    assert.equal(said, "bound\nb'MESSAGE=one\\nPRIORITY=3\\n'\nb'MESSAGE=two\\n'\n");
  });

  test('the variable counts for the descriptor that it names, and for no other', () => {
    const fd = openSync('/dev/null', 'r');
    const { dev, ino } = fstatSync(fd);
    assert.equal(isJournalStream(fd, `${dev}:${ino}`), true);
    assert.equal(isJournalStream(fd, `${dev}:${ino + 1}`), false);
    assert.equal(isJournalStream(fd, undefined), false);
    closeSync(fd);
    assert.equal(isJournalStream(fd, `${dev}:${ino}`), false);
  });
});
