import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';
import { after, before, suite, test } from 'node:test';
import { concat, formatAddress } from '@aovpn/bytes';
import { readStream, streamFrame, streamPrefix, type DataPlaneEvent } from '@aovpn/esp';
import { openUserspaceDataPlane } from '../../src/data-plane/open-userspace.ts';
import { HostError } from '../../src/host-error.ts';
import { Inbox, until } from './inbox.ts';
import { EchoServer, exchangeTcp, exchangeUdp } from './inner-traffic.ts';
import { inner, inside, makeNetWorld, outer, type NetWorld } from './net-world.ts';
import { aesGcm128, bringUp, makeChild, openStation, type Station } from './plane-fixture.ts';

const port = 4500;

/** What a gateway's TCP side is: frames of the stream become datagrams for the other plane, and its datagrams frames. */
class StreamGateway {
  readonly #server: net.Server;
  readonly #udp: dgram.Socket;
  readonly streams = new Set<net.Socket>();
  /** Everything that came in, prefix and frames apart. */
  readonly received = new Inbox<Uint8Array>();
  readonly prefixes: Uint8Array[] = [];
  planePort = 0;
  keepalives = 0;

  private constructor(server: net.Server, udp: dgram.Socket) {
    this.#server = server;
    this.#udp = udp;
    server.on('connection', (stream) => this.#take(stream));
    udp.on('message', (octets) => {
      for (const stream of this.streams) stream.write(streamFrame(octets));
    });
  }

  static open(world: NetWorld, family: 4 | 6): Promise<StreamGateway> {
    return inside(world.b, async () => {
      const address = formatAddress(outer.b[family]);
      const server = net.createServer();
      server.listen(port, address);
      await once(server, 'listening');
      const udp = dgram.createSocket({ type: family === 4 ? 'udp4' : 'udp6', recvBufferSize: 4 << 20 });
      udp.bind(0, address);
      await once(udp, 'listening');
      return new StreamGateway(server, udp);
    });
  }

  get udpPort(): number {
    return this.#udp.address().port;
  }

  close(): void {
    for (const stream of this.streams) stream.destroy();
    this.#server.close();
    this.#udp.close();
  }

  #take(stream: net.Socket): void {
    this.streams.add(stream);
    let buffered: Uint8Array = new Uint8Array(0);
    let begun = false;
    stream.on('error', () => undefined).on('close', () => this.streams.delete(stream));
    stream.on('data', (octets) => {
      buffered = concat(buffered, octets);
      if (!begun) {
        if (buffered.length < streamPrefix.length) return;
        this.prefixes.push(buffered.slice(0, streamPrefix.length));
        buffered = buffered.subarray(streamPrefix.length);
        begun = true;
      }
      const { messages, rest } = readStream(buffered);
      for (const message of messages) {
        this.received.put(message.slice());
        if (message.length === 1) this.keepalives++;
        const isIke = message.subarray(0, 4).every((octet) => octet === 0);
        if (!isIke && this.planePort > 0) this.#udp.send(message.slice(), this.planePort, this.#udp.address().address);
      }
      buffered = rest.slice();
    });
  }
}

const isIke = (event: DataPlaneEvent): event is Extract<DataPlaneEvent, { kind: 'ike' }> => event.kind === 'ike';
const isLost = (event: DataPlaneEvent): event is Extract<DataPlaneEvent, { kind: 'flow-lost' }> => event.kind === 'flow-lost';

