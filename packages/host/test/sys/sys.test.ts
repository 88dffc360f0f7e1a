import assert from 'node:assert/strict';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { suite, test } from 'node:test';
import { formatAddress, parseAddress } from '@aovpn/bytes';
import * as sys from '../../src/sys/index.ts';

suite('system calls', () => {
  test('a failure is typed, with the name of the errno', () => {
    assert.throws(
      () => sys.openFile('/nonexistent/file', sys.constant.O_RDONLY),
      (error: unknown) => error instanceof sys.SysError && error.code === 'ENOENT' && error.syscall === 'open /nonexistent/file',
    );
    assert.equal(sys.errnoName(11), 'EAGAIN');
    assert.equal(sys.errnoName(77), 'EBADFD');
    assert.equal(sys.errnoName(4095), 'E4095');
  });

  test('two UDP sockets exchange a datagram on loopback', () => {
    const loopback = parseAddress('127.0.0.1')!;
    const a = sys.openUdpSocket(4);
    const b = sys.openUdpSocket(4);
    try {
      sys.bindTo(a, loopback, 0);
      const end = sys.localEnd(a);
      assert.equal(formatAddress(end.address), '127.0.0.1');
      assert.ok(end.port > 0);
      sys.connectTo(b, end.address, end.port);
      const out = new Uint8Array(new ArrayBuffer(4));
      out.set([1, 2, 3, 4]);
      assert.equal(sys.libc.write(b, sys.libc.addressOf(out), 4), 4);
      assert.ok(sys.waitReadable(a, 2000));
      const into = new Uint8Array(new ArrayBuffer(16));
      assert.equal(sys.libc.read(a, sys.libc.addressOf(into), 16), 4);
      assert.deepEqual([...into.subarray(0, 4)], [1, 2, 3, 4]);
      assert.equal(sys.libc.read(a, sys.libc.addressOf(into), 16), -sys.errno.EAGAIN);
    } finally {
      sys.closeDescriptor(a);
      sys.closeDescriptor(b);
    }
  });

  test('socket addresses survive encoding', () => {
    for (const text of ['192.0.2.7', '2001:db8::7']) {
      const decoded = sys.decodeSocketAddress(sys.encodeSocketAddress(parseAddress(text)!, 4500));
      assert.equal(decoded && formatAddress(decoded.address), text);
      assert.equal(decoded?.port, 4500);
    }
    assert.equal(sys.decodeSocketAddress(new Uint8Array(28)), undefined);
  });

  test('an eventfd wakes a watch, which falls silent when closed', async () => {
    const fd = sys.openEventfd();
    let wakes = 0;
    const woken = new Promise<void>((resolve) => {
      const watch = sys.watchReadable(fd, () => {
        wakes++;
        sys.drainEventfd(fd);
        watch.close();
        resolve();
      });
    });
    sys.wakeEventfd(fd);
    await woken;
    sys.wakeEventfd(fd);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(wakes, 1);
    sys.closeDescriptor(fd);
  });

  test('netlink answers a request for the loopback device', () => {
    const socket = sys.openNetlink(sys.constant.NETLINK_ROUTE, 0);
    try {
      // RTM_GETLINK (18) for interface 1: struct nlmsghdr, struct ifinfomsg.
      const request = new Uint8Array(32);
      const view = new DataView(request.buffer);
      view.setUint32(0, 32, sys.littleEndian);
      view.setUint16(4, 18, sys.littleEndian);
      view.setUint16(6, 1, sys.littleEndian);
      view.setUint32(8, 77, sys.littleEndian);
      view.setInt32(20, 1, sys.littleEndian);
      socket.send(request);
      assert.ok(sys.waitReadable(socket.fd, 2000));
      const answer = socket.receive();
      assert.ok(answer);
      const answered = new DataView(answer.buffer);
      assert.equal(answered.getUint16(4, sys.littleEndian), 16);
      assert.equal(answered.getUint32(8, sys.littleEndian), 77);
      assert.equal(socket.receive(), undefined);
    } finally {
      socket.close();
    }
  });

  test('the kernel tells who is at the other end of a Unix socket', async () => {
    const directory = mkdtempSync(path.join(os.tmpdir(), 'aovpn-sys-'));
    const file = path.join(directory, 'socket');
    const server = net.createServer();
    try {
      server.listen(file);
      await once(server, 'listening');
      const accepted = once(server, 'connection') as Promise<[net.Socket]>;
      const client = net.connect(file);
      const [socket] = await accepted;
      const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
      assert.deepEqual(sys.peerCredentials(fd), { pid: process.pid, uid: process.getuid!(), gid: process.getgid!() });
      client.destroy();
      socket.destroy();
    } finally {
      server.close();
      rmSync(directory, { recursive: true });
    }
  });
});
