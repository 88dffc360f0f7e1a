import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite, test } from 'node:test';
import { notifyService } from '../../src/control/service-notification.ts';

suite('service notification', () => {
  test('reaches the datagram socket of the service manager', async (t) => {
    const directory = mkdtempSync(path.join(tmpdir(), 'aovpn-notify-'));
    t.after(() => rmSync(directory, { recursive: true, force: true }));
    const socketPath = path.join(directory, 'notify');
    // Node has no Unix datagram sockets; Python does, and Debian has Python wherever it has a compiler or a desktop.
    const script =
      'import socket,sys\ns=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM)\ns.bind(sys.argv[1])\nprint("bound",flush=True)\nprint(s.recv(100).decode())';
    const manager = spawn('python3', ['-c', script, socketPath], { stdio: ['ignore', 'pipe', 'inherit'] });
    manager.on('error', () => {});
    if (manager.pid === undefined) return t.skip('no python3 on this machine');
    let text = '';
    manager.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
    while (!text.includes('bound')) await once(manager.stdout, 'data');
    notifyService('READY=1\nSTATUS=up', socketPath);
    await once(manager, 'close');
    assert.match(text, /READY=1\nSTATUS=up/);
  });

  test('without a service manager nothing happens', () => {
    notifyService('READY=1', undefined);
    notifyService('READY=1', '/nonexistent/socket');
    notifyService('READY=1', `/${'x'.repeat(200)}`);
  });
});