for (const family of [4, 6] as const) {
  suite(`userspace plane in TCP over IPv${family} (RFC 9329)`, { concurrency: 1 }, () => {
    let world: NetWorld;
    let a: Station;
    let b: Station;
    let gateway: StreamGateway;
    let echo: EchoServer;
    before(async () => {
      world = makeNetWorld();
      gateway = await StreamGateway.open(world, family);
      a = await openStation(openUserspaceDataPlane, world.a, { keepaliveSeconds: 1 });
      b = await openStation(openUserspaceDataPlane, world.b);
    });
    after(async () => {
      echo?.close();
      await a?.plane.close();
      await b?.plane.close();
      gateway?.close();
      world?.remove();
    });
    const connect = () => a.at((plane) => plane.connect(outer.b[family], port, 'tcp'));

    test('the prefix first, then IKE behind its length and the non-ESP marker, both ways', async () => {
      const path = await connect();
      assert.equal(formatAddress(path.local), formatAddress(outer.a[family]));
      a.plane.sendIke(Uint8Array.of(1, 2, 3));
      assert.deepEqual(await gateway.received.take('IKE'), Uint8Array.of(0, 0, 0, 0, 1, 2, 3));
      assert.deepEqual(gateway.prefixes, [streamPrefix.slice()]);
      const [stream] = gateway.streams;
      const frame = streamFrame(Uint8Array.of(0, 0, 0, 0, 9, 8, 7));
      // In two parts, and behind a keepalive that means nothing.
      stream!.write(concat(streamFrame(Uint8Array.of(0xff)), frame.subarray(0, 3)));
      await new Promise((resolve) => setTimeout(resolve, 50));
      stream!.write(frame.subarray(3));
      const event = await a.events.take('IKE', isIke);
      assert.deepEqual(event.datagram, Uint8Array.of(9, 8, 7));
      assert.equal(formatAddress(event.from), formatAddress(outer.b[family]));
      assert.equal(event.fromPort, port);
    });

    test('ESP carries TCP and UDP, in whole megabytes, and no keepalive travels', async () => {
      await bringUp(a, world.a, 'a');
      await bringUp(b, world.b, 'b');
      const toGateway = await b.at((plane) => plane.connect(outer.b[family], gateway.udpPort));
      gateway.planePort = toGateway.localPort;
      const child = makeChild(aesGcm128);
      await b.plane.installChild(child.b);
      await a.plane.installChild(child.a);
      echo = await EchoServer.start(world.b, [inner.b[4], inner.b[6]]);
      for (const innerFamily of [4, 6] as const) {
        await exchangeUdp(world.a, inner.a[innerFamily], inner.b[innerFamily], [1, 500, 1300, 3000]);
        await exchangeTcp(world.a, inner.a[innerFamily], inner.b[innerFamily], 5_000_000);
      }
      a.plane.sendIke(Uint8Array.of(5));
      const seen = await gateway.received.take('IKE on the busy stream', (message) => message.length === 5);
      assert.equal(seen[4], 5);
      await new Promise((resolve) => setTimeout(resolve, 1500));
      assert.equal(gateway.keepalives, 0);
    });

    test('a connection that is lost is told, and another one carries the same SAs', async () => {
      // Half a message, which must not run into the next stream.
      const half = streamFrame(Uint8Array.of(0, 0, 0, 0, 1, 2, 3, 4)).subarray(0, 7);
      for (const stream of gateway.streams) await new Promise((sent) => stream.write(half, sent));
      await new Promise((resolve) => setTimeout(resolve, 50));
      for (const stream of gateway.streams) stream.destroy();
      await a.events.take('the loss', isLost);
      a.plane.sendIke(Uint8Array.of(1));
      await connect();
      await until('the gateway has the new one', () => gateway.streams.size === 1 && gateway.prefixes.length === 2);
      const [stream] = gateway.streams;
      stream!.write(streamFrame(Uint8Array.of(0, 0, 0, 0, 8, 8)));
      const { datagram } = await a.events.take('IKE on the new stream', isIke);
      assert.deepEqual(Uint8Array.from(datagram), Uint8Array.of(8, 8));
      await exchangeUdp(world.a, inner.a[4], inner.b[4], [100]);
    });

    test('while it is alive it stays', async () => {
      const [before, again] = [await connect(), await connect()];
      assert.equal(again.localPort, before.localPort);
      assert.equal(gateway.streams.size, 1);
    });

    test('to UDP and back, under the same SAs', async () => {
      const path = await a.at((plane) => plane.connect(outer.b[family], gateway.planePort));
      await b.at((plane) => plane.connect(outer.a[family], path.localPort));
      await exchangeUdp(world.a, inner.a[4], inner.b[4], [100, 1300]);
      await connect();
      await b.at((plane) => plane.connect(outer.b[family], gateway.udpPort));
      await exchangeUdp(world.a, inner.a[4], inner.b[4], [100, 1300]);
    });

    test('what is no such stream is left', async () => {
      await connect();
      await until('one stream', () => gateway.streams.size > 0);
      a.events.clear();
      for (const stream of gateway.streams) stream.write(Uint8Array.of(0, 1, 0xff));
      assert.match((await a.events.take('the loss', isLost)).why, /not a stream/);
    });

    test('nobody listens: AOV-HOST-212', async () => {
      await assert.rejects(
        a.at((plane) => plane.connect(outer.b[family], 4501, 'tcp')),
        (error) => error instanceof HostError && error.code === 'AOV-HOST-212' && /ECONNREFUSED/.test(error.message),
      );
    });
  });
}
