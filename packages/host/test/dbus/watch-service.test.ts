import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, suite, test } from 'node:test';
import { connectBus, type IncomingSignal } from '../../src/dbus/connection.ts';
import { formatMatchRule } from '../../src/dbus/match-rule.ts';
import { maxMessageBytes, messageType } from '../../src/dbus/message.ts';
import { watchService, type ServiceSignal } from '../../src/dbus/watch-service.ts';
import { BusService, encodeMessage } from '../../testkit/bus-service.ts';
import { MessageBus, noBus } from '../../testkit/message-bus.ts';

const service = 'org.example.Sleep';
const object = '/org/example/Sleep';
const manager = `${service}.Manager`;

/** What a watch tells, in order, to be waited for. */
class Heard {
  readonly all: string[] = [];
  #changed = Promise.withResolvers<void>();

  take(what: string): void {
    this.all.push(what);
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  async until(what: string, count = 1): Promise<void> {
    const patience = AbortSignal.timeout(120_000);
    while (this.all.filter((one) => one === what).length < count) {
      if (patience.aborted) assert.fail(`not heard: ${what} in ${this.all.join(', ')}`);
      await Promise.race([this.#changed.promise, once(patience, 'abort')]);
    }
  }
}

suite('signals of a service on a real bus', { skip: noBus }, () => {
  const bus = new MessageBus();

  before(async () => await bus.start());
  after(async () => await bus.remove());

  async function watched(meanwhile: (heard: Heard) => Promise<void>): Promise<void> {
    const heard = new Heard();
    const watch = watchService({
      service,
      signals: [{ interface: manager, pathNamespace: object }],
      socket: () => bus.socket,
      onPresent: (ask) => {
        heard.take('present');
        void ask({ path: object, interface: manager, member: 'Count', signature: 'u', body: [6] }).then(
          ([answer]) => heard.take(`answer ${answer as number}`),
          () => undefined,
        );
      },
      onAbsent: () => heard.take('absent'),
      onSignal: ({ path: from, member, values }: ServiceSignal) => heard.take(`${member} ${from} ${JSON.stringify(values[0])}`),
    });
    try {
      await meanwhile(heard);
    } finally {
      watch.close();
    }
  }

  test('those of the owner of the name are heard, and it is asked; those of anybody else are not, also when sent to us alone', async () => {
    const owner = await BusService.open(bus.socket, [service], (member, [value]) =>
      member === 'Count' ? ['u', [(value as number) + 1]] : undefined,
    );
    const stranger = await BusService.open(bus.socket, ['org.example.Other']);
    const before = await stranger.everybody();
    await watched(async (heard) => {
      await heard.until('answer 7');
      const us = (await stranger.everybody()).find((name) => !before.includes(name))!;
      stranger.emit(object, manager, 'Prepare', 's', ['forged']);
      stranger.emit(object, manager, 'Prepare', 's', ['forged'], us);
      // The owner himself of something that nobody asked for.
      owner.emit(object, 'org.example.Else', 'Prepare', 's', ['else'], us);
      owner.emit('/org/example/Sleeper', manager, 'Prepare', 's', ['elsewhere'], us);
      stranger.emit(
        '/org/freedesktop/DBus',
        'org.freedesktop.DBus',
        'NameOwnerChanged',
        'sss',
        [service, '', stranger.uniqueName],
        us,
      );
      stranger.emit(object, manager, 'Prepare', 's', ['forged'], us);
      await stranger.settled();
      owner.emit(object, manager, 'Prepare', 'b', [true]);
      owner.emit(`${object}/one`, manager, 'New', 'o', ['/a']);
      await heard.until(`New ${object}/one "/a"`);
      assert.deepEqual(heard.all, ['present', 'answer 7', `Prepare ${object} true`, `New ${object}/one "/a"`]);
    });
    owner.close();
    stranger.close();
  });

  test('the name goes over to another: the first is not believed any more', async () => {
    const first = await BusService.open(bus.socket, [service]);
    const second = await BusService.open(bus.socket, []);
    const before = await first.everybody();
    await watched(async (heard) => {
      await heard.until('present');
      const us = (await first.everybody()).find((name) => !before.includes(name))!;
      await first.release(service);
      await heard.until('absent');
      await second.own(service);
      await heard.until('present', 2);
      first.emit(object, manager, 'Prepare', 's', ['old'], us);
      await first.settled();
      second.emit(object, manager, 'Prepare', 's', ['new']);
      await heard.until(`Prepare ${object} "new"`);
      assert.deepEqual(heard.all, ['present', 'absent', 'present', `Prepare ${object} "new"`]);
    });
    first.close();
    second.close();
  });

  test('the bus vanishes and comes back', async () => {
    const first = await BusService.open(bus.socket, [service]);
    await watched(async (heard) => {
      await heard.until('present');
      await bus.stop();
      await heard.until('absent');
      first.close();
      await bus.start();
      const second = await BusService.open(bus.socket, [service]);
      await heard.until('present', 2);
      second.emit(object, manager, 'Prepare', 'b', [false]);
      await heard.until(`Prepare ${object} false`);
      second.close();
    });
  });

  test('what a stranger floods us with, however long or odd, does not keep the owner from being heard', async () => {
    const owner = await BusService.open(bus.socket, [service]);
    const stranger = await BusService.open(bus.socket, []);
    const before = await stranger.everybody();
    await watched(async (heard) => {
      await heard.until('present');
      const us = (await stranger.everybody()).find((name) => !before.includes(name))!;
      const said = { path: object, interface: manager, member: 'Prepare', destination: us };
      stranger.send(encodeMessage(messageType.signal, 100, { ...said, signature: 'ay' }, [new Uint8Array(3 * maxMessageBytes)]));
      for (let serial = 101; serial < 6_000; serial++)
        stranger.send(encodeMessage(messageType.signal, serial, { ...said, signature: 'u' }, [serial]));
      await stranger.settled();
      owner.emit(object, manager, 'Prepare', 'b', [true]);
      await heard.until(`Prepare ${object} true`);
      assert.deepEqual(heard.all, ['present', `Prepare ${object} true`]);
    });
    owner.close();
    stranger.close();
  });
});

suite('a bus that means no good', () => {
  /** Lets us in, answers Hello, and then does as told. */
  async function badBus(then: (socket: Socket) => void): Promise<{ place: string; close(): void }> {
    const place = mkdtempSync(path.join(tmpdir(), 'aovpn-bad-bus-'));
    const sockets: Socket[] = [];
    const server = createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => undefined);
      socket.once('data', () => {
        socket.write('OK 0123456789abcdef0123456789abcdef\r\n');
        let begun = '';
        socket.on('data', (chunk: Buffer) => {
          if (begun.includes('Hello')) return;
          begun += chunk.toString('latin1');
          if (!begun.includes('Hello')) return;
          socket.write(encodeMessage(messageType.methodReturn, 1, { replySerial: 1, signature: 's' }, [':1.1']));
          then(socket);
        });
      });
    });
    server.listen(path.join(place, 'bus'));
    await once(server, 'listening');
    return {
      place: path.join(place, 'bus'),
      close: () => {
        for (const socket of sockets) socket.destroy();
        server.close();
        rmSync(place, { recursive: true, force: true });
      },
    };
  }

  const signal = { path: object, interface: manager, member: 'Prepare' };

  test('signals that cannot be read are passed over', async () => {
    let deep = { signature: 'y', value: 1 as unknown };
    for (let depth = 0; depth < 70; depth++) deep = { signature: 'v', value: deep };
    const heard: IncomingSignal[] = [];
    const last = Promise.withResolvers<void>();
    const bad = await badBus((socket) => {
      socket.write(encodeMessage(messageType.signal, 2, signal, [], [[77, deep as never]]));
      socket.write(encodeMessage(messageType.signal, 3, signal));
    });
    const bus = await connectBus(bad.place, undefined, (one) => {
      heard.push(one);
      last.resolve();
    });
    await last.promise;
    assert.equal(heard.length, 1);
    bus.close();
    bad.close();
  });

  test('no more is read than a measure a second', async () => {
    let sent = 0;
    const one = encodeMessage(messageType.signal, 2, { ...signal, signature: 'ay' }, [new Uint8Array(64_000)]);
    const bad = await badBus((socket) => {
      const more = (): void => {
        while (!socket.destroyed) {
          sent += one.length;
          if (!socket.write(one)) break;
        }
      };
      socket.on('drain', more);
      more();
    });
    let octets = 0;
    const { promise: enough, resolve } = Promise.withResolvers<void>();
    const begun = performance.now();
    let seconds = 0;
    const bus = await connectBus(bad.place, undefined, ({ body }) => {
      octets += body.length;
      seconds = (performance.now() - begun) / 1000;
      if (seconds > 2) resolve();
    });
    await enough;
    bus.close();
    bad.close();
    // 8 MiB in each second that has begun, and what lay ready when it was full.
    assert.ok(octets <= (Math.floor(seconds) + 2) * (9 << 20), `${octets} octets in ${seconds} s`);
    assert.ok(sent < octets + (8 << 20), 'the rest was left with the sender');
  });
});

suite('match rules', () => {
  test('as the specification writes them', () => {
    assert.equal(
      formatMatchRule('a.b', { interface: 'a.b.C', member: 'D', pathNamespace: '/a' }),
      "type='signal',sender='a.b',interface='a.b.C',member='D',path_namespace='/a'",
    );
    assert.throws(() => formatMatchRule('a.b', { interface: "a',type='error" }), TypeError);
  });
});
