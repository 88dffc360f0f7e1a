import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';
import { formatAddress, type IpAddress } from '@aovpn/bytes';
import { Inbox } from './inbox.ts';
import { inside } from './net-world.ts';

export const echoPort = 7007;

/** Echo servers for UDP and TCP in a namespace, on some of its addresses. */
export class EchoServer {
  readonly #sockets: dgram.Socket[] = [];
  readonly #servers: net.Server[] = [];
  readonly #connections = new Set<net.Socket>();

  static async start(namespace: string, addresses: readonly IpAddress[]): Promise<EchoServer> {
    const server = new EchoServer();
    await inside(namespace, async () => {
      for (const address of addresses) await server.#listen(address);
    });
    return server;
  }

  close(): void {
    for (const socket of this.#sockets) socket.close();
    for (const connection of this.#connections) connection.destroy();
    for (const server of this.#servers) server.close();
  }

  async #listen(address: IpAddress): Promise<void> {
    const socket = dgram.createSocket({ type: address.family === 4 ? 'udp4' : 'udp6', recvBufferSize: 4 << 20 });
    socket.on('message', (message, from) => socket.send(message, from.port, from.address));
    socket.bind(echoPort, formatAddress(address));
    await once(socket, 'listening');
    this.#sockets.push(socket);
    const server = net.createServer((connection) => {
      this.#connections.add(connection);
      connection.on('error', () => connection.destroy());
      connection.pipe(connection);
    });
    server.listen(echoPort, formatAddress(address));
    await once(server, 'listening');
    this.#servers.push(server);
  }
}

/** A UDP socket in a namespace. */
export class UdpPeer {
  readonly received = new Inbox<{ readonly octets: Uint8Array; readonly from: dgram.RemoteInfo }>();
  readonly socket: dgram.Socket;

  constructor(socket: dgram.Socket) {
    this.socket = socket;
    socket.on('message', (octets, from) => this.received.put({ octets: new Uint8Array(octets), from }));
  }

  static open(namespace: string, address: IpAddress, port = 0): Promise<UdpPeer> {
    return inside(namespace, async () => {
      const socket = dgram.createSocket({ type: address.family === 4 ? 'udp4' : 'udp6', recvBufferSize: 4 << 20 });
      socket.bind(port, formatAddress(address));
      await once(socket, 'listening');
      return new UdpPeer(socket);
    });
  }

  get port(): number {
    return this.socket.address().port;
  }

  send(octets: Uint8Array, to: IpAddress, port: number): void {
    this.socket.send(octets, port, formatAddress(to));
  }

  /** Resolves when the kernel has taken it. */
  async sendNow(octets: Uint8Array, to: IpAddress, port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.socket.send(octets, port, formatAddress(to), (error) => (error ? reject(error) : resolve()));
    });
  }

  close(): void {
    this.socket.close();
  }
}

/** Sends datagrams of some sizes to the echo server and asserts that each comes back as it was. */
export async function exchangeUdp(namespace: string, from: IpAddress, to: IpAddress, sizes: readonly number[]): Promise<void> {
  const peer = await UdpPeer.open(namespace, from);
  try {
    for (const size of sizes) {
      const octets = new Uint8Array(randomBytes(size));
      peer.send(octets, to, echoPort);
      const answer = await peer.received.take(`echo of ${size} octets`);
      assert.deepEqual(answer.octets, octets);
    }
  } finally {
    peer.close();
  }
}

/** Sends octets to the TCP echo server and asserts that the same come back. */
export async function exchangeTcp(namespace: string, from: IpAddress, to: IpAddress, length: number): Promise<void> {
  const socket = await inside(namespace, async () => {
    const connecting = net.connect({ host: formatAddress(to), port: echoPort, localAddress: formatAddress(from) });
    await once(connecting, 'connect', { signal: AbortSignal.timeout(120_000) });
    return connecting;
  });
  try {
    const sent = createHash('sha256');
    const back = createHash('sha256');
    let left = length;
    let received = 0;
    const done = new Promise<void>((resolve, reject) => {
      socket.on('error', reject);
      socket.on('close', () => reject(new Error('closed early')));
      socket.on('data', (octets) => {
        back.update(octets);
        received += octets.length;
        if (received >= length) resolve();
      });
    });
    const pump = async (): Promise<void> => {
      while (left > 0) {
        const octets = randomBytes(Math.min(left, 65536));
        left -= octets.length;
        sent.update(octets);
        if (!socket.write(octets)) await once(socket, 'drain');
      }
    };
    // However slow it is: only that nothing comes any more ends it.
    let before = -1;
    let watch: NodeJS.Timeout | undefined;
    const deadline = new Promise<never>((_, reject) => {
      watch = setInterval(() => {
        if (received === before) reject(new Error(`${received} of ${length} octets came back, and no more`));
        before = received;
      }, 60_000);
    });
    deadline.catch(() => undefined);
    await Promise.race([Promise.all([pump(), done]), deadline]).finally(() => clearInterval(watch));
    assert.equal(received, length);
    assert.equal(back.digest('hex'), sent.digest('hex'));
  } finally {
    socket.removeAllListeners('close');
    socket.destroy();
  }
}
