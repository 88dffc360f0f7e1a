import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { suite, test, type TestContext } from 'node:test';
import { keepServiceWatchdog, notifyService } from '../../src/control/service-notification.ts';

suite('service notification', () => {
  test('reaches the datagram socket of the service manager', async (t) => {
    const { manager, text, socketPath } = await serviceManager(t, 1);
    notifyService('READY=1\nSTATUS=up', socketPath);
    await once(manager, 'close');
    assert.match(text(), /READY=1\nSTATUS=up/);
  });

  test('shows again and again that it still turns, when the service manager asks for that', async (t) => {
    const { manager, text, socketPath } = await serviceManager(t, 2);
    const end = keepServiceWatchdog({ NOTIFY_SOCKET: socketPath, WATCHDOG_USEC: '40000', WATCHDOG_PID: String(process.pid) });
    // The timer alone does not keep a process, and the manager's end does.
    await once(manager, 'close');
    end();
    assert.match(text(), /WATCHDOG=1\nWATCHDOG=1/);
  });

  test('nobody asked, or somebody else is meant: no watchdog', (t) => {
    const started = t.mock.method(globalThis, 'setInterval');
    for (const environment of [{}, { WATCHDOG_USEC: '0' }, { WATCHDOG_USEC: 'x' }, { WATCHDOG_USEC: '1000', WATCHDOG_PID: '1' }])
      keepServiceWatchdog(environment)();
    assert.equal(started.mock.callCount(), 0);
    keepServiceWatchdog({ WATCHDOG_USEC: '1000000' })();
    assert.equal(started.mock.callCount(), 1);
  });

  /** Node has no Unix datagram sockets; Python does. It ends after so many messages. */
  async function serviceManager(t: TestContext, messages: number) {
    const directory = mkdtempSync(path.join(tmpdir(), 'aovpn-notify-'));
    t.after(() => rmSync(directory, { recursive: true, force: true }));
    const socketPath = path.join(directory, 'notify');
    const script =
      'import socket,sys\ns=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM)\ns.bind(sys.argv[1])\nprint("bound",flush=True)\nfor _ in range(int(sys.argv[2])): print(s.recv(100).decode())';
    const manager = spawn('python3', ['-c', script, socketPath, String(messages)], { stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(() => manager.kill());
    let text = '';
    manager.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
    while (!text.includes('bound')) await once(manager.stdout, 'data');
    return { manager, text: () => text, socketPath };
  }

  test('without a service manager nothing happens', () => {
    notifyService('READY=1', undefined);
    notifyService('READY=1', '/nonexistent/socket');
    notifyService('READY=1', `/${'x'.repeat(200)}`);
  });
});
