import { createServer, type Socket } from 'node:net';
import { formatAddress, type IpAddress } from '@aovpn/bytes';
import { headerLength, readId, writeId } from './dns-message.ts';
import { frame } from './message-frames.ts';

export interface StubTcp {
  close(): Promise<void>;
}

/** Longer ones are no questions. */
export const maxQueryBytes = 4096;
const maxClients = 64;
const maxPipelined = 32;
const idleMs = 10_000;

/**
 * The stub's side that speaks TCP (RFC 1035 §4.2.2, RFC 7766).
 * @param onQuestion `client` tells connections apart, from 1; an answer is framed and sent as long as the connection stands
 */
export async function openStubTcp(
  address: IpAddress,
  port: number,
  onQuestion: (message: Uint8Array, client: number, reply: (answer: Uint8Array) => void) => void,
): Promise<StubTcp> {
  const clients = new Set<Socket>();
  let number = 0;
  const server = createServer((client) => {
    if (clients.size >= maxClients) {
      client.destroy();
      return;
    }
    clients.add(client);
    client.on('close', () => clients.delete(client));
    const mine = ++number;
    serve(client, (message, reply) => onQuestion(message, mine, reply));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: formatAddress(address), port, exclusive: true }, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
  return {
    close: async () => {
      for (const client of clients) client.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

function serve(client: Socket, answer: (message: Uint8Array, reply: (answer: Uint8Array) => void) => void): void {
  let received = Buffer.alloc(0);
  let pending = 0;
  client.setTimeout(idleMs, () => client.destroy());
  client.on('error', () => client.destroy());
  client.on('data', (chunk) => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
    while (received.length >= 2) {
      const length = received.readUInt16BE(0);
      if (length < headerLength || length > maxQueryBytes || pending >= maxPipelined) {
        client.destroy();
        return;
      }
      if (received.length < 2 + length) return;
      const message = Uint8Array.from(received.subarray(2, 2 + length));
      received = received.subarray(2 + length);
      pending++;
      let once = false;
      answer(message, (reply) => {
        if (once || client.destroyed) return;
        once = true;
        pending--;
        writeId(reply, readId(message));
        client.write(frame(reply));
      });
    }
  });
}
