import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { peerOf } from '../../src/control/peer.ts';

const nobody = { uid: 65_534, gid: 65_534 };

test(
  'the process that connected is known by more than its number, and only while it lives',
  { skip: process.geteuid?.() === 0 ? false : 'needs root' },
  async () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'aovpn-peer-'));
    chmodSync(directory, 0o755);
    const place = path.join(directory, 'socket');
    const server = createServer({ allowHalfOpen: true });
    server.listen(place);
    await once(server, 'listening');
    chmodSync(place, 0o666);
    const script = `import socket,sys,time\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\ntime.sleep(60)`;
    const child = spawn('python3', ['-c', script, place], { ...nobody, cwd: '/', stdio: 'inherit' });
    try {
      const [socket] = (await once(server, 'connection')) as [Socket];
      const peer = peerOf(socket)!;
      assert.deepEqual([peer.uid, peer.pid], [nobody.uid, child.pid]);
      assert.ok(peer.process!.startTime > 0n && peer.process!.isAlive());
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
      while (peer.process!.isAlive()) await sleep(1);
      assert.equal(peerOf(socket)!.process, undefined, 'of one that has ended nothing is believed');
      socket.destroy();
    } finally {
      child.kill('SIGKILL');
      server.close();
      rmSync(directory, { recursive: true });
    }
  },
);
